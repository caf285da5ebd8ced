"""Questions about a space as a whole that one shard answers, and its answers."""

from __future__ import annotations

import msgspec

from unify_grpc.machines.refusals import RefusedBody
from unify_grpc.machines.stored_event import StoredEvent

NEWEST = -1
"""As a position to read backwards from: the newest there is."""


class ListActive(msgspec.Struct, array_like=True, frozen=True, tag="active"):
    """Which members were active last, the newest first?"""

    space: int
    collection: int
    before: int
    """Only events before this position of the log, or `NEWEST`."""
    limit: int


class ActiveMembers(msgspec.Struct, array_like=True, frozen=True):
    """Members by their last event, the newest first."""

    members: list[tuple[int, int, bytes]]
    """(stamp, position, member)."""
    next: int
    """Everything at or after this position was looked at; 0: everything."""
    newest_us: int
    """The stamp that was looked at first; 0 if there is none."""


class TailSpace(msgspec.Struct, array_like=True, frozen=True, tag="tail"):
    """Which events were stored, in the order of the log?"""

    space: int
    start: int
    """Only those at or after this position, or `NEWEST` for those to come."""
    types: list[int]
    """Of `EVENT_TYPES`; empty: all."""
    sources: list[int]
    """Empty: all."""
    limit: int


class TailedEvent(msgspec.Struct, array_like=True, frozen=True):
    """One event of a tail."""

    position: int
    is_pending: bool
    """Whether its link is not decided yet."""
    event: StoredEvent


class TailedEvents(msgspec.Struct, array_like=True, frozen=True):
    """The next events of a tail."""

    events: list[TailedEvent]
    next: int
    """Where to go on."""
    is_end: bool
    """Whether there were no more."""


class ListSpaceViolations(msgspec.Struct, array_like=True, frozen=True, tag="violations"):
    """Which violations does a space have, the newest first?"""

    space: int
    before: int
    """Only entries before this one, counted from the oldest, or `NEWEST`."""
    kinds: list[int]
    """Kinds of entries, see `violations.Entry`; empty: all."""
    identifier_type: str
    """Only drops of identifiers of this type; empty: everything."""
    fingerprints: list[bytes]
    """Only drops of an identifier with one of these; empty: everything."""
    start_us: int | None
    """Received at or after this."""
    end_us: int | None
    """Received before this."""
    limit: int


class FoundViolation(msgspec.Struct, array_like=True, frozen=True):
    """One event that broke a rule: one that was stored, or one that was refused."""

    entry: int
    """Its place in the list, counted from the oldest."""
    stamp_us: int
    time_us: int
    source: int
    rules_version: int
    event: StoredEvent | None = None
    refused: RefusedBody | None = None


class FoundViolations(msgspec.Struct, array_like=True, frozen=True):
    """Violations, the newest first."""

    violations: list[FoundViolation]
    next: int
    """Every entry at or after this one was looked at; 0: everything."""


class FindByPrefix(msgspec.Struct, array_like=True, frozen=True, tag="prefix"):
    """Which identifiers begin like this, in the order of their values?"""

    space: int
    collection: int
    identifier_type: str
    beginning: str
    after: bytes
    """The member of the identifier to go on after; empty: from the first."""
    limit: int


class FindByTrait(msgspec.Struct, array_like=True, frozen=True, tag="trait"):
    """Which members set a trait to this folded value, in the order of members?"""

    space: int
    collection: int
    name: str
    text: str
    after: bytes
    """The member to go on after; empty: from the first."""
    limit: int


class FoundMembers(msgspec.Struct, array_like=True, frozen=True):
    """Members that were found; what they lead to is not checked."""

    members: list[tuple[bytes, bytes]]
    """(what they are ordered by, member)."""
    is_end: bool
    """Whether there are no more."""


class CountSpaces(msgspec.Struct, array_like=True, frozen=True, tag="counts"):
    """How much is stored, over all spaces?"""


class Counted(msgspec.Struct, array_like=True, frozen=True):
    """How much a shard holds."""

    events: int
    identifiers: int
    profiles: int


ListQuestion = (
    ListActive | TailSpace | ListSpaceViolations | FindByPrefix | FindByTrait | CountSpaces
)
ListAnswer = ActiveMembers | TailedEvents | FoundViolations | FoundMembers | Counted
LIST_ANSWERS: dict[type, type] = {
    ListActive: ActiveMembers,
    TailSpace: TailedEvents,
    ListSpaceViolations: FoundViolations,
    FindByPrefix: FoundMembers,
    FindByTrait: FoundMembers,
    CountSpaces: Counted,
}
