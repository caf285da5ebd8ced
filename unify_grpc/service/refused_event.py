"""Refused events on their way through a gateway."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from unify_grpc.identity.outcomes import RejectionReason
    from unify_grpc.identity.promotion import PromotionDrop
    from unify_grpc.machines.batch import Body


class Unreadable(NamedTuple):
    """An event that could not be read, with what could be."""

    reason: RejectionReason
    type: str
    body: Body
    omitted: tuple[str, ...]
    """Parts that are no JSON."""


class RefusedEvent(NamedTuple):
    """An event that was refused, for whatever reason."""

    reason: RejectionReason
    type: str
    body: Body
    omitted: tuple[str, ...]
    """Parts that could not be read."""
    drops: tuple[PromotionDrop, ...]
    """What promotion left out, where it came that far."""
    stamp_us: int
