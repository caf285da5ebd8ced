"""Explanations put together from the merge actor and the shards."""

from __future__ import annotations

from typing import Any

import pytest

from tests.engine.explaining import ask, explained, rows_in_words
from tests.engine.in_process import InProcessService
from unify_grpc.identity.identifiers import KeyMaker
from unify_grpc.identity.outcomes import DropReason
from unify_grpc.machines.batch import EVENT_TYPES
from unify_grpc.machines.explaining import Explanation, Unknown
from unify_grpc.machines.framing import SpaceView

RULES: dict[str, Any] = {
    "identifiers": [{"type": "user_id", "limit": 1}, {"type": "email", "limit": 1}]
}


@pytest.fixture
def service() -> InProcessService:
    """A space on three shards, with one user_id and one email a profile."""
    return InProcessService(RULES, shards=3)


def identify(message_id: str, **fields: Any) -> dict[str, Any]:
    """An identify with these identifiers; an email among its traits."""
    email = {"email": fields.pop("email")} if "email" in fields else {}
    return {"type": "identify", "messageId": message_id, "traits": email, **fields}


def told(explanation: Explanation) -> list[tuple[str, str]]:
    """Returns (kind, name) of the event of every step and every drop."""
    links = [step.link for step in explanation.path] + [drop.link for drop in explanation.drops]
    events = [explanation.events[link.shard, link.position] for link in links]
    return [(EVENT_TYPES[event.type], event.name) for event in events]


def test_a_path_says_what_its_events_were(service: InProcessService) -> None:
    """Kinds and names come from the logs of the shards that stored the events."""
    service.send(identify("m1", userId="a", anonymousId="x"))
    service.send(
        {"type": "track", "event": "Seen", "messageId": "m2", "anonymousId": "x"}
        | {"properties": {"email": "a@example.com"}}
    )
    found = explained(service, "user_id:a", "email:a@example.com")

    assert ["m1", "m2"] == [step.link.message_id for step in found.path]
    assert [("identify", ""), ("track", "Seen")] == told(found)


def test_two_that_were_kept_apart_are_told_by_which_event(service: InProcessService) -> None:
    """The drop, its reason and its event; both profiles' histories."""
    first = service.send(identify("m1", userId="a", email="a@example.com")).segment_id
    second = service.send(identify("m2", userId="b", anonymousId="x")).segment_id
    service.send(identify("m3", userId="b", email="a@example.com"))
    found = explained(service, "user_id:b", "email:a@example.com")
    (drop,) = found.drops

    assert ("email", "a@example.com", DropReason.LIMIT_EXCEEDED, "m3") == (
        drop.type,
        drop.value,
        DropReason(drop.reason),
        drop.link.message_id,
    )
    assert [("identify", "")] == told(found)
    assert [(first, first, "m1"), (second, second, "m2")] == rows_in_words(found.history)


def test_two_that_never_met_have_their_histories_only(service: InProcessService) -> None:
    """Profiles of single events too, which no link has touched."""
    first = service.send(identify("m1", userId="a")).segment_id
    second = service.send(identify("m2", userId="b", email="b@example.com")).segment_id
    found = explained(service, "user_id:a", "email:b@example.com")

    assert ([], []) == (found.path, found.drops)
    assert found.first_root != found.second_root
    assert [(first, first, "m1"), (second, second, "m2")] == rows_in_words(found.history)


def test_a_merged_away_id_is_explained_by_its_founder(service: InProcessService) -> None:
    """The path leads from the identifier that one id was founded with to that of the other."""
    first = service.send(identify("m1", anonymousId="x")).segment_id
    second = service.send(identify("m2", userId="a", email="a@example.com")).segment_id
    service.send(identify("m3", userId="a", anonymousId="x"))
    assert first
    assert second
    found = explained(service, second, first)

    assert [("user_id", "a"), ("anonymous_id", "x"), "m3"] == [
        found.path[0].from_identifier,
        found.path[0].to_identifier,
        found.path[0].link.message_id,
    ]
    assert [(first, first, "m1"), (second, second, "m2"), (second, first, "m3")] == rows_in_words(
        found.history
    )


def test_a_founding_that_no_decision_knew_of_is_told(service: InProcessService) -> None:
    """In one batch a link takes an identifier over whose own event comes after: its id was issued.

    Shards remember that for good, so it does not hang on a report that may be lost.
    """
    linked, alone = service.send_batch(
        [
            identify("m1", userId="a", anonymousId="x"),
            {"type": "track", "event": "Seen", "messageId": "m2", "anonymousId": "x"},
        ]
    )
    found = explained(service, "user_id:a", "anonymous_id:x")

    assert linked.segment_id
    assert alone.segment_id
    assert linked.segment_id != alone.segment_id
    assert [
        (linked.segment_id, linked.segment_id, "m1"),
        (alone.segment_id, alone.segment_id, "m2"),
        (alone.segment_id, linked.segment_id, "m1"),
    ] == rows_in_words(found.history)


def test_an_identifier_that_was_only_ever_dropped_is_unknown_and_told_why(
    service: InProcessService,
) -> None:
    """It is on no profile, and the event that left it out says the reason."""
    service.send(identify("m1", userId="a", email="a@example.com"))
    service.send(identify("m2", userId="a", email="b@example.com"))
    for first, second, is_second in (
        ("user_id:a", "email:b@example.com", True),
        ("email:b@example.com", "user_id:a", False),
    ):
        found = ask(service, first, second)

        assert isinstance(found, Unknown)
        assert found.is_second == is_second
        assert found.drop is not None
        assert ("m2", DropReason.LIMIT_EXCEEDED) == (
            found.drop.link.message_id,
            DropReason(found.drop.reason),
        )


def test_a_name_of_nobody_is_unknown(service: InProcessService) -> None:
    """Whether one of the two is, or both."""
    service.send(identify("m1", userId="a", email="a@example.com"))

    assert Unknown(is_second=True, drop=None) == ask(service, "user_id:a", "user_id:z")
    assert Unknown(is_second=False, drop=None) == ask(service, "user_id:z", "user_id:a")
    assert Unknown(is_second=False, drop=None) == ask(service, "user_id:y", "user_id:z")


def test_an_id_of_another_space_is_unknown(service: InProcessService) -> None:
    """Two spaces never meet, though a segment_id says nothing of its space."""
    issued = service.send(identify("m1", userId="a", email="a@example.com")).segment_id
    assert issued
    service.documents[2] = [RULES]
    service.space = SpaceView(2, service.space.rules, KeyMaker(b"o" * 32), service.space.marks)
    service.send(identify("m1", userId="a", email="a@example.com"))

    assert Unknown(is_second=True, drop=None) == ask(service, "user_id:a", issued)
    assert explained(service, "user_id:a", "email:a@example.com").path


def test_a_deleted_identifier_may_lie_on_a_path() -> None:
    """The events that came through it stay with the profile, and so does what they explain."""
    service = InProcessService({"identifiers": [{"type": "user_id"}]}, shards=3)
    service.send(identify("m1", userId="a", email="a@example.com"))
    service.send(identify("m2", anonymousId="x", email="a@example.com"))

    assert "deleted" == service.delete("user_id:a", ["email:a@example.com"])
    found = explained(service, "user_id:a", "anonymous_id:x")
    assert ["m1", "m2"] == [step.link.message_id for step in found.path]
    assert Unknown(is_second=True, drop=None) == ask(service, "user_id:a", "email:a@example.com")
