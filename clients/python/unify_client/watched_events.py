"""Events as whoever watches a space sees them: live, or as violations of its rules."""

from __future__ import annotations

from dataclasses import dataclass

from unify_client.profiles import ProfileEvent, profile_event
from unify_client.vocabulary import RejectionReason, reader_of
from unify_grpc._pb.unify.v1 import operations_service_pb2

_rejection_reason_of = reader_of(RejectionReason)


@dataclass(frozen=True, slots=True, kw_only=True)
class TailedEvent:
    """One event of a tail."""

    event: ProfileEvent
    segment_id: str | None
    """The canonical id of its profile; None while its link is pending."""
    resume_token: str
    """Continues after this event."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """One event that broke a rule: either it was refused, or identifiers were left out."""

    event: ProfileEvent
    """The event as it was sent; its `drops` say what was left out."""
    reason: RejectionReason | None
    """Why it was refused; None where it was stored."""
    segment_id: str | None
    """The canonical id of its profile; None where it was refused."""
    rules_version: int
    """Which version of the rules it was judged by."""
    omitted_parts: tuple[str, ...] = ()
    """Parts of a refused event that `event` lacks or holds cut, such as `properties`."""


def tailed_event(message: operations_service_pb2.TailEventsResponse) -> TailedEvent:
    """Returns an event of a tail from the wire; the message has one."""
    return TailedEvent(
        event=profile_event(message.event),
        segment_id=message.segment_id or None,
        resume_token=message.resume_token,
    )


def violation(message: operations_service_pb2.Violation) -> Violation:
    """Returns a violation of the wire."""
    return Violation(
        event=profile_event(message.event),
        reason=_rejection_reason_of(message.reason),
        segment_id=message.segment_id or None,
        rules_version=message.rules_version,
        omitted_parts=tuple(message.omitted_parts),
    )
