"""How much room a store has, and what of it is kept from events.

A push, the clearing of a mark, a deletion and a checkpoint finish what was accepted before, so they
may use all the room there is. Events may not: they are refused while less than a reserve is left.
"""

from __future__ import annotations

import os
import time
from enum import StrEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    import lmdb

LOOK_INTERVAL_S: Final = 0.1
"""Between two looks of the writer, so that they cost a batch nothing."""
SAY_INTERVAL_S: Final = 10.0
"""Between two lines in the log about the same lack of room."""
MAP_SHARE_MAX: Final = 10
"""The reserve is at most this part of a map: a tenth."""


class Full(StrEnum):
    """What is full."""

    DISK = "disk"
    MAP = "map"


class Room:
    """Looks at the disk and the maps of one store. Any thread may ask."""

    def __init__(self, environments: Sequence[lmdb.Environment], reserve_bytes: int) -> None:
        """Takes the environments of a store, all on one disk, and what is kept from events."""
        self._environments = environments
        self._path = environments[0].path()
        self._reserve_bytes = reserve_bytes
        self._full: Full | None = None
        self._look_due = 0.0
        self._say_due = 0.0
        self._refused_free_bytes: int | None = None
        """On the disk, when it refused the last write; None: the last write found room."""

    def has_for_events(self) -> bool:
        """Says, from a look that is at most a moment old, whether events may be stored."""
        now = time.monotonic()
        if now >= self._look_due:
            self._look_due = now + LOOK_INTERVAL_S
            self._full = self._look()
        return self._full is None

    @property
    def full(self) -> Full | None:
        """What events are refused for now, or what the last write failed for; None: nothing."""
        found = self._look()
        refused = self._refused_free_bytes
        if found is None and refused is not None and self._free_bytes() <= refused:
            return Full.DISK
        return found

    def note_refused(self) -> None:
        """Takes it that a write found no room."""
        self._refused_free_bytes = self._free_bytes()

    def note_written(self) -> None:
        """Takes it that a write found room."""
        self._refused_free_bytes = None

    def is_worth_saying(self) -> bool:
        """Whether the log is to hear of the lack of room, or has just heard of it."""
        now = time.monotonic()
        if now < self._say_due:
            return False
        self._say_due = now + SAY_INTERVAL_S
        return True

    def _look(self) -> Full | None:
        for environment in self._environments:
            info = environment.info()
            map_bytes = info["map_size"]
            left = map_bytes - (info["last_pgno"] + 1) * os.sysconf("SC_PAGE_SIZE")
            if left < min(self._reserve_bytes, map_bytes // MAP_SHARE_MAX):
                return Full.MAP
        return Full.DISK if self._free_bytes() < self._reserve_bytes else None

    def _free_bytes(self) -> int:
        found = os.statvfs(self._path)
        return found.f_bavail * found.f_frsize
