"""Lists of entries of one size, per space, that only grow: in full parts and a tail.

An entry is appended to the tail's row; a full tail becomes a row of its own, which never changes
again. So appending costs one row a batch, and reading backwards or at any place costs one row
for each part that is looked at.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from unify_grpc.machines.tables import Working

PART_ENTRIES: Final = 128
FORMAT: Final = 1
_TAIL = struct.Struct("<BI")
_PART_HEAD = bytes((FORMAT,))
_U32 = struct.Struct(">I")


def append_entries(
    working: Working, table: bytes, space: int, entry_bytes: int, entries: bytes
) -> None:
    """Adds packed entries, `entry_bytes` each, to the end of a space's list."""
    key = table + _U32.pack(space)
    stored = working.get(key)
    parts_count, tail = (0, b"") if stored is None else _unpack_tail(stored)
    tail += entries
    part_bytes = PART_ENTRIES * entry_bytes
    while len(tail) >= part_bytes:
        working.put(_part_key(table, space, parts_count), _PART_HEAD + tail[:part_bytes])
        tail = tail[part_bytes:]
        parts_count += 1
    working.put(key, _TAIL.pack(FORMAT, parts_count) + tail)


class EntryList:
    """A space's list as it was at one moment; it may have grown since."""

    def __init__(
        self,
        get: Callable[[bytes], bytes | None],
        table: bytes,
        space: int,
        entry_bytes: int,
    ) -> None:
        """Takes how a row is read: each call may see a later state."""
        self._get = get
        self._table = table
        self._space = space
        self._entry_bytes = entry_bytes
        stored = get(table + _U32.pack(space))
        self._parts_count, self._tail = (0, b"") if stored is None else _unpack_tail(stored)
        self._part_number = -1
        self._part = b""

    def __len__(self) -> int:
        return self._parts_count * PART_ENTRIES + len(self._tail) // self._entry_bytes

    def __getitem__(self, index: int) -> bytes:
        """Returns an entry, counted from the oldest; the part it lies in is kept at hand."""
        number, at = divmod(index, PART_ENTRIES)
        if number == self._parts_count:
            part = self._tail
        else:
            if number != self._part_number:
                self._part_number, self._part = number, self._read_part(number)
            part = self._part
        entry = part[at * self._entry_bytes : (at + 1) * self._entry_bytes]
        if len(entry) != self._entry_bytes:
            raise IndexError(index)
        return entry

    def _read_part(self, number: int) -> bytes:
        data = self._get(_part_key(self._table, self._space, number))
        assert data is not None, "a part of a space's list is missing"
        if data[0] != FORMAT:
            raise ValueError(f"a list part of format {data[0]} is not known here")
        return data[1:]


def _part_key(table: bytes, space: int, number: int) -> bytes:
    return table + _U32.pack(space) + _U32.pack(number)


def _unpack_tail(stored: bytes) -> tuple[int, bytes]:
    format_, parts_count = _TAIL.unpack_from(stored)
    if format_ != FORMAT:
        raise ValueError(f"a list tail of format {format_} is not known here")
    return parts_count, stored[_TAIL.size :]
