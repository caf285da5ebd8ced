"""What shards, the merge actor and gateways tell each other about links.

All of it is packed with msgpack: `encode` and `decoder(Type)`.
"""

from __future__ import annotations

from typing import TypeVar

import msgspec

from unify_grpc.machines.owed_sides import OwedSide

T = TypeVar("T")


class Founding(msgspec.Struct, array_like=True, frozen=True):
    """That an event with one identifier alone founded a profile."""

    stamp_us: int
    stream: int
    time_us: int
    source: int
    message_id: str


class PendingLink(msgspec.Struct, array_like=True, frozen=True):
    """An event whose identifiers were not known to belong together, as its shard stored it."""

    shard: int
    position: int
    """With the shard, the link's name: it is decided once."""
    index: int
    """The event's place in the call that lists it; -1 from a sweep."""
    space: int
    collection: int
    rules_version: int
    time_us: int
    stamp_us: int
    stream: int
    source: int
    message_id: str
    anchor: bytes
    """The anchor's member."""
    founding: Founding | None
    """The anchor's, if it was founded before."""
    ids: list[tuple[bytes, str, str]]
    """(key, type, value), the anchor first."""


class Append(msgspec.Struct, array_like=True, frozen=True):
    """A shard's answer to a batch."""

    stale: dict[int, int]
    """Space to the newer rules version; then nothing was stored."""
    statuses: bytes
    """One byte an event: an outcome, 0 for one that links nothing, plus `DUPLICATE`."""
    roots: bytes
    """20 bytes an event: the profile of its anchor; zeros while pending, and if there is none."""
    pending: list[PendingLink]
    drops: dict[int, list[tuple[str, str, int]]]
    """Index of a duplicate to its stored drops: (type, value, reason)."""
    owed: list[OwedSide] = []
    """Of each user's side that has an account's, in the order of the batch."""
    lives: dict[int, int] = {}
    """Index of an account's side to the incarnation it is stored under, but for the first."""


DUPLICATE = 0x80


class LookedUp(msgspec.Struct, array_like=True, frozen=True):
    """What a shard knows of an identifier."""

    incarnation: int
    founding: Founding | None
    is_damaged: bool = False
    """Whether its row cannot be read, so that nothing is known of its founding."""


class ProfilePush(msgspec.Struct, array_like=True, frozen=True):
    """The present row of a linked profile, for its home."""

    root: bytes
    seq: int
    space: int
    collection: int
    created_us: int
    merges: int
    members: list[bytes]
    hidden: list[bytes] = []
    """Those of `members` that were deleted: gathered, but neither listed nor found."""


class BindingPush(msgspec.Struct, array_like=True, frozen=True):
    """That a member belongs to a profile, for the member's shard."""

    member: bytes
    root: bytes
    seq: int
    space: int
    collection: int
    type: str
    value: str
    joined_us: int
    source: int
    message_id: str
    founding_known: bool
    """Whether the decision that first bound it knew of its own founding, if it has one."""
    link_epoch: int = 0
    """Memory of its anchor stamped with another one is not used."""


class AgePush(msgspec.Struct, array_like=True, frozen=True):
    """That what a member remembers of its partners is not to be used any more."""

    member: bytes
    space: int
    collection: int
    link_epoch: int


class NamePush(msgspec.Struct, array_like=True, frozen=True):
    """That an identifier was deleted: its next sighting begins this incarnation."""

    key: bytes
    incarnation: int


class MemoryPush(msgspec.Struct, array_like=True, frozen=True):
    """Identifiers that are in the anchor's profile, everywhere."""

    anchor: bytes
    link_epoch: int
    """Of the anchor, at the decision; if it has another one by now, this is not remembered."""
    partners: list[bytes]
    """Eight bytes each: `partner_of` a key."""


class ClearPush(msgspec.Struct, array_like=True, frozen=True):
    """That a pending link is decided and visible everywhere."""

    position: int
    outcome: int
    root: bytes
    seq: int
    drops: list[tuple[int, int]]
    rules_version: int = 0
    """Of the limits it was decided by."""


class Push(msgspec.Struct, array_like=True, frozen=True):
    """Rows for one shard, applied in one commit."""

    profiles: list[ProfilePush] = []
    bindings: list[BindingPush] = []
    memories: list[MemoryPush] = []
    clears: list[ClearPush] = []
    ages: list[AgePush] = []
    names: list[NamePush] = []

    def extend(self, other: Push) -> None:
        """Takes the rows of another push in; all that travels together is one commit."""
        self.profiles.extend(other.profiles)
        self.bindings.extend(other.bindings)
        self.memories.extend(other.memories)
        self.clears.extend(other.clears)
        self.ages.extend(other.ages)
        self.names.extend(other.names)


class Void(msgspec.Struct, array_like=True, frozen=True):
    """A founding that no decision knew of; its segment_id now leads to `root`."""

    member: bytes
    root: bytes
    seq: int
    founding: Founding


class Decided(msgspec.Struct, array_like=True, frozen=True):
    """The outcome of a link, told once it is visible through every kept identifier."""

    shard: int
    position: int
    outcome: int
    root: bytes
    drops: list[tuple[int, int]]


encode = msgspec.msgpack.Encoder().encode


def partner_of(key: bytes) -> bytes:
    """Returns the eight bytes that stand for a key in link memory."""
    return key[8:16]


def decoder(type_: type[T]) -> msgspec.msgpack.Decoder[T]:
    """Returns a decoder of one of the types above."""
    return msgspec.msgpack.Decoder(type_)
