"""Rows of a shard: their keys and their packed forms.

A row key is a table byte and the key in that table. Rows are bytes everywhere but inside the one
command that touches them: packed records cost a third of the memory of objects.
"""

from __future__ import annotations

import struct

import msgspec

from unify_grpc.machines.batch import EVENT_TYPES
from unify_grpc.machines.formats import checked_decoder

MEMBER = b"m"
TRAITS = b"t"
CHUNK = b"c"
DEDUPE = b"d"
PROFILE = b"p"
PENDING = b"q"
OUTCOME = b"o"
NAME = b"n"
SPACE = b"s"
OWED = b"w"
LINK = b"k"

_U64 = struct.Struct(">Q")
_U32 = struct.Struct(">I")
_MEMBER = struct.Struct("<BBBIIqQqQ20sQqQQQIqQqQ6IHHHHH")
_FOUNDED = 1
_BOUND = 2
FORMAT = 2
NO_MEMBER = bytes(20)


def pending_mark(anchor: bytes, stamp_us: int) -> bytes:
    """Returns the value of a pending mark: whose event it is, and when it was received."""
    return anchor + _U64.pack(stamp_us)


def anchor_in(mark: bytes) -> bytes:
    """Returns the anchor's member in a pending mark."""
    return mark[:20]


def stamp_in(mark: bytes) -> int:
    """Returns the stamp in a pending mark."""
    return int.from_bytes(mark[20:], "big")


def pending_key(position: int) -> bytes:
    """Returns the key of a pending mark."""
    return PENDING + _U64.pack(position)


def outcome_key(position: int) -> bytes:
    """Returns the key of the outcome kept for a decided link."""
    return OUTCOME + _U64.pack(position)


def owed_key(position: int) -> bytes:
    """Returns the key of the mark of an event that owes its account side; its value: the member."""
    return OWED + _U64.pack(position)


def position_in(key: bytes) -> int:
    """Returns the log position that a pending, outcome or owed key ends in."""
    return int.from_bytes(key[-8:], "big")


def chunk_key(member: bytes, number: int) -> bytes:
    """Returns the key of a full part of a member's event list."""
    return CHUNK + member + _U32.pack(number)


def dedupe_key(member: bytes, bucket: int) -> bytes:
    """Returns the key of a bucket of message-id fingerprints."""
    return DEDUPE + member + _U32.pack(bucket)


def space_key(space: int) -> bytes:
    """Returns the key of what a shard knows of a space."""
    return SPACE + _U32.pack(space)


class MemberRow:
    """What a shard holds under one member, but for traits and full parts of its event list."""

    __slots__ = (
        "chunk_count",
        "collection",
        "counts",
        "dirty",
        "event_count",
        "first_pos",
        "first_us",
        "founded",
        "founding_pos",
        "founding_stamp_us",
        "founding_stream",
        "founding_us",
        "joined_message_id",
        "joined_source",
        "joined_us",
        "last_pos",
        "last_us",
        "link_epoch",
        "memory_epoch",
        "partners",
        "root",
        "seq",
        "space",
        "tail_fingerprints",
        "tail_positions",
        "tail_times",
        "type",
        "value",
    )

    def __init__(self, space: int, collection: int) -> None:
        self.space = space
        self.collection = collection
        """0 users, 1 accounts."""
        self.founded = False
        """Whether an event with this identifier alone founded a profile here."""
        self.founding_stamp_us = 0
        self.founding_stream = 0
        self.founding_us = 0
        self.founding_pos = 0
        self.root: bytes | None = None
        """The profile it is bound to, named by its founding member; None: never linked."""
        self.seq = 0
        """The merge actor's sequence number of that binding."""
        self.type = ""
        """Empty until the identifier was seen as an anchor or bound."""
        self.value = ""
        self.joined_us = 0
        """Link time; for a founding by a single event, that event's time."""
        self.joined_source = 0
        self.joined_message_id = ""
        self.memory_epoch = 0
        """The link epoch that `partners` were remembered under; under another they are unused."""
        self.link_epoch = 0
        """Raised for all members of a profile before an identifier is deleted from it."""
        self.partners = b""
        """Eight bytes of the key of each identifier known to be in the same profile."""
        self.event_count = 0
        self.counts = [0] * len(EVENT_TYPES)
        """Of its events, by type."""
        self.chunk_count = 0
        self.first_us = 0
        """The earliest event time; `last_us` is the latest."""
        self.first_pos = 0
        """Where the log holds the event that was stored first; `last_pos`: last."""
        self.last_us = 0
        self.last_pos = 0
        self.tail_times = b""
        self.tail_positions = b""
        self.tail_fingerprints = b""
        self.dirty = False

    def pack(self) -> bytes:
        """Returns the row as stored."""
        type_, value = self.type.encode(), self.value.encode()
        message_id = self.joined_message_id.encode()
        flags = (_FOUNDED if self.founded else 0) | (_BOUND if self.root is not None else 0)
        return b"".join(
            (
                _MEMBER.pack(
                    FORMAT,
                    flags,
                    self.collection,
                    self.space,
                    self.joined_source,
                    self.founding_stamp_us,
                    self.founding_stream,
                    self.founding_us,
                    self.founding_pos,
                    self.root or NO_MEMBER,
                    self.seq,
                    self.joined_us,
                    self.memory_epoch,
                    self.link_epoch,
                    self.event_count,
                    self.chunk_count,
                    self.first_us,
                    self.first_pos,
                    self.last_us,
                    self.last_pos,
                    *self.counts,
                    len(type_),
                    len(message_id),
                    len(value),
                    len(self.partners) // 8,
                    len(self.tail_times) // 8,
                ),
                type_,
                message_id,
                value,
                self.partners,
                self.tail_times,
                self.tail_positions,
                self.tail_fingerprints,
            )
        )

    @classmethod
    def unpack(cls, data: bytes) -> MemberRow:
        """Reads what `pack` wrote; `ValueError` on another format."""
        row = cls.__new__(cls)
        (
            format_,
            flags,
            row.collection,
            row.space,
            row.joined_source,
            row.founding_stamp_us,
            row.founding_stream,
            row.founding_us,
            row.founding_pos,
            root,
            row.seq,
            row.joined_us,
            row.memory_epoch,
            row.link_epoch,
            row.event_count,
            row.chunk_count,
            row.first_us,
            row.first_pos,
            row.last_us,
            row.last_pos,
            *row.counts,
            type_bytes,
            message_id_bytes,
            value_bytes,
            partner_count,
            tail_count,
        ) = _MEMBER.unpack_from(data)
        if format_ != FORMAT:
            message = f"member row format {format_} is not known here"
            raise ValueError(message)
        row.founded = bool(flags & _FOUNDED)
        row.root = root if flags & _BOUND else None
        start = _MEMBER.size
        end = start + type_bytes
        row.type = data[start:end].decode()
        start, end = end, end + message_id_bytes
        row.joined_message_id = data[start:end].decode()
        start, end = end, end + value_bytes
        row.value = data[start:end].decode()
        start, end = end, end + 8 * partner_count
        row.partners = data[start:end]
        start, end = end, end + 8 * tail_count
        row.tail_times = data[start:end]
        start, end = end, end + 8 * tail_count
        row.tail_positions = data[start:end]
        row.tail_fingerprints = data[end : end + 8 * tail_count]
        row.dirty = False
        return row


class ProfileRow(msgspec.Struct, array_like=True, frozen=True):
    """A linked profile as its home shard knows it."""

    format: int
    space: int
    seq: int
    created_us: int
    merges: int
    members: list[bytes]
    hidden: list[bytes]
    """Those of `members` that were deleted: gathered, but neither listed nor found."""


class OutcomeRow(msgspec.Struct, array_like=True, frozen=True):
    """How a link was decided, kept for duplicates of its event and for readers of it."""

    format: int
    outcome: int
    root: bytes
    seq: int
    drops: list[tuple[int, int]]
    """(index among the event's identifiers, drop reason)."""
    rules_version: int = 0
    """That it was decided by; 0 if that was not told."""


class SpaceRow(msgspec.Struct, array_like=True, frozen=True):
    """What a shard knows of a space."""

    format: int
    rules_version: int
    epoch: int
    """Always 0: link memory ages by member (`MemberRow.link_epoch`). The row keeps its place."""
    searchable: list[str] = []
    """Names of the traits that its profiles are found by, as it was told last."""
    filling: list[str] = []
    """Those of them that rows stored earlier are still gone through for."""
    filled_to: bytes = b""
    """The last member that was gone through; empty: none."""


encode = msgspec.msgpack.Encoder().encode
decode_profile = checked_decoder(ProfileRow, FORMAT)
decode_outcome = checked_decoder(OutcomeRow, FORMAT)
decode_space = checked_decoder(SpaceRow, FORMAT)
