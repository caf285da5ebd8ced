"""When events cannot be taken: what is said, and that nothing is acknowledged."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tests.unit.http.tracking_edge import KEY, TrackingEdge, fault, until
from unify_grpc.http import arriving as arriving_bodies
from unify_grpc.http.arriving import UNKNOWN_FACTOR
from unify_grpc.http.refusals import NO_STORE, refusal_of
from unify_grpc.service.errors import (
    CredentialInvalidError,
    ScopeMissingError,
    ShardOverloadedError,
    ShardUnavailableError,
    StoreFullError,
    UnifyError,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import httpx

    from unify_grpc.machines.links import Decided, PendingLink

EVENT = {"type": "track", "userId": "u", "event": "E", "messageId": "m"}


@pytest.mark.parametrize(
    ("error", "status", "retry_s"),
    [
        (ShardUnavailableError(), 503, "1"),
        (ShardOverloadedError(), 429, "1"),
        (StoreFullError(), 503, "30"),
    ],
)
async def test_a_failed_append_is_no_success(error: UnifyError, status: int, retry_s: str) -> None:
    """The caller sends again, and then it is stored once."""
    edge = TrackingEdge()
    edge.backend.failure = error

    refused = await edge.post("/v1/batch", {"batch": [EVENT]})
    edge.backend.failure = None
    taken = await edge.post("/v1/batch", {"batch": [EVENT]})

    assert (status, error.reason.lower()) == fault(refused)
    assert retry_s == refused.headers["retry-after"]
    assert 200 == taken.status_code
    assert ["m"] == edge.events("user_id:u")


async def test_an_event_that_is_not_resolved_in_time_is_no_success() -> None:
    """Stored and pending: 503, and sent again it is a duplicate of what is resolved by then."""
    edge = TrackingEdge(deadline_s_default=0.01)
    decide, going = edge.backend.link, asyncio.Event()

    async def late(links: list[PendingLink]) -> list[Decided]:
        await going.wait()
        return await decide(links)

    edge.backend.link = late  # type: ignore[method-assign]  # a slower one
    message = {**EVENT, "anonymousId": "a"}

    pending = await edge.post("/v1/track", message)
    strict = await edge.post("/v1/track?strict=1", message)
    going.set()
    await edge.edge.ingestor.drain(5)
    resolved = await edge.post("/v1/track", message)

    assert (503, "pending") == fault(pending)
    assert (503, "pending") == fault(strict)
    assert "1" == pending.headers["retry-after"]
    assert 200 == resolved.status_code
    assert ["m"] == edge.events("anonymous_id:a")


async def test_too_many_calls_at_once_are_refused_at_once() -> None:
    """Not queued: 429 while others are under way, and room again after them."""
    edge = TrackingEdge(calls_concurrent_max=2)
    held = edge.backend.holding["m/user"] = asyncio.Event()
    going = [asyncio.create_task(edge.post("/v1/track", EVENT)) for _ in range(2)]
    await until(lambda: edge.edge.counts.calls == 2)

    refused = await edge.post("/v1/track", EVENT)
    held.set()
    answers = await asyncio.gather(*going)

    assert (429, "shard_overloaded") == fault(refused)
    assert [200, 200] == [each.status_code for each in answers]
    assert 200 == (await edge.post("/v1/track", EVENT)).status_code


async def test_bodies_that_do_not_arrive_keep_nobody_out() -> None:
    """Who has a key is served, whatever callers without one do; of those there may be so many."""
    edge = TrackingEdge(calls_concurrent_max=1)
    ending = asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield b"{"
        await ending.wait()

    def arriving() -> asyncio.Task[httpx.Response]:
        return asyncio.create_task(edge.client.post("/v1/track", content=slow()))

    going = [arriving() for _ in range(UNKNOWN_FACTOR)]
    counts = edge.edge.counts
    await until(lambda: counts.reading == UNKNOWN_FACTOR)
    refused = await edge.post("/v1/track", {**EVENT, "writeKey": KEY}, key=None)
    taken = await edge.post("/v1/track", EVENT)
    ending.set()
    ended = await asyncio.gather(*going)

    assert (200, 429) == (taken.status_code, refused.status_code)
    assert {400} == {each.status_code for each in ended}
    assert (0, 0, 0, 0) == (counts.calls, counts.reading, counts.unknown, counts.unknown_bytes)


async def test_callers_who_are_not_known_hold_so_much_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """However few they are: a few hundred bytes, sent compressed, can be half a megabyte."""
    monkeypatch.setattr(arriving_bodies, "UNKNOWN_BYTES_MAX", 10)
    edge = TrackingEdge()

    refused = await edge.post("/v1/track", {**EVENT, "writeKey": KEY}, key=None)
    taken = await edge.post("/v1/track", EVENT)

    assert (429, 200) == (refused.status_code, taken.status_code)
    assert 0 == edge.edge.counts.unknown_bytes


async def test_a_full_queue_is_429() -> None:
    """More waits for shards than may."""
    edge = TrackingEdge(queue_events_max=1)
    held = edge.backend.holding["m/user"] = asyncio.Event()
    going = asyncio.create_task(edge.post("/v1/batch", {"batch": [EVENT]}))
    await until(lambda: edge.edge.ingestor.queued_events)

    refused = await edge.post("/v1/track", EVENT)
    metrics = await edge.client.get("/metrics")
    held.set()
    await going

    assert (429, "shard_overloaded") == fault(refused)
    assert "unify_queued_events 1\n" in metrics.text


async def test_while_draining_calls_are_sent_elsewhere() -> None:
    """503 and the end of the connection; what is under way ends well, and says so too."""
    edge = TrackingEdge()
    held = edge.backend.holding["m/user"] = asyncio.Event()
    going = asyncio.create_task(edge.post("/v1/track", EVENT))
    await until(lambda: edge.edge.counts.calls)

    edge.edge.draining.start()
    refused = await edge.post("/v1/track", EVENT)
    ready = await edge.client.get("/readyz")
    held.set()
    finished = await going

    assert (503, "shard_unavailable") == fault(refused)
    assert 503 == ready.status_code
    assert ["close", "close"] == [each.headers["connection"] for each in (refused, finished)]
    assert 200 == finished.status_code


async def test_a_fault_of_ours_is_500_and_says_nothing() -> None:
    """Its id is in the log, its text nowhere else."""
    edge = TrackingEdge()
    edge.backend.failure = RuntimeError("a secret")

    answer = await edge.post("/v1/track", EVENT)

    assert (500, "internal") == fault(answer)
    assert "secret" not in answer.text
    assert 32 == len(answer.headers["request-id"])


@pytest.mark.parametrize("error", [CredentialInvalidError(), ScopeMissingError(scope="ingest")])
def test_no_retry_helps_who_is_not_let_in(error: UnifyError) -> None:
    """401, also for a token that may not write: it is no write key."""
    refusal = refusal_of(error)

    assert (401, None) == (refusal.status, refusal.retry_s)


def test_room_takes_longer_than_a_restart() -> None:
    """Somebody has to make it."""
    assert all(
        (refusal_of(kind()).retry_s or 0) > (refusal_of(ShardUnavailableError()).retry_s or 0)
        for kind in NO_STORE
    )


async def test_metrics_count_requests_and_events() -> None:
    """By route, status and what became of them; no label is a caller's."""
    edge = TrackingEdge()
    await edge.post("/v1/batch", {"batch": [EVENT, EVENT, {"type": "secret"}]})
    await edge.post("/v1/t", EVENT, key="wrong")

    text = (await edge.client.get("/metrics")).text

    assert 'unify_http_requests_total{route="batch",status="200"} 1\n' in text
    assert (
        'unify_http_requests_total{route="track",status="401",code="credential_invalid"} 1\n'
        in text
    )
    assert 'unify_http_events_total{outcome="stored"} 1\n' in text
    assert 'unify_http_events_total{outcome="duplicate"} 1\n' in text
    assert 'unify_http_events_total{outcome="rejected"} 1\n' in text
    assert "unify_ready 1\n" in text
    assert "secret" not in text
