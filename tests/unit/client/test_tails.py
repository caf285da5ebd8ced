"""Tails of both clients, against the fake service."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, closing
from typing import Any

import pytest
from unify_client import (
    AsyncUnifyClient,
    ClientClosed,
    RetryPolicy,
    ScopeMissing,
    ServiceUnavailable,
    TailedEvent,
    UnifyClient,
    Unimplemented,
)
from unify_client.connection import Call, Connection
from unify_client.tailing import Tail
from unify_client.testing import FakeUnify

from tests.unit.client.driving import Clock
from unify_grpc._pb.unify.v1 import operations_service_pb2

Tailed = Callable[..., list[TailedEvent]]


@pytest.fixture
def fake() -> Iterator[FakeUnify]:
    """Serves for one test."""
    with FakeUnify() as service:
        yield service


@pytest.fixture
def clock() -> Clock:
    """Stands still but for pauses, and for who moves it."""
    return Clock()


@pytest.fixture(params=["blocking", "asyncio"])
def tail(request: pytest.FixtureRequest, fake: FakeUnify, clock: Clock) -> Tailed:
    """Takes so many events by either client, and leaves."""
    return tail_blocking(fake, clock) if request.param == "blocking" else tail_async(fake, clock)


def tail_blocking(fake: FakeUnify, clock: Clock) -> Tailed:
    """Tails by the blocking client."""

    def run(count: int, retry: RetryPolicy | None = None, **options: Any) -> list[TailedEvent]:
        with (
            UnifyClient(
                fake.address, key="k", space="shop", retry=retry, clock=clock, sleep=clock.sleep
            ) as client,
            closing(client.tail_events(**options)) as events,
        ):
            return [next(events) for _ in range(count)]

    return run


def tail_async(fake: FakeUnify, clock: Clock) -> Tailed:
    """Tails by the asynchronous client."""

    async def run(
        count: int, retry: RetryPolicy | None = None, **options: Any
    ) -> list[TailedEvent]:
        async with (
            AsyncUnifyClient(
                fake.address, key="k", space="shop", retry=retry, clock=clock, sleep=clock.asleep
            ) as client,
            aclosing(client.tail_events(**options)) as events,
        ):
            return [await anext(events) for _ in range(count)]

    return lambda *arguments, **options: asyncio.run(run(*arguments, **options))


def connection_of(clock: Clock) -> Connection:
    """Returns a connection that is never opened."""
    return Connection(
        "localhost:1",
        key="k",
        space=None,
        timeout_s=1.0,
        tls=False,
        retry=None,
        keepalive=None,
        message_bytes_max=1,
        clock=clock,
        chance=lambda: 1.0,
    )


def response(number: int, *, has_event: bool = True) -> operations_service_pb2.TailEventsResponse:
    """Returns a response whose message id and token tell its place."""
    made = operations_service_pb2.TailEventsResponse(resume_token=f"t{number}")
    if has_event:
        made.event.message_id = f"m{number}"
        made.segment_id = f"use_{number}" if number else ""
    return made


def tokens(fake: FakeUnify) -> list[str]:
    """Returns where each tail began."""
    return [received.request.resume_token for received in fake.received]


def test_events_come_typed_and_filters_go_out(fake: FakeUnify, tail: Tailed) -> None:
    """An event whose link is pending has no profile; a response without an event is passed over."""
    fake.reply("TailEvents", response(0), response(1, has_event=False), response(2))
    events = tail(2, types=["track"], source_ids=["src_1"], resume_token="t")

    assert ["m0", "m2"] == [tailed.event.message_id for tailed in events]
    assert [(None, "t0"), ("use_2", "t2")] == [
        (tailed.segment_id, tailed.resume_token) for tailed in events
    ]
    (received,) = fake.received
    assert (["track"], ["src_1"], "t") == (
        list(received.request.types),
        list(received.request.source_ids),
        received.request.resume_token,
    )
    assert "shop" == received.metadata["unify-space"]


@pytest.mark.parametrize("code", ["UNAVAILABLE", "CANCELLED"])
def test_a_tail_that_breaks_off_goes_on_after_its_last_response(
    fake: FakeUnify, tail: Tailed, code: str
) -> None:
    """Neither an event nor a response that only moved the place on is asked for again."""
    fake.reply("TailEvents", response(1), response(2, has_event=False), response(3), response(4))
    fake.fail_next("TailEvents", code, skip=2, times=2)
    fake.fail_next("TailEvents", code, skip=1)
    events = tail(3)

    assert ["m1", "m3", "m4"] == [tailed.event.message_id for tailed in events]
    assert ["", "t2", "t2", "t3"] == tokens(fake)


def test_a_tail_has_its_patience_anew_after_each_response(fake: FakeUnify, tail: Tailed) -> None:
    """Ten failures apart from each other are no reason to give up; ten in a row are."""
    patience = RetryPolicy(deadline_s=0.15)
    fake.reply("TailEvents", *map(response, range(11)))
    for _ in range(10):
        fake.fail_next("TailEvents", "UNAVAILABLE", skip=1)
    assert 11 == len(tail(11, patience))

    fake.fail_next("TailEvents", "UNAVAILABLE", times=10)
    with pytest.raises(ServiceUnavailable) as raised:
        tail(1, patience)
    assert raised.value.__context__ is None


def test_a_quiet_tail_that_stood_long_has_its_patience_anew(clock: Clock) -> None:
    """Nothing came for an hour, time and again: each end of the stream is a first failure."""
    connection = connection_of(clock)
    tail = Tail(connection, types=(), source_ids=(), resume_token="")
    call = Call("TailEvents")
    for _ in range(5):
        tail.open()
        clock.now_s += 3_600
        assert 0.1 == tail.pause_s(call.ended(), call)

    tail.open()
    clock.now_s += connection.patience_s
    with pytest.raises(ServiceUnavailable):
        tail.pause_s(call.ended(), call)


def test_a_refusal_ends_a_tail(fake: FakeUnify, tail: Tailed) -> None:
    """A credential without the scope is told at once, and so is a service without the method."""
    with pytest.raises(Unimplemented):
        tail(1)
    fake.fail_next("TailEvents", "PERMISSION_DENIED", reason="SCOPE_MISSING")
    fake.reply("TailEvents", response(1))
    with pytest.raises(ScopeMissing):
        tail(1)
    assert 2 == fake.streams_count


@pytest.mark.timeout(20)
def test_closing_ends_the_pause_of_another_thread(fake: FakeUnify) -> None:
    """Whoever waits for a service that is away is told at once that the client is closed."""
    pausing = threading.Event()

    def chance() -> float:
        pausing.set()
        return 1.0

    fake.reply("TailEvents", response(1))
    fake.fail_next("TailEvents", "UNAVAILABLE")
    patient = RetryPolicy(deadline_s=300.0, pause_first_s=60.0, pause_max_s=60.0)
    client = UnifyClient(fake.address, key="k", retry=patient, chance=chance)
    with ThreadPoolExecutor(1) as thread:
        tailed = thread.submit(next, client.tail_events())
        assert pausing.wait(10)
        client.close()
        with pytest.raises(ClientClosed):
            tailed.result()
