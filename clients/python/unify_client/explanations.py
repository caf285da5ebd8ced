"""Why two names stand for one profile or for two, as callers read it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from unify_client.identifiers import Identifier
from unify_client.results import Drop, drop, identifier
from unify_client.times import optional_time_of, time_of
from unify_client.vocabulary import Outcome, reader_of
from unify_grpc._pb.unify.v1 import profile_pb2, profile_service_pb2

_outcome_of = reader_of(Outcome)


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkExplanation:
    """One step of a path: an event that carried both of its ends."""

    from_identifier: Identifier
    """The end nearer to the first name."""
    to_identifier: Identifier
    """The end nearer to the second."""
    message_id: str
    type: str
    name: str
    source_id: str
    timestamp: datetime
    """The event time."""
    rules_version: int
    """Which version of the rules the link was decided by."""
    outcome: Outcome | None
    """What that event did to the graph."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DropExplanation:
    """One event that carried an identifier that was left out.

    Or that the rules of today leave it out, whatever carries it: then there is no event.
    """

    drop: Drop
    message_id: str
    """Empty, as the next three, where there is no event."""
    type: str
    name: str
    source_id: str
    timestamp: datetime | None
    """The event time; None where there is no event."""
    rules_version: int
    """Which version of the rules it was decided by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileHistoryEntry:
    """Records that a profile was created, or absorbed by another."""

    segment_id: str
    """The id that the profile was founded with."""
    canonical_segment_id: str
    """The id that it stood for from then on; its own at its creation."""
    message_id: str
    """The event that caused it."""
    timestamp: datetime
    """The time of that event."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentityExplanation:
    """Why two names stand for one profile, or why they do not."""

    joined: bool
    first_segment_id: str
    second_segment_id: str
    path: tuple[LinkExplanation, ...]
    """A shortest path of events from the first to the second; empty unless `joined`."""
    drops: tuple[DropExplanation, ...]
    """What kept them apart, the newest first; empty where `joined`, or where they never met."""
    history: tuple[ProfileHistoryEntry, ...]
    """The creations and merges of the profiles concerned, the oldest first."""


def identity_explanation(
    message: profile_service_pb2.ExplainIdentityResponse,
) -> IdentityExplanation:
    """Returns an explanation of the wire."""
    return IdentityExplanation(
        joined=message.joined,
        first_segment_id=message.first_segment_id,
        second_segment_id=message.second_segment_id,
        path=tuple(map(_link_explanation, message.path)),
        drops=tuple(map(_drop_explanation, message.drops)),
        history=tuple(map(_history_entry, message.history)),
    )


def _link_explanation(message: profile_pb2.LinkExplanation) -> LinkExplanation:
    return LinkExplanation(
        from_identifier=identifier(message.from_identifier),
        to_identifier=identifier(message.to_identifier),
        message_id=message.message_id,
        type=message.type,
        name=message.name,
        source_id=message.source_id,
        timestamp=time_of(message.timestamp),
        rules_version=message.rules_version,
        outcome=_outcome_of(message.outcome),
    )


def _drop_explanation(message: profile_pb2.DropExplanation) -> DropExplanation:
    return DropExplanation(
        drop=drop(message.drop),
        message_id=message.message_id,
        type=message.type,
        name=message.name,
        source_id=message.source_id,
        timestamp=optional_time_of(message, "timestamp"),
        rules_version=message.rules_version,
    )


def _history_entry(message: profile_pb2.ProfileHistoryEntry) -> ProfileHistoryEntry:
    return ProfileHistoryEntry(
        segment_id=message.segment_id,
        canonical_segment_id=message.canonical_segment_id,
        message_id=message.message_id,
        timestamp=time_of(message.timestamp),
    )
