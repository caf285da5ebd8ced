"""What became of events, as callers read it."""

from __future__ import annotations

from dataclasses import dataclass

from unify_client.identifiers import Identifier
from unify_client.vocabulary import (
    DropReason,
    EventStatus,
    Outcome,
    RejectionReason,
    reader_of,
)
from unify_grpc._pb.unify.v1 import identity_pb2, ingest_service_pb2

_status_of = reader_of(EventStatus)
_outcome_of = reader_of(Outcome)
_drop_reason_of = reader_of(DropReason)
_rejection_reason_of = reader_of(RejectionReason)


@dataclass(frozen=True, slots=True)
class Drop:
    """One identifier that an event carried and that was left out of its resolution."""

    identifier: Identifier
    """What was left out, in the event's own words where it could not be normalised."""
    reason: DropReason
    """Why."""


@dataclass(frozen=True, slots=True)
class EventResult:
    """What became of one event."""

    index: int
    """The event's position in what the caller passed, counted from 0."""
    status: EventStatus
    """Whether it was stored."""
    reason: RejectionReason | None
    """Why it was refused; None unless it was."""
    reason_text: str
    """The same in a sentence, whose wording may change; empty unless it was refused."""
    segment_id: str | None
    """The person's profile; None while the link is pending and where there is no person."""
    account_segment_id: str | None
    """The account's profile; None where the event names no account."""
    outcome: Outcome | None
    """What the event did to the profile; None where it did nothing."""
    drops: tuple[Drop, ...]
    """The identifiers that were left out."""

    @property
    def stored(self) -> bool:
        """Says whether the event is durable, by this call or an earlier one."""
        return self.status in {EventStatus.STORED, EventStatus.DUPLICATE}

    @property
    def rejected(self) -> bool:
        """Says whether the event was refused."""
        return self.status is EventStatus.REJECTED


def event_result(message: ingest_service_pb2.EventResult, *, index_first: int = 0) -> EventResult:
    """Returns a result of the wire; `index_first` is where its request's events begin."""
    return EventResult(
        message.index + index_first,
        _status_of(message.status) or EventStatus.UNRECOGNIZED,
        _rejection_reason_of(message.reason),
        message.reason_text,
        message.segment_id or None,
        message.account_segment_id or None,
        _outcome_of(message.outcome),
        tuple(map(drop, message.drops)) if message.drops else (),
    )


def drop(message: identity_pb2.Drop) -> Drop:
    """Returns a drop of the wire."""
    return Drop(
        Identifier(message.collection, message.type, message.value),
        _drop_reason_of(message.reason) or DropReason.UNRECOGNIZED,
    )


def identifier(message: identity_pb2.Identifier) -> Identifier:
    """Returns an identifier of the wire."""
    return Identifier(message.collection, message.type, message.value)
