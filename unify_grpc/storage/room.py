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
ONE_BYTES_MAX: Final = 1 << 18
"""What a small record takes at the most, with the pages that LMDB copies for it."""
MAP_SHARE_MAX: Final = 10
"""The reserve is at most this part of a map: a tenth."""


class Full(StrEnum):
    """What is full."""

    DISK = "disk"
    MAP = "map"


class Room:
    """Looks at the disk and the maps of one store. Any thread may ask."""

    def __init__(self, environments: Sequence[lmdb.Environment], reserve_bytes: int) -> None:
        """Takes the environments of a store, and what is kept from events."""
        self._environments = environments
        self._paths = [each.path() for each in environments]
        self._page_bytes = environments[0].stat()["psize"]
        self._map_bytes = environments[0].info()["map_size"]
        self._reserve_bytes = reserve_bytes
        self._full: Full | None = None
        self._look_due = 0.0
        self._say_due = 0.0
        self._refused: tuple[Full, int] | None = None
        """What the last write failed for, and what the disk had free then; None: it succeeded."""

    def has_for_events(self) -> bool:
        """Says, from a look that is at most a moment old, whether events may be stored."""
        now = time.monotonic()
        if now >= self._look_due:
            self._look_due = now + LOOK_INTERVAL_S
            self._full = self._look()
        return self._full is None

    def has_for_one(self) -> bool:
        """Says whether one small record will surely fit now, out of the reserve too."""
        return min(*self._left_bytes(), self._free_bytes()) >= ONE_BYTES_MAX

    @property
    def full(self) -> Full | None:
        """What events are refused for now, or what the last write failed for; None: nothing."""
        found, refused = self._look(), self._refused
        if found is not None or refused is None:
            return found
        full, free_bytes = refused
        return full if full is Full.MAP or self._free_bytes() <= free_bytes else None

    def note_refused(self, full: Full) -> None:
        """Takes it that a write found no room."""
        self._refused = full, self._free_bytes()

    def note_written(self) -> None:
        """Takes it that a write found room."""
        self._refused = None

    def is_worth_saying(self) -> bool:
        """Whether the log is to hear of the lack of room, or has just heard of it."""
        now = time.monotonic()
        if now < self._say_due:
            return False
        self._say_due = now + SAY_INTERVAL_S
        return True

    def _look(self) -> Full | None:
        if min(self._left_bytes()) < min(self._reserve_bytes, self._map_bytes // MAP_SHARE_MAX):
            return Full.MAP
        return Full.DISK if self._free_bytes() < self._reserve_bytes else None

    def _left_bytes(self) -> list[int]:
        """Returns what each map has left; pages that are free within the file come on top."""
        used = [each.info()["last_pgno"] + 1 for each in self._environments]
        return [self._map_bytes - pages * self._page_bytes for pages in used]

    def _free_bytes(self) -> int:
        disks = [os.statvfs(each) for each in self._paths]
        return min(each.f_bavail * each.f_frsize for each in disks)
