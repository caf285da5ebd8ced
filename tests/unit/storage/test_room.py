"""A store without room refuses, loses nothing, and goes on when room comes back."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import lmdb
import pytest

from tests.unit.storage.store_folder import StoreFolder
from unify_grpc.storage.errors import CommitUnknownError, StorageFullError

if TYPE_CHECKING:
    from unify_grpc.storage.store import Store

SMALL_MAP_BYTES = 1 << 18
LARGE = b"x" * (1 << 16)
NO_SPACE = "mdb_txn_commit: No space left on device"
FAILED_FSYNC = "mdb_txn_commit: Input/output error"


class BrokenEnvironment:
    """An environment whose writes fail as a disk's do; reads pass on."""

    def __init__(self, environment: lmdb.Environment, error: str) -> None:
        self.environment = environment
        self._error = error

    def begin(self, *, write: bool = False) -> lmdb.Transaction:
        """Fails if it would write."""
        if write:
            raise lmdb.DiskError(self._error)
        return self.environment.begin()

    def reader_check(self) -> int:
        """Passes on."""
        return self.environment.reader_check()

    def close(self) -> None:
        """Closes what is behind it."""
        self.environment.close()


def fill_log(store: Store) -> int:
    """Appends until there is no room; returns how many records were taken."""
    for count in range(100):
        try:
            store.append(LARGE)
        except StorageFullError:
            return count
    message = "the log is never full"
    raise AssertionError(message)


def test_a_full_log_refuses_and_goes_on(folder: StoreFolder) -> None:
    """What does not fit is refused whole; reads and what fits go on, with the next number."""
    store = folder.open(map_bytes=SMALL_MAP_BYTES)
    store.publish({b"a": b"1"}, store.append(b"first"))
    count = fill_log(store)

    assert count > 0
    assert 2 + count == store.next_number
    with pytest.raises(StorageFullError):
        store.append(LARGE)
    assert b"1" == store.get(b"a")
    assert b"first" == store.record(1)
    assert 2 + count == store.append(b"fits")


def test_a_full_log_is_whole_after_a_restart(folder: StoreFolder) -> None:
    """A refused record is nowhere, and with more room the log goes on where it was."""
    store = folder.open(map_bytes=SMALL_MAP_BYTES)
    count = fill_log(store)
    folder.end(store)
    store = folder.open(map_bytes=4 * SMALL_MAP_BYTES)

    assert [(number, LARGE) for number in range(1, count + 1)] == list(store.tail())
    assert count + 1 == store.append(LARGE)


def fill_state(store: Store) -> dict[bytes, bytes]:
    """Publishes more than a checkpoint has room for; returns the rows."""
    changes = {b"k%d" % number: LARGE for number in range(8)}
    store.publish(dict(changes), store.append(b"record"))
    return changes


def test_a_checkpoint_without_room_loses_nothing(folder: StoreFolder) -> None:
    """Rows stay in memory and in the log's tail, whoever reads them, and after a restart too."""
    store = folder.open(map_bytes=SMALL_MAP_BYTES)
    changes = fill_state(store)
    store.checkpoint()

    assert changes == {key: store.get(key) for key in changes}
    with store.reading() as view:
        assert changes == {key: view.get(key) for key in changes}
    store.publish({b"k0": b"newer"}, store.append(b"another"))
    assert b"newer" == store.get(b"k0")
    folder.end(store)
    store = folder.open(map_bytes=SMALL_MAP_BYTES)
    assert [(1, b"record"), (2, b"another")] == list(store.tail())


def test_what_was_published_meanwhile_outranks_a_failed_checkpoint(folder: StoreFolder) -> None:
    """Rows that return from a checkpoint without room never cover newer ones."""
    store = folder.open(map_bytes=SMALL_MAP_BYTES, overlay_bytes_max=1 << 18, backlog_factor=9)
    with store._state.begin(write=True):
        fill_state(store)
        store.publish({b"k0": b"newer", b"k1": None}, store.append(b"another"))
    store.checkpoint()

    assert [b"newer", None, LARGE] == [store.get(key) for key in (b"k0", b"k1", b"k2")]


def test_a_checkpoint_succeeds_when_room_comes_back(folder: StoreFolder) -> None:
    """After rows went away the next checkpoint writes what the failed one could not."""
    store = folder.open(map_bytes=SMALL_MAP_BYTES)
    changes = fill_state(store)
    store.checkpoint()
    store.publish(dict.fromkeys(list(changes)[1:]), store.append(b"deleted"))
    store.checkpoint()
    folder.end(store)
    store = folder.open(map_bytes=SMALL_MAP_BYTES)

    assert [] == list(store.tail())
    assert LARGE == store.get(b"k0")
    assert store.get(b"k1") is None


def test_a_close_without_room_keeps_the_tail(folder: StoreFolder) -> None:
    """A close whose checkpoint has no room ends all the same; the next start replays."""
    store = folder.open(map_bytes=SMALL_MAP_BYTES)
    fill_state(store)
    store.close()
    folder._opened.remove(store)
    store = folder.open(map_bytes=1 << 24)

    assert [(1, b"record")] == list(store.tail())


def test_memory_is_bounded_while_checkpoints_have_no_room(
    folder: StoreFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When so much waits for a checkpoint that cannot be written, batches are refused, until one
    of the checkpoints that are tried meanwhile has room.
    """
    store = folder.open(overlay_bytes_max=1 << 18, backlog_factor=2)
    mend = break_environment(store, "_state", NO_SPACE)
    taken = 0
    with suppress(StorageFullError):
        for number in range(64):
            store.publish({b"k%d" % number: LARGE}, store.append(b"record"))
            taken += 1

    assert 8 <= taken <= 16
    assert [LARGE] * taken == [store.get(b"k%d" % number) for number in range(taken)]
    with pytest.raises(StorageFullError, match="no room for a checkpoint"):
        store.append(b"refused again")
    mend()
    with pytest.raises(StorageFullError, match="no room for a checkpoint"):
        store.append(b"before the next attempt is due")
    monkeypatch.setattr("unify_grpc.storage.store._CHECKPOINT_PAUSE_S", 0.0)
    store._checkpoint_due = 0.0
    assert store.is_full
    with pytest.raises(StorageFullError, match="no room for a checkpoint"):
        store.append(b"starts the attempt")
    assert store._thread is not None
    store._thread.join()
    store.tend()
    assert not store.is_full
    assert taken == store.checkpoint_position
    assert taken + 1 == store.append(b"taken")


def test_a_checkpoint_is_tried_again_though_nobody_writes(folder: StoreFolder) -> None:
    """Where so much waits that nothing is taken, room is enough to go on."""
    store = folder.open(overlay_bytes_max=1 << 16, backlog_factor=1)
    mend = break_environment(store, "_state", NO_SPACE)
    store.publish({b"k": LARGE}, store.append(b"record"))
    assert store._thread is not None
    store._thread.join()
    store.tend()
    assert store.is_full
    mend()
    store._checkpoint_due = 0.0
    store.tend()
    assert store._thread is not None
    store._thread.join()
    store.tend()

    assert not store.is_full
    assert 1 == store.checkpoint_position


def break_environment(store: Store, name: str, error: str) -> Any:
    """Makes an environment's writes fail; returns a function that mends it."""
    whole = getattr(store, name)
    setattr(store, name, BrokenEnvironment(whole, error))

    def mend() -> None:
        setattr(store, name, whole)

    return mend


def test_a_full_disk_refuses_and_goes_on(folder: StoreFolder) -> None:
    """The disk's own "no space" is a refusal like a full map, and passes when space is back."""
    store = folder.open()
    mend = break_environment(store, "_log", NO_SPACE)
    with pytest.raises(StorageFullError, match="No space left"):
        store.append(b"record")
    mend()

    assert 1 == store.append(b"record")


def test_a_full_disk_fails_no_process_by_its_checkpoint(folder: StoreFolder) -> None:
    """A checkpoint that meets a full disk is tried again later; nothing is lost and nobody ends."""
    store = folder.open()
    store.publish({b"a": b"1"}, store.append(b"record"))
    mend = break_environment(store, "_state", NO_SPACE)
    store.checkpoint()
    assert b"1" == store.get(b"a")
    mend()
    store.checkpoint()
    folder.end(store)
    store = folder.open()

    assert [] == list(store.tail())
    assert b"1" == store.get(b"a")


def test_a_commit_of_unknown_outcome_is_told_apart(folder: StoreFolder) -> None:
    """Any other failure of the disk says that the process must end: the log may have the record."""
    store = folder.open()
    mend = break_environment(store, "_log", FAILED_FSYNC)
    with pytest.raises(CommitUnknownError):
        store.append(b"record")
    mend()


def test_a_checkpoint_of_unknown_outcome_ends_the_process(folder: StoreFolder) -> None:
    """A checkpoint that failed otherwise is raised to the writer, not passed over."""
    store = folder.open()
    store.publish({b"a": b"1"}, store.append(b"record"))
    mend = break_environment(store, "_state", FAILED_FSYNC)
    with pytest.raises(CommitUnknownError):
        store.checkpoint()
    mend()
