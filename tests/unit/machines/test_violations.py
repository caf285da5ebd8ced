"""Violations: every event that broke a rule, once, with what it says of itself."""

from __future__ import annotations

from typing import Any

import pytest

from tests.engine.in_process import InProcessService
from tests.engine.listing import violations
from tests.unit.machines.frames import DAY_US, RECEIVED_US, SOURCE, SPACE, frame, mark
from tests.unit.machines.one_shard import OneShard
from unify_grpc.identity.outcomes import DropReason, RejectionReason
from unify_grpc.machines import violation_reader
from unify_grpc.machines.batch import Body
from unify_grpc.machines.list_questions import NEWEST, FoundViolations, ListSpaceViolations
from unify_grpc.machines.noted_drops import NotedDrop, fingerprint_of
from unify_grpc.machines.refusals import BODY_BYTES_MAX, FORMAT, RefusedBody, cut_body, pack_refusal
from unify_grpc.machines.violations import REFUSED, REPEATS_SOUGHT_MAX

RULES: dict[str, Any] = {"others": {"limit": 1}, "blocked": [{"exact": "bad"}]}


def refused(
    message_id: str = "m1",
    stamp_us: int = RECEIVED_US,
    reason: RejectionReason = RejectionReason.NO_IDENTIFIER,
    drops: list[NotedDrop] | None = None,
    **parts: Any,
) -> bytes:
    """The frame of a refused event."""
    body, omitted = cut_body(Body(message_id, **parts))
    kept = RefusedBody(FORMAT, int(reason), "track", body, omitted, drops or [])
    return pack_refusal(
        kept, space=SPACE, source=SOURCE, stamp_us=stamp_us, stream=1, mark=mark(message_id)
    )


def ask(shard: OneShard, limit: int = 100, before: int = NEWEST, **filters: Any) -> FoundViolations:
    """Returns a shard's violations."""
    asked: dict[str, Any] = {
        "kinds": [],
        "identifier_type": "",
        "fingerprints": [],
        "start_us": None,
        "end_us": None,
        **filters,
    }
    question = ListSpaceViolations(space=SPACE, before=before, limit=limit, **asked)
    (answer,) = shard.ask(question)
    assert isinstance(answer, FoundViolations)
    return answer


def track(**fields: Any) -> dict[str, Any]:
    """A Segment message."""
    return {"type": "track", "event": "Seen", **fields}


def test_a_refused_event_is_listed_and_touches_nothing_else(shard: OneShard) -> None:
    """It is logged and listed with everything that was kept of it; no member, no activity."""
    drop = NotedDrop(0, "user_id", "-1", int(DropReason.BLOCKED), b"12345678")
    reply = shard.append(refused(properties=b'{"a": 1}', user_id="-1", drops=[drop]))
    (found,) = ask(shard).violations

    assert 1 == len(reply.statuses)
    assert [] == reply.pending
    assert found.refused is not None
    assert RejectionReason.NO_IDENTIFIER == found.refused.reason
    assert (b'{"a": 1}', "-1") == (found.refused.body.properties, found.refused.body.user_id)
    assert [drop] == found.refused.drops
    assert (RECEIVED_US, SOURCE, 1) == (found.stamp_us, found.source, found.rules_version)
    assert {b"s", b"v"} == {key[:1] for key in shard.store.rows}


def test_refused_and_stored_events_share_a_batch(shard: OneShard) -> None:
    """Each event is answered at its own place."""
    reply = shard.append(refused("m1"), frame("user_id:a", message_id="m2"), refused("m3"))

    assert [0, 1, 0] == list(reply.statuses)
    assert ["m3", "m1"] == [
        each.refused.body.message_id for each in ask(shard).violations if each.refused
    ]
    assert 1 == shard.row("user_id:a").event_count


def test_a_repeated_call_lists_a_refusal_once(shard: OneShard) -> None:
    """The gateway's own repetition changes nothing; another attempt of the caller is another."""
    frames = [refused(f"m{at}", RECEIVED_US + at) for at in range(300)]
    shard.append(*frames)
    log_end = shard.store.next_number
    shard.append(*frames)
    assert log_end == shard.store.next_number
    shard.append(*frames, frame("user_id:a"))
    shard.append(refused("m0", RECEIVED_US + DAY_US))

    assert 301 == len(ask(shard, limit=1000).violations)


def test_a_repeated_call_of_any_size_lists_a_refusal_once(shard: OneShard) -> None:
    """All of a batch may be refused, and other violations come between it and its repetition."""
    frames = [refused(f"m{at}", RECEIVED_US + at) for at in range(REPEATS_SOUGHT_MAX + 100)]
    shard.append(*frames)
    shard.append(*(refused(f"n{at}", RECEIVED_US + DAY_US + at) for at in range(100)), call=2)
    log_end = shard.store.next_number
    shard.append(*frames)

    assert log_end == shard.store.next_number


def test_what_is_too_large_is_left_out_and_named() -> None:
    """Objects are kept whole, the smaller ones first; texts are cut."""
    body, omitted = cut_body(
        Body(
            "m" * 600,
            traits=b"t" * BODY_BYTES_MAX,
            properties=b"p" * 100,
            context=b"c" * 200,
            user_id="u",
        )
    )

    assert ["message_id", "traits"] == omitted
    assert "m" * 500 == body.message_id
    assert (b"", b"p" * 100, b"c" * 200) == (body.traits, body.properties, body.context)
    assert "u" == body.user_id


def test_violations_are_read_page_by_page(shard: OneShard, monkeypatch: pytest.MonkeyPatch) -> None:
    """However little is looked at for one answer, the pages make one list."""
    for at in range(300):
        shard.append(refused(f"m{at}", RECEIVED_US + at))
    monkeypatch.setattr(violation_reader, "ENTRIES_LOOKED_MAX", 7)
    before = NEWEST
    found: list[int] = []
    while before:
        page = ask(shard, limit=5, before=before)
        found.extend(each.stamp_us - RECEIVED_US for each in page.violations)
        before = page.next

    assert list(range(299, -1, -1)) == found


def test_filters_agree_all(shard: OneShard) -> None:
    """Reasons, type, identifier and time each narrow it; those of drops leave refusals out."""
    drop = NotedDrop(0, "email", "x", int(DropReason.INVALID_VALUE), b"12345678")
    shard.append(
        refused("m1", RECEIVED_US, RejectionReason.TOO_DEEP),
        refused("m2", RECEIVED_US + 1, drops=[drop]),
        refused("m3", RECEIVED_US + 2),
    )

    def listed(**filters: Any) -> list[str]:
        return [
            each.refused.body.message_id
            for each in ask(shard, **filters).violations
            if each.refused
        ]

    assert ["m3", "m2", "m1"] == listed()
    assert ["m1"] == listed(kinds=[REFUSED | RejectionReason.TOO_DEEP])
    assert ["m2"] == listed(kinds=[DropReason.INVALID_VALUE])
    assert ["m2", "m1"] == listed(
        kinds=[DropReason.INVALID_VALUE, REFUSED | RejectionReason.TOO_DEEP]
    )
    assert ["m2"] == listed(identifier_type="email")
    assert [] == listed(identifier_type="user_id")
    assert ["m2"] == listed(fingerprints=[b"12345678"])
    assert [] == listed(fingerprints=[b"87654321"])
    assert ["m3", "m2"] == listed(start_us=RECEIVED_US + 1)
    assert ["m1"] == listed(end_us=RECEIVED_US + 1)


def test_drops_are_listed_with_their_event() -> None:
    """What promotion left out, and what a limit did, stand on one violation of the stored event."""
    service = InProcessService(RULES)
    service.send(track(userId="u", anonymousId="a1"))
    service.send(
        track(userId="u", anonymousId="a2", traits={}, messageId="both")
        | {"properties": {"email": "bad"}}
    )
    service.send(track(userId="u", properties={"email": "bad"}, messageId="blocked"))
    both = fingerprint_of(service.space.keys, "users", "anonymous_id", "a2")

    found = violations(service)
    assert ["blocked", "both"] == [each.event.message_id for each in found if each.event]
    event = found[1].event
    assert event is not None
    assert [("email", "bad", DropReason.BLOCKED)] == [
        (drop.type, drop.value, drop.reason) for drop in event.noted
    ]
    assert [("anonymous_id", "a2")] == [event.identifiers[at] for at, _ in event.drops]
    for size in (1, 9):
        assert 1 == len(violations(service, size, kinds=[DropReason.LIMIT_EXCEEDED]))
        assert 2 == len(violations(service, size, kinds=[DropReason.BLOCKED]))
        assert 1 == len(violations(service, size, fingerprints=[both]))
        assert 2 == len(violations(service, size, identifier_type="email"))
        assert 1 == len(violations(service, size, identifier_type="anonymous_id"))


def test_a_drop_is_listed_once_whatever_is_repeated() -> None:
    """Neither a message sent again nor pushes after a restart list a drop again."""
    service = InProcessService(RULES)
    sent = [
        track(userId="u", anonymousId=f"a{at}", properties={"email": "bad"}, messageId=f"m{at}")
        for at in range(4)
    ]
    service.send_batch(sent)
    for _ in range(2):
        service.send_batch(sent)
        service.restart()
    service.checkpoint()
    service.restart()

    assert ["m3", "m2", "m1", "m0"] == [
        each.event.message_id for each in violations(service) if each.event
    ]
    limited = violations(service, kinds=[DropReason.LIMIT_EXCEEDED])
    assert ["m3", "m2", "m1"] == [each.event.message_id for each in limited if each.event]


def test_a_decided_drop_says_by_which_rules() -> None:
    """The version of the limits that it was decided by, which may be newer than its event's."""
    service = InProcessService({"others": {"limit": None}})
    service.send(track(userId="u", anonymousId="a1"))
    service.set_rules(RULES)
    service.send(track(userId="u", anonymousId="a2"))

    (found,) = violations(service)
    assert 2 == found.rules_version
