"""A store in memory, for tests, simulations and throw-away replays."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from unify_grpc.machines.tables import Changes


class MemoryStore:
    """A log and the rows that follow from it; a checkpoint is a copy of the rows."""

    def __init__(self) -> None:
        self.log: dict[int, bytes] = {}
        self.rows: dict[bytes, bytes] = {}
        self.next_number = 1
        self._checkpoint: tuple[int, dict[bytes, bytes]] = (0, {})

    def get(self, key: bytes) -> bytes | None:
        """Returns a row's value, or None if there is none."""
        return self.rows.get(key)

    def scan(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Yields the rows whose key starts with the prefix, in key order."""
        for key in sorted(key for key in self.rows if key.startswith(prefix)):
            yield key, self.rows[key]

    def list_rows(
        self, prefix: bytes, *, after: bytes = b"", limit: int
    ) -> list[tuple[bytes, bytes]]:
        """Returns at most `limit` rows of a prefix in key order, only those after a key."""
        keys = sorted(key for key in self.rows if key.startswith(prefix) and key > after)
        return [(key, self.rows[key]) for key in keys[:limit]]

    def record(self, number: int) -> bytes:
        """Returns a record of the log; `LookupError` if it was never appended."""
        return self.log[number]

    def append(self, record: bytes) -> int:
        """Makes a record durable and returns its number."""
        number = self.next_number
        self.log[number] = record
        self.next_number += 1
        return number

    def publish(self, changes: Changes, number: int) -> None:
        """Lets readers see the rows that follow from a record."""
        assert number < self.next_number, "rows of a record that is not durable"
        for key, value in changes.items():
            if value is None:
                self.rows.pop(key, None)
            else:
                self.rows[key] = value

    def reading(self) -> AbstractContextManager[MemoryStore]:
        """Returns itself: nothing runs beside its writer."""
        return nullcontext(self)

    def checkpoint(self) -> None:
        """Keeps the present rows with the number of the last record they stand for."""
        self._checkpoint = (self.next_number - 1, dict(self.rows))

    def tail(self) -> Iterator[tuple[int, bytes]]:
        """Yields the records after the checkpoint; their changes are to be published again."""
        for number in range(self._checkpoint[0] + 1, self.next_number):
            yield number, self.log[number]

    def crashed(self) -> MemoryStore:
        """Returns the store as a new process finds it: the log, and rows of the checkpoint."""
        store = MemoryStore()
        store.log = dict(self.log)
        store.next_number = self.next_number
        store._checkpoint = (self._checkpoint[0], dict(self._checkpoint[1]))
        store.rows = dict(self._checkpoint[1])
        return store
