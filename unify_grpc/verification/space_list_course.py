"""Goes through the lists of spaces along with the log: each entry is met where it was written."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final, cast

from unify_grpc.machines.activity import ACTIVITY, ActivityList
from unify_grpc.machines.violations import VIOLATIONS, ViolationList
from unify_grpc.verification.findings import Invariant

if TYPE_CHECKING:
    from collections.abc import Sequence

    from unify_grpc.machines.violations import Entry
    from unify_grpc.verification.slices import Slice

Courses = dict[str, int]
"""By table and space, how many entries of the list were met."""
_STRAY_MAX: Final = 16
"""Entries that are passed over to find the next one that belongs there."""
_REPEATED_WITHIN: Final = 4_000
"""Entries that are looked through for what was listed when a mark was cleared before."""
_ENTRIES_PER_WORK: Final = 8
_SPACE_BYTES: Final = 4


class Course:
    """The lists of all spaces as one slice has them."""

    def __init__(self, slice_: Slice, met: Courses) -> None:
        """Takes how far they were met before; that is kept up to date."""
        self._slice = slice_
        self._met = met
        self._lists: dict[tuple[bytes, int], ActivityList | ViolationList] = {}
        self._before: dict[int, tuple[set[Entry], int]] = {}
        """By space, some of the violations that were met, and how far they are in it."""

    def listed(self, table: bytes, space: int, entries: Sequence[int | Entry]) -> None:
        """Takes it that entries have to come next in a list."""
        known = self._list(table, space)
        name = _name(table, space)
        at = self._met.get(name, 0)
        for entry in entries:
            self._slice.work += 1
            passed = 0
            while at + passed < len(known) and passed < _STRAY_MAX and known[at + passed] != entry:
                passed += 1
            if at + passed >= len(known) or known[at + passed] != entry:
                self._find(table, space, f"an entry is missing behind the first {at}")
                continue
            if passed:
                self._find(table, space, f"{passed} behind the first {at} stand for nothing")
            at += passed + 1
        self._met[name] = at

    def decided(self, space: int, entries: Sequence[Entry]) -> None:
        """Takes it that entries come next, unless the same were listed before.

        A mark is cleared again when the merge actor starts anew, and nothing is listed then.
        """
        known = self._list(VIOLATIONS, space)
        at = self._met.get(_name(VIOLATIONS, space), 0)
        if at < len(known) and known[at] == entries[0]:
            self.listed(VIOLATIONS, space, entries)
            return
        if entries[0] not in self._met_before(known, space, at) and at <= _REPEATED_WITHIN:
            self.listed(VIOLATIONS, space, entries)

    def _met_before(self, known: ActivityList | ViolationList, space: int, at: int) -> set[Entry]:
        """Returns the newest of the violations that were met; read once for all that ask."""
        entries, read = self._before.get(space, (set(), max(0, at - _REPEATED_WITHIN)))
        entries.update(cast("Entry", known[index]) for index in range(read, at))
        self._slice.work += (at - read) // _ENTRIES_PER_WORK
        self._before[space] = entries, at
        return entries

    def end(self, table: bytes) -> None:
        """Takes it that the log ends here, and with it the lists, as far as they go by it."""
        cursor = table
        while True:
            listed = self._slice.view.list_rows(table, after=cursor, limit=64)
            for key, value in listed.rows:
                if value is not None and len(key) == len(table) + _SPACE_BYTES:
                    self._slice.turn_to(key)
                    space = int.from_bytes(key[1:], "big")
                    self._slice.attempt(partial(self._end_one, table, space))
            if listed.after is None:
                return
            cursor = listed.after

    def _end_one(self, table: bytes, space: int) -> None:
        known, at = self._list(table, space), self._met.get(_name(table, space), 0)
        slice_ = self._slice
        if at >= len(known):
            return
        # What a beginning says is all there was only where nothing came since.
        is_over = slice_.view.number == slice_.last
        entry = known[at]
        if is_over or (isinstance(entry, int) and entry <= slice_.last):
            self._find(table, space, f"entries behind the first {at} stand for nothing")

    def _list(self, table: bytes, space: int) -> ActivityList | ViolationList:
        known = self._lists.get((table, space))
        if known is None:
            kind = ActivityList if table == ACTIVITY else ViolationList
            known = self._lists[table, space] = kind(self._slice.view.get, space)
        return known

    def _find(self, table: bytes, space: int, text: str) -> None:
        what = "activity" if table == ACTIVITY else "violations"
        self._slice.find(Invariant.SPACE_LISTS, f"{what} of space {space}: {text}")


def _name(table: bytes, space: int) -> str:
    return f"{table.decode()}{space}"
