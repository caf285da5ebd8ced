"""Limits on how many events a space or a key sends; there is none unless it is set."""

from __future__ import annotations

from tests.unit.http.tracking_edge import TrackingEdge, fault
from unify_grpc.http.calls import HELD_S

EVENT = {"type": "track", "userId": "u", "event": "E"}


async def test_by_default_writes_are_not_limited() -> None:
    """However many come."""
    edge = TrackingEdge()

    answers = [await edge.post("/v1/batch", {"batch": [EVENT] * 50}) for _ in range(5)]

    assert [200] * 5 == [each.status_code for each in answers]
    assert "x-ratelimit-limit" not in answers[0].headers


async def test_events_above_the_limit_are_429() -> None:
    """Counted event by event, answered with a pause, and not stored."""
    edge = TrackingEdge(key_writes_per_s=1)
    taken = await edge.post("/v1/track", EVENT)

    refused = await edge.post("/v1/batch", {"batch": [{**EVENT, "messageId": "late"}] * 3})

    assert 200 == taken.status_code
    assert "0" == taken.headers["x-ratelimit-remaining"]
    assert (429, "rate_limit_error") == fault(refused)
    assert int(refused.headers["retry-after"]) >= 1
    assert refused.headers["retry-after"] == refused.headers["x-ratelimit-reset"]
    assert "late" not in edge.backend.stored
    exposed = refused.headers["access-control-expose-headers"].lower()
    assert {"retry-after", "x-ratelimit-reset"} <= set(exposed.split(", "))


async def test_gateways_share_a_limit_evenly() -> None:
    """Each of four has a quarter."""
    edge = TrackingEdge(space_writes_per_s=400, gateways=4)

    answer = await edge.post("/v1/track", EVENT)

    assert ("100", "99") == (
        answer.headers["x-ratelimit-limit"],
        answer.headers["x-ratelimit-remaining"],
    )


async def test_a_refusal_is_held_back() -> None:
    """A caller without patience is answered later, and any other at once."""
    edge = TrackingEdge(key_writes_per_s=1)
    await edge.post("/v1/track", EVENT)
    assert [] == edge.pauses

    assert 429 == (await edge.post("/v1/track", EVENT)).status_code

    assert [HELD_S] == edge.pauses
    assert 0 == edge.edge.counts.held


async def test_refusals_held_back_keep_nobody_out() -> None:
    """They are not among the calls that there is room for; what is too many is refused at once."""
    edge = TrackingEdge(key_writes_per_s=1, calls_concurrent_max=2)
    counts = edge.edge.counts
    counts.calls = counts.held = 2
    await edge.post("/v1/track", EVENT)

    refused = await edge.post("/v1/track", EVENT)

    assert (429, "rate_limit_error") == fault(refused)
    assert [] == edge.pauses


async def test_who_may_send_nothing_is_refused_before_the_body() -> None:
    """What the body says does not matter then."""
    edge = TrackingEdge(key_writes_per_s=1)
    await edge.post("/v1/track", EVENT)

    assert (429, "rate_limit_error") == fault(await edge.send("/v1/track", b"no JSON"))
