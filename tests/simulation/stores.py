"""What the world needs of a store, and how what a start makes of it is compared with what was."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from tests.simulation.violation import require

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from unify_grpc.machines.readable_store import RowView
    from unify_grpc.machines.tables import Changes


class WorldStore(Protocol):
    """A log and the rows that follow from it; `MemoryStore` is the plainest."""

    next_number: int

    @property
    def rows(self) -> dict[bytes, bytes]:
        """All that is published."""

    @property
    def log(self) -> dict[int, bytes]:
        """All records by number."""

    def get(self, key: bytes) -> bytes | None:
        """Returns a row's value, or None if there is none."""

    def scan(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Yields the rows whose key starts with the prefix, in key order."""

    def list_rows(
        self, prefix: bytes, *, after: bytes = b"", limit: int
    ) -> list[tuple[bytes, bytes]]:
        """Returns at most `limit` rows of a prefix in key order, only those after a key."""

    def record(self, number: int) -> bytes:
        """Returns a record of the log; `LookupError` if it was never appended."""

    def append(self, record: bytes) -> int:
        """Makes a record durable and returns its number."""

    def publish(self, changes: Changes, number: int) -> None:
        """Lets readers see the rows that follow from a record."""

    def reading(self) -> AbstractContextManager[RowView]:
        """Holds the published rows still."""

    def checkpoint(self) -> None:
        """Keeps the present rows with the number of the last record they stand for."""

    def tail(self) -> Iterator[tuple[int, bytes]]:
        """Yields the records after the checkpoint; their changes are to be published again."""

    def crashed(self) -> WorldStore:
        """Returns the store as a new process finds it."""


class Published(NamedTuple):
    """What was published of a store when it was opened again."""

    number: int
    """Of the last record whose rows readers may have seen."""
    rows: dict[bytes, bytes]


def published_of(store: WorldStore) -> Published:
    """Returns what was published of a store, by whichever process."""
    told = getattr(store, "published", None)
    return told if told is not None else Published(store.next_number - 1, store.rows)


def replay_tail(
    name: str, store: WorldStore, before: Published, replay: Callable[[int, bytes], None]
) -> None:
    """Replays a tail; where it comes to what was published before, the rows have to be the same.

    Args:
        name: whose store it is.
        store: opened and loaded.
        before: what was published when it was opened.
        replay: replays one record and publishes its rows.
    """
    last = store.next_number - 1
    require(before.number <= last, f"{name}: record {before.number} was published and is gone")
    records = list(store.tail())
    position = records[0][0] - 1 if records else last
    is_met = position == before.number
    require(not is_met or store.rows == before.rows, f"{name}: a checkpoint has other rows")
    for number, record in records:
        replay(number, record)
        if number == before.number:
            is_met = True
            require(store.rows == before.rows, f"{name}: replay gives other rows")
    require(is_met, f"{name}: rows that were published are not there after a start")
