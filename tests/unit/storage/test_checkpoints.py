"""A checkpoint runs beside the writer and readers, and neither sees it.

The checkpoint's thread is held where it waits for LMDB's only writer: the test is that writer.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.unit.storage.store_folder import StoreFolder
from unify_grpc.storage.record_cache import BYTES_MAX

if TYPE_CHECKING:
    from collections.abc import Iterator

    from unify_grpc.machines.tables import Changes
    from unify_grpc.storage.store import Store

KEYS = (b"a", b"b", b"c", b"d")
#: Small enough for one publishing to start a checkpoint.
EAGER = 1


def write(store: Store, changes: Changes, record: bytes = b"record") -> None:
    """Appends and publishes, as a command does."""
    store.publish(changes, store.append(record))


@contextmanager
def held_checkpoint(store: Store) -> Iterator[None]:
    """Lets no checkpoint write while it lasts."""
    with store._state.begin(write=True):
        yield


def rows(store: Store) -> list[bytes | None]:
    """Returns what the writer reads, after comparing it with what a reader reads."""
    found = [store.get(key) for key in KEYS]
    with store.reading() as view:
        assert found == [view.get(key) for key in KEYS]
    return found


def checkpointed(store: Store) -> list[bool]:
    """Says which rows are in LMDB, without the overlays."""
    with store._state.begin() as transaction:
        return [transaction.get(key) is not None for key in KEYS]


def test_rows_are_read_in_every_stage_of_a_checkpoint(folder: StoreFolder) -> None:
    """Newest first: those since it began, those it is writing, those written before."""
    store = folder.open(overlay_bytes_max=EAGER, backlog_factor=1 << 30)
    write(store, {b"a": b"1", b"b": b"1", b"c": b"1"})
    store.checkpoint()
    with held_checkpoint(store):
        write(store, {b"a": b"2", b"b": None})
        assert store._thread is not None
        assert store._thread.is_alive()
        assert [b"2", None, b"1", None] == rows(store)
        write(store, {b"b": b"3", b"c": None, b"d": b"3"})
        assert [b"2", b"3", None, b"3"] == rows(store)
    store._thread.join()

    # Durable, and not settled yet: the overlay is there as well, and harmless.
    assert store._frozen is not None
    assert [b"2", b"3", None, b"3"] == rows(store)
    store.append(b"settles it")
    assert store._frozen is None
    assert [True, False, True, False] == checkpointed(store)
    assert [b"2", b"3", None, b"3"] == rows(store)


def test_appending_does_not_wait_for_a_checkpoint(folder: StoreFolder) -> None:
    """Records become durable while a checkpoint is held, in an environment of their own."""
    store = folder.open(overlay_bytes_max=EAGER, backlog_factor=1 << 30)
    with held_checkpoint(store):
        for number in range(1, 6):
            write(store, {b"a": b"%d" % number})
        assert store._thread is not None
        assert store._thread.is_alive()
        assert 6 == store.next_number
    store.checkpoint()

    assert b"5" == store.get(b"a")


def test_a_backlog_waits_for_the_checkpoint_before_it(folder: StoreFolder) -> None:
    """Overlays are bounded: when the backlog is full, publishing waits until there is room."""
    store = folder.open(overlay_bytes_max=100, backlog_factor=2)
    release, published = threading.Event(), threading.Event()
    started = threading.Event()

    def hold() -> None:
        with held_checkpoint(store):
            started.set()
            release.wait()

    def watch() -> None:
        assert not published.is_set()
        release.set()

    holder = threading.Thread(target=hold)
    holder.start()
    started.wait()
    write(store, {b"a": b"1"})
    write(store, {b"b": b"1"})
    assert store._frozen is not None
    assert b"b" in store._active
    # The next fills the backlog; it cannot return before the holder lets go.
    watcher = threading.Thread(target=watch)
    watcher.start()
    write(store, {b"c": b"1"})
    published.set()
    for thread in (holder, watcher):
        thread.join()

    assert b"c" not in store._active
    assert [b"1", b"1", b"1", None] == rows(store)


@pytest.mark.parametrize("bound", ["overlay_bytes_max", "tail_bytes_max"])
def test_a_bound_that_is_reached_starts_a_checkpoint(folder: StoreFolder, bound: str) -> None:
    """Rows in memory and the tail to replay are both bounded in bytes."""
    store = folder.open(**{bound: 5_000})  # type: ignore[arg-type]  # one of the bounds
    record = b"r" * (1_000 if bound == "tail_bytes_max" else 1)
    value = b"v" * (1_000 if bound == "overlay_bytes_max" else 1)
    for number in range(5):
        assert store._thread is None
        write(store, {b"%d" % number: value}, record)
    assert store._thread is not None
    folder.end(store)
    store = folder.open()

    assert [] == list(store.tail())
    assert value == store.get(b"4")


def test_a_crash_during_a_checkpoint_leaves_the_one_before(folder: StoreFolder) -> None:
    """Rows and log position are written together or not at all."""
    store = folder.open()
    write(store, {b"a": b"1"})
    store.checkpoint()
    write(store, {b"a": b"2"})
    with held_checkpoint(store):
        # What the thread would write, ended before its commit.
        store._frozen, store._active = store._active, {}
    folder.end(store)
    store = folder.open()

    assert b"1" == store.get(b"a")
    assert [2] == [number for number, _ in store.tail()]


def test_publishing_waits_for_a_reader(folder: StoreFolder) -> None:
    """A reader sees rows between two publications: the next is not half visible to it."""
    store = folder.open()
    write(store, {b"a": b"1", b"b": b"1"})
    number = store.append(b"record")
    began = threading.Event()

    def publish() -> None:
        began.set()
        store.publish({b"a": b"2", b"b": b"2"}, number)

    with store.reading() as view:
        writer = threading.Thread(target=publish)
        writer.start()
        began.wait()
        assert [b"1", b"1"] == [view.get(key) for key in (b"a", b"b")]
        assert writer.is_alive()
    writer.join()

    assert [b"2", b"2", None, None] == rows(store)


def test_the_cache_of_records_is_bounded(folder: StoreFolder) -> None:
    """Records read or written lately are kept up to so many bytes; others are read again."""
    store = folder.open(map_bytes=1 << 26)
    size = 1 << 20
    count = BYTES_MAX // size + 4
    for number in range(1, count + 1):
        store.append(bytes([number]) * size)
    for number in (1, count, 1, 2):
        assert bytes([number]) * size == store.record(number)
    held = store._cache._records

    assert sum(map(len, held.values())) == store._cache._bytes <= BYTES_MAX
    assert {1, 2, count} <= set(held)


def test_a_record_larger_than_the_cache_is_read(folder: StoreFolder) -> None:
    """One record may be larger than the bound: it is kept alone."""
    store = folder.open(map_bytes=1 << 26)
    store.append(b"small")
    large = b"x" * (BYTES_MAX + 1)
    store.append(large)

    assert large == store.record(2)
    assert b"small" == store.record(1)
