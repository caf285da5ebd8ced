"""How much a shard holds of each space, counted as it changes."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from unify_grpc.machines.rows import MemberRow
    from unify_grpc.machines.tables import Working

COUNTS: Final = b"z"
FORMAT: Final = 1
_ROW = struct.Struct("<BQQQ")
_U32 = struct.Struct(">I")


class SpaceCounts(NamedTuple):
    """What a shard holds of one space, or how that changes."""

    events: int = 0
    identifiers: int = 0
    """Those on a profile, each incarnation counted once."""
    profiles: int = 0
    """At home here, and alive."""

    def plus(self, other: SpaceCounts) -> SpaceCounts:
        """Returns the sum."""
        return SpaceCounts(*(a + b for a, b in zip(self, other, strict=True)))


def unpack_counts(data: bytes) -> SpaceCounts:
    """Reads a row of counts; `ValueError` on another format."""
    format_, *counts = _ROW.unpack(data)
    if format_ != FORMAT:
        raise ValueError(f"a row of counts of format {format_} is not known here")
    return SpaceCounts(*counts)


def add_counts(working: Working, space: int, change: SpaceCounts) -> None:
    """Adds to what is counted of a space."""
    if change == SpaceCounts():
        return
    key = COUNTS + _U32.pack(space)
    stored = working.get(key)
    counts = change if stored is None else unpack_counts(stored).plus(change)
    working.put(key, _ROW.pack(FORMAT, *counts))


def is_profile(member: bytes, row: MemberRow) -> bool:
    """Whether a profile lives here under this member: bound to itself, or never bound."""
    return row.root == member if row.root is not None else row.founded
