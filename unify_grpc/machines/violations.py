"""The list of a space's violations: identifiers left out of events, and refused events.

Entries have one size and say enough to be filtered; what they are about is read from the log for
those that are shown. An event's own entries stand side by side, except that what its link left
out comes when that is decided.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, NamedTuple
from zlib import crc32

from unify_grpc.machines.entry_lists import PART_ENTRIES, EntryList, append_entries
from unify_grpc.machines.noted_drops import FINGERPRINT_BYTES, NotedDrop, unpack_drops
from unify_grpc.machines.refusals import refusal_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from unify_grpc.machines.batch import Batch, Frame
    from unify_grpc.machines.tables import Working

VIOLATIONS: Final = b"v"
REFUSED: Final = 0x80
"""Added to the reason of a refusal, so that it is no reason of a drop."""
REPEATS_SOUGHT_MAX: Final = 8 * PART_ENTRIES
"""Entries that may come between a call and its repetition: a gateway makes that in seconds."""
_ENTRY = struct.Struct("<QqB4s8s")


Refusal = tuple[int, bytes]
"""(stamp, mark of the message id) name one attempt: a gateway stamps no two events alike."""


class Entry(NamedTuple):
    """One violation as it is listed."""

    position: int
    """Where the log holds the event."""
    stamp_us: int
    kind: int
    """A drop reason, or a reason of refusal plus `REFUSED`."""
    type_hash: bytes
    """Of the dropped identifier's type; zeros for a refusal."""
    fingerprint: bytes
    """Of the dropped identifier; of a refusal, the mark of its message id."""


def hash_type(type_: str) -> bytes:
    """Returns four bytes that stand for a type of identifier; others may have the same."""
    return crc32(type_.encode()).to_bytes(4, "big")


class ViolationList:
    """A space's violations as they were at one moment, oldest first."""

    def __init__(self, get: Callable[[bytes], bytes | None], space: int) -> None:
        """Takes how a row is read, as `EntryList` does."""
        self._entries = EntryList(get, VIOLATIONS, space, _ENTRY.size)

    def __len__(self) -> int:
        return len(self._entries)

    def __getitem__(self, index: int) -> Entry:
        """Returns an entry, counted from the oldest."""
        return Entry._make(_ENTRY.unpack(self._entries[index]))


def note_promotion_drops(
    working: Working, position: int, frame: Frame, drops: Iterable[NotedDrop]
) -> None:
    """Lists what promotion left out of an event that is stored now."""
    _append(working, frame.space, drop_entries(position, frame.stamp_us, drops))


def note_decided_drops(
    working: Working, position: int, batch: Batch, drops: Sequence[tuple[int, int]]
) -> None:
    """Lists what a decided link left out of its event; once, when its mark is cleared.

    Args:
        working: rows of the push at hand.
        position: where the log holds the event.
        batch: that it was stored in.
        drops: (index among its identifiers, reason).
    """
    space = batch.frame(position & 0xFFFF).space
    _append(working, space, decided_entries(position, batch, drops))


def note_refused(working: Working, position: int, batch: Batch, index: int) -> None:
    """Lists a refused event, and what promotion left out of it."""
    _append(working, batch.frame(index).space, refused_entries(position, batch, index))


def listed_refusals(working: Working, space: int, refused_max: int) -> dict[Refusal, int]:
    """Returns where the newest refused events are listed; ask once for a whole batch.

    Args:
        working: rows of the command at hand.
        space: whose list.
        refused_max: at most so many refused events are looked for.
    """
    listed = ViolationList(working.get, space)
    count = len(listed)
    found: dict[Refusal, int] = {}
    for at in range(max(0, count - REPEATS_SOUGHT_MAX - refused_max), count):
        entry = listed[at]
        if entry.kind & REFUSED:
            found[entry.stamp_us, entry.fingerprint] = entry.position
    return found


def promotion_drops(batch: Batch, index: int, frame: Frame) -> list[NotedDrop]:
    """Returns what promotion left out of a stored event."""
    return unpack_drops(batch.notes(index, frame))


def drop_entries(position: int, stamp_us: int, drops: Iterable[NotedDrop]) -> list[Entry]:
    """Returns how it is listed what promotion left out of an event."""
    return [
        Entry(position, stamp_us, drop.reason, hash_type(drop.type), drop.fingerprint)
        for drop in drops
    ]


def decided_entries(position: int, batch: Batch, drops: Sequence[tuple[int, int]]) -> list[Entry]:
    """Returns how it is listed what a decided link left out; names as in `note_decided_drops`."""
    frame = batch.frame(position & 0xFFFF)
    ids = batch.identifiers(position & 0xFFFF)
    return [
        Entry(
            position,
            frame.stamp_us,
            reason,
            hash_type(ids[index].type),
            ids[index].key[:FINGERPRINT_BYTES],
        )
        for index, reason in drops
    ]


def refused_entries(position: int, batch: Batch, index: int) -> list[Entry]:
    """Returns how a refused event is listed, behind what promotion left out of it."""
    frame = batch.frame(index)
    refused = refusal_in(batch, index, frame)
    entry = Entry(position, frame.stamp_us, REFUSED | refused.reason, bytes(4), frame.mark)
    return [*drop_entries(position, frame.stamp_us, refused.drops), entry]


def _append(working: Working, space: int, entries: Iterable[Entry]) -> None:
    packed = b"".join(_ENTRY.pack(*entry) for entry in entries)
    append_entries(working, VIOLATIONS, space, _ENTRY.size, packed)
