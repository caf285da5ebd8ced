"""Who changed what, and when: entries that are only ever added, in the commit of the change.

Entries are numbered through the deployment, and once more through each space, so a page of a space
costs as much as one of the whole trail. Their times never go back, so times are found by halving.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from unify_grpc.machines.control_records import encode
from unify_grpc.machines.formats import checked_decoder

if TYPE_CHECKING:
    from unify_grpc.machines.tables import Changes, View

FORMAT: Final = 1
ENTRY: Final = b"a"
OF_SPACE: Final = b"b"


class AuditEntry(msgspec.Struct, array_like=True, frozen=True):
    """One administrative change."""

    format: int
    number: int
    """Through the deployment, from 1."""
    space: int
    """0: of no single space."""
    created_us: int
    actor: str
    action: str
    call_id: str
    details: bytes
    """A JSON object."""


class AuditQuery(msgspec.Struct, array_like=True, frozen=True):
    """Asks for entries, the newest first."""

    space: int
    """0: of all."""
    start_us: int | None
    """At or after this time."""
    end_us: int | None
    """Before this time."""
    before: int
    """Below this place in the trail, or in that of the space; 0: from the newest."""
    limit: int


class AuditPage(msgspec.Struct, array_like=True, frozen=True):
    """Entries, the newest first."""

    entries: list[AuditEntry]
    last: int
    """The place of the last of them, for `AuditQuery.before`; 0: there are no more."""


decode_entry = checked_decoder(AuditEntry, FORMAT)


class AuditTrail:
    """The trail, as far as it is needed to add to it and to read it."""

    def __init__(self, view: View) -> None:
        self.view = view
        self._counts: dict[int, int] = {}
        """Entries by space; of all, under 0."""
        self._newest_us = 0

    def load(self) -> None:
        """Reads where the trail ends from a checkpointed view."""
        for table in (ENTRY, OF_SPACE):
            self.committed(dict(self.view.scan(table)))

    def committed(self, changes: Changes) -> None:
        """Takes over what was added."""
        for key, value in changes.items():
            if key[:1] == ENTRY and value is not None:
                entry = decode_entry(value)
                self._counts[0] = max(entry.number, self._counts.get(0, 0))
                self._newest_us = max(entry.created_us, self._newest_us)
            elif key[:1] == OF_SPACE:
                space, place = int.from_bytes(key[1:5], "big"), int.from_bytes(key[5:], "big")
                self._counts[space] = max(place, self._counts.get(space, 0))

    def add(
        self, *, space: int, now_us: int, actor: str, action: str, call_id: str, details: bytes
    ) -> Changes:
        """Returns the rows of a new entry."""
        number = self._counts.get(0, 0) + 1
        created_us = max(now_us, self._newest_us)
        entry = AuditEntry(FORMAT, number, space, created_us, actor, action, call_id, details)
        changes: Changes = {_entry_key(number): encode(entry)}
        if space:
            place = self._counts.get(space, 0) + 1
            changes[_place_key(space, place)] = number.to_bytes(8, "big")
        return changes

    def read(self, query: AuditQuery) -> AuditPage:
        """Returns a page of entries."""
        end = self._counts.get(query.space, 0) + 1
        if query.end_us is not None:
            end = self._first_at(query.space, query.end_us)
        if query.before:
            end = min(end, query.before)
        start = 1 if query.start_us is None else self._first_at(query.space, query.start_us)
        stop = max(start, end - query.limit)
        entries = [self._entry(query.space, place) for place in range(end - 1, stop - 1, -1)]
        return AuditPage(entries, stop if stop > start else 0)

    def _first_at(self, space: int, time_us: int) -> int:
        """Returns the first place whose entry is not earlier than a time."""
        low, high = 1, self._counts.get(space, 0) + 1
        while low < high:
            middle = (low + high) // 2
            if self._entry(space, middle).created_us < time_us:
                low = middle + 1
            else:
                high = middle
        return low

    def _entry(self, space: int, place: int) -> AuditEntry:
        number = place
        if space:
            found = self.view.get(_place_key(space, place))
            assert found is not None, "places of a space are counted without gaps"
            number = int.from_bytes(found, "big")
        data = self.view.get(_entry_key(number))
        assert data is not None, "entries are numbered without gaps"
        return decode_entry(data)


def _entry_key(number: int) -> bytes:
    return ENTRY + number.to_bytes(8, "big")


def _place_key(space: int, place: int) -> bytes:
    return OF_SPACE + space.to_bytes(4, "big") + place.to_bytes(8, "big")
