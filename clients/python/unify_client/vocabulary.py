"""The words of requests and replies: enumerations as texts, so that they print and compare easily.

Each is a text (`Outcome.MERGED == "MERGED"`). Where a reply may hold a value that this client is
too old to know, the enumeration has `UNRECOGNIZED`, so that a newer service breaks no caller.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Any, TypeVar

from unify_grpc._pb.unify.v1 import (
    identity_pb2,
    ingest_service_pb2,
    operations_service_pb2,
    profile_service_pb2,
    space_pb2,
)

_Word = TypeVar("_Word", bound=StrEnum)


class Ack(StrEnum):
    """What the answer to events waits for."""

    RESOLVED = "RESOLVED"
    """Durable and resolved: a read that begins after the answer shows them."""
    ACCEPTED = "ACCEPTED"
    """Durable; links that are not known yet are decided a moment later."""


class ResultView(StrEnum):
    """Which results a caller wants."""

    FULL = "FULL"
    """One for every event."""
    NOTABLE = "NOTABLE"
    """Only those that say more than "stored": rejected, duplicate, pending, or with a drop."""


class EventStatus(StrEnum):
    """Whether an event was stored."""

    STORED = "STORED"
    DUPLICATE = "DUPLICATE"
    """It was stored before; this time it changed nothing."""
    REJECTED = "REJECTED"
    UNRECOGNIZED = "UNRECOGNIZED"


class Outcome(StrEnum):
    """What resolving an event did to the identity graph."""

    CREATED = "CREATED"
    ATTACHED = "ATTACHED"
    MERGED = "MERGED"
    PENDING = "PENDING"
    """The event is durable and its link is not decided yet."""
    UNRECOGNIZED = "UNRECOGNIZED"


class DropReason(StrEnum):
    """Why an identifier was left out of a resolution."""

    LIMIT_EXCEEDED = "LIMIT_EXCEEDED"
    WINDOW_LIMIT_EXCEEDED = "WINDOW_LIMIT_EXCEEDED"
    MERGE_CAP = "MERGE_CAP"
    IDENTIFIER_CAP = "IDENTIFIER_CAP"
    BLOCKED = "BLOCKED"
    INVALID_VALUE = "INVALID_VALUE"
    UNRECOGNIZED = "UNRECOGNIZED"


class RejectionReason(StrEnum):
    """Why an event was refused as a whole."""

    NO_IDENTIFIER = "NO_IDENTIFIER"
    INVALID_TIMESTAMP = "INVALID_TIMESTAMP"
    UNKNOWN_TYPE = "UNKNOWN_TYPE"
    EVENT_TOO_LARGE = "EVENT_TOO_LARGE"
    TOO_MANY_TRAITS = "TOO_MANY_TRAITS"
    TOO_MANY_PROPERTIES = "TOO_MANY_PROPERTIES"
    TOO_DEEP = "TOO_DEEP"
    TOO_MANY_IDENTIFIERS = "TOO_MANY_IDENTIFIERS"
    INVALID_MESSAGE_ID = "INVALID_MESSAGE_ID"
    MISSING_EVENT_NAME = "MISSING_EVENT_NAME"
    INVALID_GROUP_ID = "INVALID_GROUP_ID"
    MISSING_GROUP_ID = "MISSING_GROUP_ID"
    MISSING_USER_ID = "MISSING_USER_ID"
    MISSING_PREVIOUS_ID = "MISSING_PREVIOUS_ID"
    INVALID_JSON = "INVALID_JSON"
    UNRECOGNIZED = "UNRECOGNIZED"


class TraitClass(StrEnum):
    """A kind of trait, by where its value comes from."""

    AUDIENCE = "AUDIENCE"
    COMPUTED_TRAIT = "COMPUTED_TRAIT"


class SortOrder(StrEnum):
    """An order of event times."""

    ASCENDING = "ASCENDING"
    """The oldest first."""
    DESCENDING = "DESCENDING"
    """The newest first."""


class Scope(StrEnum):
    """What an access token may be used for."""

    READ = "READ"
    """Reading profiles, events, violations and explanations."""
    PII = "PII"
    """Seeing identifiers, traits and payloads as they are; without it they come masked."""
    DELETE = "DELETE"
    """Deleting identifiers from profiles."""
    RULES = "RULES"
    """Reading, setting and rehearsing the space's rules."""
    UNRECOGNIZED = "UNRECOGNIZED"


class ServingState(StrEnum):
    """Whether a part of the service takes part."""

    SERVING = "SERVING"
    RECOVERING = "RECOVERING"
    """It replays its log after a start."""
    FULL = "FULL"
    """It serves reads and refuses events."""
    UNRECOGNIZED = "UNRECOGNIZED"


# One row per enumeration: ours, that of the protos, and what the protos' names begin with.
WIRE_ENUMS: tuple[tuple[type[StrEnum], Any, str], ...] = (
    (Ack, ingest_service_pb2.Ack, "ACK_"),
    (ResultView, ingest_service_pb2.ResultView, "RESULT_VIEW_"),
    (EventStatus, ingest_service_pb2.EventStatus, "EVENT_STATUS_"),
    (Outcome, identity_pb2.Outcome, "OUTCOME_"),
    (DropReason, identity_pb2.DropReason, "DROP_REASON_"),
    (RejectionReason, identity_pb2.RejectionReason, "REJECTION_REASON_"),
    (TraitClass, profile_service_pb2.TraitClass, "TRAIT_CLASS_"),
    (SortOrder, profile_service_pb2.SortOrder, "SORT_ORDER_"),
    (Scope, space_pb2.Scope, "SCOPE_"),
    (ServingState, operations_service_pb2.ServingState, "SERVING_STATE_"),
)

# By class too: words of two enumerations that are spelled alike are equal as texts.
_TO_WIRE: dict[tuple[type[StrEnum], str], int] = {
    (words, word.name): wire.Value(prefix + word.name)
    for words, wire, prefix in WIRE_ENUMS
    for word in words
    if word.name != "UNRECOGNIZED"
}


def number_of(word: StrEnum) -> Any:
    """Returns the number that a request carries for a word; UNRECOGNIZED has none: KeyError."""
    return _TO_WIRE[type(word), word.name]


def reader_of(words: type[_Word]) -> Callable[[int], _Word | None]:
    """Returns what reads the numbers of one enumeration.

    0 is read as None, and a number that the enumeration has no word for as its UNRECOGNIZED.
    """
    known: dict[int, _Word | None] = {
        _TO_WIRE[words, word.name]: word for word in words if (words, word.name) in _TO_WIRE
    }
    known[0] = None
    unrecognized = words("UNRECOGNIZED")
    return lambda number: known.get(number, unrecognized)
