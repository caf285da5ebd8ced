"""Streams of both clients, against the fake service."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from typing import Any

import grpc
import pytest
from unify_client import (
    ArgumentInvalid,
    AsyncUnifyClient,
    CredentialInvalid,
    EventInvalid,
    EventResult,
    EventStatus,
    ResultView,
    RetryPolicy,
    ServiceUnavailable,
    ShardUnavailable,
    UnifyClient,
    identify,
)
from unify_client.async_stream import AsyncStream
from unify_client.connection import Call
from unify_client.events import Event
from unify_client.testing import FakeUnify

from tests.unit.client.driving import Clock
from unify_grpc._pb.unify.v1.ingest_service_pb2 import IngestStreamRequest

Streamed = Callable[..., list[list[EventResult]]]


@pytest.fixture
def fake() -> Iterator[FakeUnify]:
    """Serves for one test."""
    with FakeUnify() as service:
        yield service


@pytest.fixture(params=["blocking", "asyncio"])
def stream(request: pytest.FixtureRequest, fake: FakeUnify) -> Streamed:
    """Streams batches to the end by either client; its clock stands still but for pauses."""
    return stream_blocking(fake) if request.param == "blocking" else stream_async(fake)


def stream_blocking(fake: FakeUnify) -> Streamed:
    """Streams by the blocking client."""

    def run(batches: Iterable[Iterable[Event]], **options: Any) -> list[list[EventResult]]:
        clock = Clock()
        retry = options.pop("retry", None)
        with UnifyClient(
            fake.address, key="k", retry=retry, clock=clock, sleep=clock.sleep
        ) as client:
            return list(client.ingest_stream(batches, **options))

    return run


def stream_async(fake: FakeUnify) -> Streamed:
    """Streams by the asynchronous client."""

    async def run(batches: Iterable[Iterable[Event]], **options: Any) -> list[list[EventResult]]:
        clock = Clock()
        retry = options.pop("retry", None)
        async with AsyncUnifyClient(
            fake.address, key="k", retry=retry, clock=clock, sleep=clock.asleep
        ) as client:
            return [results async for results in client.ingest_stream(batches, **options)]

    return lambda *arguments, **options: asyncio.run(run(*arguments, **options))


def batch_of(number: int, *, events_count: int = 3) -> list[Event]:
    """Returns a batch whose message ids tell its place."""
    return [
        identify(user_id=f"u{number}", message_id=f"m{number}-{index}")
        for index in range(events_count)
    ]


def sent_ids(fake: FakeUnify) -> list[str]:
    """Returns the first message id of each request that arrived."""
    return [received.request.events[0].message_id for received in fake.received]


def test_results_come_in_order_and_numbered_within_their_batch(
    fake: FakeUnify, stream: Streamed
) -> None:
    """One list for each batch, over one call."""
    results = stream([batch_of(number) for number in range(10)], window=3)

    assert [[0, 1, 2]] * 10 == [[result.index for result in batch] for batch in results]
    assert 10 == len({batch[0].segment_id for batch in results})
    assert 1 == fake.streams_count
    assert [f"m{number}-0" for number in range(10)] == sent_ids(fake)


def test_a_large_batch_is_cut_and_put_together_again(fake: FakeUnify, stream: Streamed) -> None:
    """A batch above the bound of a request is one batch to its caller, even with a window of 1."""
    results = stream([batch_of(0, events_count=2_600), [], batch_of(1)], window=1)

    assert [list(range(2_600)), [], [0, 1, 2]] == [
        [result.index for result in batch] for batch in results
    ]
    assert [2_500, 100, 0, 3] == [len(received.request.events) for received in fake.received]


def test_a_broken_stream_goes_on_where_answers_stopped(fake: FakeUnify, stream: Streamed) -> None:
    """What was not answered is sent again, with the same ids, and takes effect once."""
    fake.fail_next("IngestStream", "UNAVAILABLE", skip=2, times=2)
    fake.fail_next("IngestStream", "DEADLINE_EXCEEDED", skip=1, stored=True)
    results = stream([batch_of(number) for number in range(6)], window=2)

    assert 6 == len(results)
    assert 4 == fake.streams_count
    assert [f"m{number}-{index}" for number in range(6) for index in range(3)] == [
        event.message_id for event in fake.events
    ]
    # The batch that was stored and whose answer was lost is known again.
    lost = [batch for batch in results if batch[0].status is EventStatus.DUPLICATE]
    assert 1 == len(lost)


def test_a_stream_has_its_patience_anew_after_each_answer(
    fake: FakeUnify, stream: Streamed
) -> None:
    """Ten failures apart from each other are no reason to give up; ten in a row are."""
    patience = RetryPolicy(deadline_s=0.15)
    for _ in range(10):
        fake.fail_next("IngestStream", "UNAVAILABLE", skip=1)
    batches = [batch_of(number) for number in range(11)]
    assert 11 == len(stream(batches, window=1, retry=patience))

    fake.fail_next("IngestStream", "UNAVAILABLE", reason="SHARD_UNAVAILABLE", times=10)
    with pytest.raises(ShardUnavailable):
        stream(batches, window=1, retry=patience)


def test_a_failure_for_good_ends_the_stream(fake: FakeUnify, stream: Streamed) -> None:
    """A wrong key is told at once."""
    fake.fail_next("IngestStream", "UNAUTHENTICATED", reason="CREDENTIAL_INVALID")
    with pytest.raises(CredentialInvalid):
        stream([batch_of(0)])


def test_only_notable_results_come_where_asked_for(stream: Streamed) -> None:
    """Every batch has its list, which may be empty."""
    results = stream([batch_of(0), batch_of(0)], view=ResultView.NOTABLE, window=1)

    assert [[], ["DUPLICATE"] * 3] == [[result.status for result in batch] for batch in results]


def test_nothing_to_send_opens_no_stream(fake: FakeUnify, stream: Streamed) -> None:
    """No batches, no call."""
    assert not stream([])
    assert 0 == fake.streams_count


def test_a_batch_that_cannot_be_sent_is_its_callers_error(
    fake: FakeUnify, stream: Streamed
) -> None:
    """An error of the source reaches whoever reads the results, and the call ends."""
    bad: Any = [batch_of(0), ["no event"]]
    with pytest.raises(EventInvalid):
        stream(bad, window=1)
    assert 1 == fake.streams_count


def test_a_window_holds_at_least_one(stream: Streamed) -> None:
    """A window of 0 would wait for ever."""
    with pytest.raises(ArgumentInvalid):
        stream([batch_of(0)], window=0)


def test_the_source_is_read_no_further_ahead_than_the_window(fake: FakeUnify) -> None:
    """A caller with endless events holds a window of them, and may stop at any answer."""
    taken: list[int] = []

    def endless() -> Iterator[list[Event]]:
        number = 0
        while True:
            taken.append(number)
            yield batch_of(number)
            number += 1

    with UnifyClient(fake.address, key="k") as client:
        results = client.ingest_stream(endless(), window=4)
        next(results)
        assert [0, 1, 2, 3] == taken
        next(results)
        assert [0, 1, 2, 3, 4] == taken
        results.close()


def test_a_silent_service_is_not_waited_for_without_end(fake: FakeUnify) -> None:
    """No answer within `timeout_s` breaks the stream, which goes on by another."""
    clock = Clock()
    with (
        fake.stalled(),
        UnifyClient(
            fake.address, key="k", timeout_s=0.05, clock=clock, sleep=lambda _: fake.unstall()
        ) as client,
    ):
        (results,) = client.ingest_stream([batch_of(0)])

    assert 3 == len(results)
    assert 2 == fake.streams_count


def test_raw_requests_go_out_as_they_are(fake: FakeUnify) -> None:
    """Messages and bytes of messages are sent alike, and answers come bare."""
    request = IngestStreamRequest(events=batch_of(0))
    with UnifyClient(fake.address, key="k") as client:
        responses = list(client.ingest_raw([request, request.SerializeToString()]))

    assert [3, 3] == [len(response.results) for response in responses]
    assert request == fake.received[1].request


async def test_an_asynchronous_source_is_taken_too(fake: FakeUnify) -> None:
    """Batches and raw requests may come from an asynchronous iterator; leaving early is fine."""

    async def batches() -> AsyncIterator[list[Event]]:
        for number in range(5):
            yield batch_of(number)

    async def requests() -> AsyncIterator[bytes]:
        async for batch in batches():
            yield IngestStreamRequest(events=batch).SerializeToString()

    async with AsyncUnifyClient(fake.address, key="k") as client:
        results = [len(batch) async for batch in client.ingest_stream(batches())]
        responses = client.ingest_raw(requests(), window=2)
        first = await anext(responses)
        await responses.aclose()

    assert [3] * 5 == results
    assert 3 == len(first.results)


async def test_a_status_lost_to_a_late_write_is_the_end_of_the_stream() -> None:
    """Where gRPC puts its own INTERNAL over a status, the stream is opened again."""

    class Overwritten:
        """A call whose status is gone."""

        def add_done_callback(self, _: object) -> None:
            """Is called by the stream."""

        async def read(self) -> None:
            """Fails as gRPC does."""
            raise grpc.RpcError

        async def code(self) -> grpc.StatusCode:
            """Says what gRPC made of it."""
            return grpc.StatusCode.INTERNAL

        async def details(self) -> str:
            """Says it in words."""
            return "Internal error from Core"

        async def write(self, _: bytes) -> None:
            """Was too late."""
            raise grpc.RpcError

        def cancel(self) -> None:
            """Is called by the stream."""

    method: Any = lambda **_: Overwritten()  # noqa: E731  stands for gRPC's callable
    stream = AsyncStream(method, call=Call("IngestStream"), metadata=(), requests=(b"",))
    with pytest.raises(ServiceUnavailable, match="ended before its last answer"):
        await stream.receive(1.0)
    await stream.close()
