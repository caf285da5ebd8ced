"""`ExplainIdentity` at the edge: names in, explanations out, values masked."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from unify_grpc._pb.unify.v1 import identity_pb2, profile_service_pb2
from unify_grpc.identity.identifiers import KeyMaker
from unify_grpc.identity.outcomes import DropReason, Outcome
from unify_grpc.identity.rules import Rules
from unify_grpc.machines.batch import TYPE_CODES
from unify_grpc.machines.explaining import Explanation, Unknown
from unify_grpc.machines.framing import MarkMaker, SpaceView
from unify_grpc.machines.merge_reader import DROPS_MAX
from unify_grpc.machines.merge_reads import DecidedLink, DroppedIdentifier, PathStep
from unify_grpc.machines.profile_history import HistoryRow
from unify_grpc.machines.reads import ToldEvent
from unify_grpc.placement.members import segment_id_of
from unify_grpc.service.errors import ProfileNotFoundError, RequestInvalidError
from unify_grpc.service.explaining import explain_identity

if TYPE_CHECKING:
    from unify_grpc.service.profile_reads import Named

RULES = Rules.from_document(
    {"identifiers": [{"type": "email", "blocked": [{"exact": "shared@example.com"}]}]}, 3
)
SPACE: Any = SimpleNamespace(
    record=SimpleNamespace(number=1),
    view=SpaceView(1, RULES, KeyMaker(b"k" * 32), MarkMaker(b"m" * 32)),
)
DIRECTORY: Any = SimpleNamespace(source_id=lambda number: f"source-{number}")
ONE, OTHER = b"1" * 20, b"2" * 20
LINK = DecidedLink(0, 7, 1, 5_000_000, 6_000_000, 4, "m1", 2, int(Outcome.MERGED))
DROPPED = DroppedIdentifier("email", "b@example.com", int(DropReason.LIMIT_EXCEEDED), LINK)
EVENTS = {(0, 7): ToldEvent(TYPE_CODES["track"], "Seen")}
JOINED = Explanation(
    ONE,
    ONE,
    [PathStep(("user_id", "a"), ("email", "b@example.com"), LINK)],
    [],
    [HistoryRow(OTHER, ONE, "m1", 5_000_000)],
    EVENTS,
)
APART = Explanation(ONE, OTHER, [], [DROPPED], [], EVENTS)


class Reader:
    """Answers with what it was given, and keeps what it was asked."""

    def __init__(self, found: Explanation | Unknown) -> None:
        self.found = found
        self.asked: list[Named] = []

    async def explain(self, _: Any, first: Named, second: Named) -> Explanation | Unknown:
        """Returns what it was given."""
        self.asked = [first, second]
        return self.found


def identifier(type_: str, value: str, collection: str = "") -> Any:
    """A name by identifier."""
    named = identity_pb2.Identifier(collection=collection, type=type_, value=value)
    return identity_pb2.ProfileName(identifier=named)


def answer(
    found: Explanation | Unknown,
    first: Any = None,
    second: Any = None,
    *,
    scopes: tuple[str, ...] = ("pii",),
) -> Any:
    """Returns the answer to a request about two names."""
    request = profile_service_pb2.ExplainIdentityRequest(
        first=first or identifier("user_id", "a"),
        second=second or identifier("email", "b@example.com"),
    )
    caller = SimpleNamespace(has=lambda scope: scope in scopes)
    call: Any = SimpleNamespace(space=SPACE, caller=caller, request_id="r1")
    reader: Any = Reader(found)
    return asyncio.run(explain_identity(request, call, reader, DIRECTORY))


def test_a_path_and_a_history_are_told() -> None:
    """Every field of a step, and the rows of the history."""
    told = answer(JOINED)
    (step,) = told.path

    assert told.joined
    assert segment_id_of("users", ONE) == told.first_segment_id == told.second_segment_id
    assert ("users", "user_id", "a") == (
        step.from_identifier.collection,
        step.from_identifier.type,
        step.from_identifier.value,
    )
    assert ("email", "b@example.com") == (step.to_identifier.type, step.to_identifier.value)
    assert ("m1", "track", "Seen", "source-4", 5, 2, identity_pb2.OUTCOME_MERGED) == (
        step.message_id,
        step.type,
        step.name,
        step.source_id,
        step.timestamp.seconds,
        step.rules_version,
        step.outcome,
    )
    assert [(segment_id_of("users", OTHER), segment_id_of("users", ONE), "m1", 5)] == [
        (row.segment_id, row.canonical_segment_id, row.message_id, row.timestamp.seconds)
        for row in told.history
    ]
    assert "r1" == told.header.request_id


def test_a_drop_is_told_with_its_event() -> None:
    """What was left out, why, by which event and under which rules."""
    told = answer(APART)
    (drop,) = told.drops

    assert not told.joined
    assert told.first_segment_id != told.second_segment_id
    assert ("email", "b@example.com", identity_pb2.DROP_REASON_LIMIT_EXCEEDED) == (
        drop.drop.type,
        drop.drop.value,
        drop.drop.reason,
    )
    assert ("m1", "track", "Seen", "source-4", 2) == (
        drop.message_id,
        drop.type,
        drop.name,
        drop.source_id,
        drop.rules_version,
    )


@pytest.mark.parametrize("found", [JOINED, APART])
def test_values_are_masked_without_the_scope(found: Explanation) -> None:
    """Types, events and reasons are told; no value of an identifier is."""
    told = answer(found, scopes=("read",))

    for text in (b"b@example.com", b'"a"'):
        assert text not in told.SerializeToString()
    values = [end.value for step in told.path for end in (step.from_identifier, step.to_identifier)]
    assert {"***"} == {*values, *(each.drop.value for each in told.drops)}


def test_what_todays_rules_refuse_is_told_first() -> None:
    """A value that was blocked since keeps two apart from now on; no event is behind that."""
    crowded = Explanation(ONE, OTHER, [], [DROPPED] * DROPS_MAX, [], EVENTS)
    told = answer(crowded, second=identifier("email", "Shared@example.com"))
    drop = told.drops[0]

    assert DROPS_MAX == len(told.drops)
    assert ("shared@example.com", identity_pb2.DROP_REASON_BLOCKED, 3, "") == (
        drop.drop.value,
        drop.drop.reason,
        drop.rules_version,
        drop.message_id,
    )
    assert not drop.HasField("timestamp")
    assert [] == list(answer(JOINED, second=identifier("email", "shared@example.com")).drops)


def refused(found: Explanation | Unknown, **names: Any) -> dict[str, str]:
    """Returns the facts of a refusal because a profile was not found."""
    with pytest.raises(ProfileNotFoundError) as caught:
        answer(found, **names)
    return caught.value.metadata


def test_a_name_without_a_profile_is_told_why() -> None:
    """By the event that left it out, or by the rules; else only that there is none."""
    assert {
        "identifier_type": "email",
        "drop_reason": "LIMIT_EXCEEDED",
        "message_id": "m1",
    } == refused(Unknown(is_second=True, drop=DROPPED))
    assert {"identifier_type": "email", "drop_reason": "BLOCKED"} == refused(
        Unknown(is_second=True, drop=None), second=identifier("email", "shared@example.com")
    )
    assert {"identifier_type": "user_id"} == refused(Unknown(is_second=False, drop=None))
    assert {} == refused(JOINED, second=identity_pb2.ProfileName(segment_id="none"))


def test_every_field_at_fault_is_told() -> None:
    """Both names are looked at, and each field is named by its path."""
    nobody = identity_pb2.ProfileName(identifier=identity_pb2.Identifier(collection="staff"))
    with pytest.raises(RequestInvalidError) as caught:
        answer(JOINED, first=nobody, second=identity_pb2.ProfileName(segment_id="none"))
    assert ["first.identifier.collection", "first.identifier.type", "first.identifier.value"] == [
        field for field, _ in caught.value.violations
    ]
    request = profile_service_pb2.ExplainIdentityRequest(first=identifier("email", "x"))
    with pytest.raises(RequestInvalidError, match="second: names no profile"):
        answer(JOINED, first=request.first, second=request.second)


def test_a_person_and_an_account_are_not_compared() -> None:
    """The two collections never mix, whichever way they are named."""
    for account in (
        identifier("group_id", "g", "accounts"),
        identity_pb2.ProfileName(segment_id=segment_id_of("accounts", ONE)),
    ):
        with pytest.raises(RequestInvalidError, match="second: is of another collection"):
            answer(JOINED, second=account)
