"""Which records of a shard's log hold events of a space: the list behind everything by time.

One entry per batch and space, in the order of the log, so that the newest activity of a space is
read from the end and its live tail from any place, whatever else the log holds.
"""

from __future__ import annotations

import struct
from bisect import bisect_left
from typing import TYPE_CHECKING, Final

from unify_grpc.machines.entry_lists import EntryList, append_entries

if TYPE_CHECKING:
    from collections.abc import Callable

    from unify_grpc.machines.tables import Working

ACTIVITY: Final = b"a"
_ENTRY = struct.Struct(">Q")


def note_activity(working: Working, space: int, number: int) -> None:
    """Notes that a record holds events of a space; called once for each, in rising order."""
    append_entries(working, ACTIVITY, space, _ENTRY.size, _ENTRY.pack(number))


class ActivityList:
    """The records that hold events of a space, as they were at one moment, oldest first."""

    def __init__(self, get: Callable[[bytes], bytes | None], space: int) -> None:
        """Takes how a row is read, as `EntryList` does."""
        self._entries = EntryList(get, ACTIVITY, space, _ENTRY.size)

    def __len__(self) -> int:
        return len(self._entries)

    def __getitem__(self, index: int) -> int:
        """Returns the number of a record."""
        number: int = _ENTRY.unpack(self._entries[index])[0]
        return number

    def index_from(self, number: int) -> int:
        """Returns the place of the first record that is not before `number`."""
        return bisect_left(self, number)
