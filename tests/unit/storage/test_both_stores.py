"""What every store promises its machine: LMDB's and the one in memory alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import pytest

from unify_grpc.storage.memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from tests.unit.storage.store_folder import StoreFolder
    from unify_grpc.machines.readable_store import RowView
    from unify_grpc.machines.tables import Changes
    from unify_grpc.storage.store import Store


class AnyStore(Protocol):
    """What actors and machines use of a store."""

    next_number: int

    def get(self, key: bytes) -> bytes | None:
        """Returns a row."""

    def scan(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Yields rows at start-up."""

    def record(self, number: int) -> bytes:
        """Returns a log record."""

    def append(self, record: bytes) -> int:
        """Makes a record durable."""

    def publish(self, changes: Changes, number: int) -> None:
        """Publishes rows."""

    def reading(self) -> AbstractContextManager[RowView]:
        """Holds the rows still."""

    def checkpoint(self) -> None:
        """Writes the rows down."""

    def tail(self) -> Iterator[tuple[int, bytes]]:
        """Yields records after the checkpoint."""


class InMemory:
    """Opens and crashes stores in memory."""

    def __init__(self) -> None:
        self.store = MemoryStore()

    def crash(self) -> MemoryStore:
        """Returns the store as a new process finds it."""
        self.store = self.store.crashed()
        return self.store


class OnDisk:
    """Opens and crashes stores of LMDB."""

    def __init__(self, folder: StoreFolder) -> None:
        self._folder = folder
        self.store: Store = folder.open()

    def crash(self) -> Store:
        """Returns the store as a new process finds it."""
        self._folder.end(self.store)
        self.store = self._folder.open()
        return self.store


@pytest.fixture(params=["memory", "lmdb"])
def host(request: pytest.FixtureRequest, folder: StoreFolder) -> InMemory | OnDisk:
    """An empty store of each kind."""
    return InMemory() if request.param == "memory" else OnDisk(folder)


def write(store: AnyStore, record: bytes, changes: Changes) -> int:
    """Appends and publishes, as a command does."""
    number = store.append(record)
    store.publish(changes, number)
    return number


def test_an_empty_store_has_nothing(host: InMemory | OnDisk) -> None:
    """A new store has no row, no record and no tail, and numbers its records from 1."""
    store: AnyStore = host.store

    assert store.get(b"a") is None
    assert [] == list(store.scan(b"a"))
    assert [] == list(store.tail())
    assert 1 == store.next_number
    with pytest.raises(LookupError):
        store.record(1)


def test_records_are_numbered_without_gaps(host: InMemory | OnDisk) -> None:
    """A record gets the number that `next_number` promised, and is read by it."""
    store: AnyStore = host.store

    for number in (1, 2, 3):
        assert number == store.next_number
        assert number == store.append(b"record %d" % number)
    assert [b"record 1", b"record 2", b"record 3"] == [store.record(each) for each in (1, 2, 3)]


def test_published_rows_are_read(host: InMemory | OnDisk) -> None:
    """A row is its last published value, for the writer and for readers; None takes it away."""
    store: AnyStore = host.store
    write(store, b"r", {b"a": b"1", b"b": b"1", b"c": b"1"})
    write(store, b"r", {b"a": b"2", b"b": None, b"never": None})

    found = [store.get(key) for key in (b"a", b"b", b"c", b"never")]
    assert [b"2", None, b"1", None] == found
    with store.reading() as view:
        assert found == [view.get(key) for key in (b"a", b"b", b"c", b"never")]


def test_a_checkpoint_changes_nothing_that_is_read(host: InMemory | OnDisk) -> None:
    """Rows and records read the same before, after and between checkpoints."""
    store: AnyStore = host.store
    write(store, b"one", {b"a": b"1", b"b": b"1", b"d": b"1"})
    store.checkpoint()
    write(store, b"two", {b"a": b"2", b"b": None, b"c": b"2"})
    for _ in range(2):
        keys = (b"a", b"b", b"c", b"d")
        assert [b"2", None, b"2", b"1"] == [store.get(key) for key in keys]
        with store.reading() as view:
            assert [b"2", None, b"2", b"1"] == [view.get(key) for key in keys]
        assert [b"one", b"two"] == [store.record(1), store.record(2)]
        store.checkpoint()


def test_rows_cannot_come_before_their_record(host: InMemory | OnDisk) -> None:
    """Publishing for a record that is not durable is a programmer's error."""
    store: AnyStore = host.store

    with pytest.raises(AssertionError, match="not durable"):
        store.publish({b"a": b"1"}, 1)


def test_a_crash_leaves_the_log_and_the_checkpoint(host: InMemory | OnDisk) -> None:
    """Afterwards rows are those of the checkpoint, and the tail is every record after it."""
    store: AnyStore = host.store
    write(store, b"one", {b"a": b"1", b"b": b"1"})
    store.checkpoint()
    write(store, b"two", {b"a": b"2"})
    store.append(b"three")
    store = host.crash()

    assert b"1" == store.get(b"a")
    assert [(b"a", b"1")] == list(store.scan(b"a"))
    assert [(2, b"two"), (3, b"three")] == list(store.tail())
    assert 4 == store.next_number


def test_the_tail_can_be_replayed_again_and_again(host: InMemory | OnDisk) -> None:
    """A crash during the replay leaves the same tail; after a checkpoint there is none."""
    write(host.store, b"one", {b"a": b"1"})
    for _ in range(2):
        store: AnyStore = host.crash()
        tail = list(store.tail())
        assert [(1, b"one")] == tail
        for number, _ in tail:
            store.publish({b"a": b"1"}, number)
        assert b"1" == store.get(b"a")
    store.checkpoint()
    store = host.crash()

    assert [] == list(store.tail())
    assert b"1" == store.get(b"a")


def test_a_reader_lists_a_prefix_in_key_order(host: InMemory | OnDisk) -> None:
    """Rows of overlays and checkpoints come as one list, the newest value of each, none deleted."""
    store: AnyStore = host.store
    write(store, b"r", {b"b1": b"1", b"b2": b"1", b"b3": b"1", b"a": b"1", b"b5": b"1", b"c": b"1"})
    store.checkpoint()
    write(store, b"r", {b"b2": b"2", b"b3": None, b"b4": b"2", b"b6": b"2"})
    for _ in range(2):
        write(store, b"r", {b"b0": b"3", b"b6": None})
        with store.reading() as view:
            listed = view.list_rows(b"b", limit=9)
            assert [b"b0", b"b1", b"b2", b"b4", b"b5"] == [key for key, _ in listed]
            assert [b"3", b"1", b"2", b"2", b"1"] == [value for _, value in listed]
            assert listed[2:4] == view.list_rows(b"b", after=b"b1", limit=2)
            assert listed[2:] == view.list_rows(b"b", after=b"b1z", limit=9)
            assert [] == view.list_rows(b"b", after=b"b9", limit=9)
            assert [] == view.list_rows(b"bb", limit=9)
        store.checkpoint()


def test_scanning_yields_a_prefix_in_key_order(host: InMemory | OnDisk) -> None:
    """Only rows whose key starts with the prefix come, in the order of their keys."""
    write(host.store, b"r", {key: key for key in (b"b2", b"a9", b"b\xff", b"b1", b"c", b"b")})
    host.store.checkpoint()
    store: AnyStore = host.crash()

    found = [key for key, _ in store.scan(b"b")]
    assert [b"b", b"b1", b"b2", b"b\xff"] == found
