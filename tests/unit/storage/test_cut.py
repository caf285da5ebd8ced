"""A store kept as it is at one instant and copied, while its writer and its checkpoints go on."""

from __future__ import annotations

import stat
import threading
from typing import TYPE_CHECKING

import pytest

from tests.unit.storage.store_folder import EXPECTED, MACHINE_VERSION, StoreFolder
from unify_grpc.storage.cut import CopyFailedError, CopyStoppedError, StoreBusyError
from unify_grpc.storage.errors import StorageFullError
from unify_grpc.storage.manifest import write_manifest
from unify_grpc.storage.store import Store, StoreLimits

if TYPE_CHECKING:
    from pathlib import Path

    from unify_grpc.storage.cut import StoreCut

pytestmark = pytest.mark.timeout(30)
WAIT_S = 5.0
ROW_BYTES = 200
LARGE_BYTES = 50_000
"""Of a record, so that a few do not fit a pipe."""
MOST = 4000
"""Records that a writer without a pause makes."""


def write(store: Store, count: int) -> None:
    """Appends records, each with a row of its own and one that says how many there are."""
    for _ in range(count):
        number = store.append(b"record")
        name = number.to_bytes(8, "big")
        store.publish({b"r" + name: name * (ROW_BYTES // 8), b"newest": name}, number)


def copy(cut: StoreCut, directory: Path, stop: threading.Event | None = None) -> list[int]:
    """Copies a cut; returns how many bytes were written at a time."""
    written: list[int] = []
    files = cut.copy(directory, stop or threading.Event(), written.append)
    assert sum(written) == sum(file.size_bytes for file in files)
    for file in files:
        assert file.size_bytes == (directory.parent / file.path).stat().st_size
    return written


def opened_copy(directory: Path) -> Store:
    """Opens a copy as the store that it is of."""
    write_manifest(directory, EXPECTED)
    return Store(directory, EXPECTED, MACHINE_VERSION, StoreLimits(map_bytes=1 << 24))


def check_whole(store: Store) -> int:
    """Checks that every record's row is there, from the checkpoint or the tail; how many."""
    for number, record in store.tail():
        assert b"record" == record
        name = number.to_bytes(8, "big")
        store.publish({b"r" + name: name * (ROW_BYTES // 8), b"newest": name}, number)
    count = store.next_number - 1
    for number in range(1, count + 1):
        name = number.to_bytes(8, "big")
        assert name * (ROW_BYTES // 8) == store.get(b"r" + name)
    assert store.get(b"newest") == (count.to_bytes(8, "big") if count else None)
    return count


def test_a_copy_shows_the_instant_of_the_cut(folder: StoreFolder, tmp_path: Path) -> None:
    """What is written and checkpointed after it, before and while it is copied, is not in it."""
    store = folder.open()
    write(store, 30)
    store.checkpoint()
    write(store, 20)
    cut = store.cut(WAIT_S)
    cut.let_go()
    write(store, 40)
    store.checkpoint()
    write(store, 5)
    copy(cut, tmp_path / "a" / "shard-0")
    cut.close()

    copied = opened_copy(tmp_path / "a" / "shard-0")
    assert 50 == check_whole(copied)
    copied.close()
    assert 95 == store.next_number - 1


def test_copies_are_whole_whenever_they_are_cut(folder: StoreFolder, tmp_path: Path) -> None:
    """Cut again and again beside a writer whose checkpoints never pause, every copy has all rows
    of all its records.
    """
    store = folder.open(overlay_bytes_max=8 << 10, tail_bytes_max=8 << 10)
    stopping = threading.Event()

    def keep_writing() -> None:
        while not stopping.is_set() and store.next_number < MOST:
            write(store, 10)

    writer = threading.Thread(target=keep_writing)
    writer.start()
    counts = []
    try:
        for number in range(8):
            at_least = store.next_number - 1
            cut = store.cut(WAIT_S)
            cut.let_go()
            directory = tmp_path / str(number) / "shard-0"
            copy(cut, directory)
            cut.close()
            copied = opened_copy(directory)
            counts.append(check_whole(copied))
            copied.close()
            assert at_least <= counts[-1]
    finally:
        stopping.set()
        writer.join()
    assert counts == sorted(counts)
    assert counts[0] < counts[-1]


def test_the_writer_stands_still_until_it_is_let_go(folder: StoreFolder) -> None:
    """While a cut holds it no commit ends, and after that the commit is made as if nothing was."""
    store = folder.open()
    write(store, 1)
    cut = store.cut(WAIT_S)
    begun = threading.Event()

    def append() -> None:
        begun.set()
        write(store, 1)

    writer = threading.Thread(target=append)
    writer.start()
    begun.wait()
    with store._log.begin() as transaction:
        assert transaction.get((2).to_bytes(8, "big")) is None
    assert writer.is_alive()
    assert store.record(1) == b"record"
    cut.let_go()
    cut.let_go()
    writer.join()
    cut.close()

    assert 3 == store.next_number


def test_a_held_store_is_read(folder: StoreFolder) -> None:
    """Only the writer waits."""
    store = folder.open()
    write(store, 3)
    cut = store.cut(WAIT_S)
    with store.reading() as view:
        assert (3).to_bytes(8, "big") == view.get(b"newest")
    cut.close()


def test_a_store_is_held_once(folder: StoreFolder) -> None:
    """A second cut waits for the first to let go, and gives up in time."""
    store = folder.open()
    cut = store.cut(WAIT_S)
    with pytest.raises(StoreBusyError):
        store.cut(0.01)
    cut.close()
    store.cut(WAIT_S).close()


def test_a_copy_is_for_its_owner_alone(folder: StoreFolder, tmp_path: Path) -> None:
    """Directories are 0700 and files 0600, whatever the process makes otherwise."""
    store = folder.open()
    write(store, 3)
    cut = store.cut(WAIT_S)
    copy(cut, tmp_path / "a" / "shard-0")
    cut.close()

    for each in [tmp_path / "a", *(tmp_path / "a").rglob("*")]:
        mode = stat.S_IMODE(each.stat().st_mode)
        assert mode == (0o700 if each.is_dir() else 0o600), each


def test_a_copy_that_is_stopped_leaves_nothing(folder: StoreFolder, tmp_path: Path) -> None:
    """Stopped in the middle of a file, all that it had written is gone; the store is as it was."""
    store = folder.open()
    for _ in range(20):
        store.append(bytes(LARGE_BYTES))
    cut = store.cut(WAIT_S)
    cut.let_go()
    stop = threading.Event()
    with pytest.raises(CopyStoppedError):
        cut.copy(tmp_path / "a" / "shard-0", stop, lambda _: stop.set())
    cut.close()

    assert not (tmp_path / "a").exists()
    write(store, 1)


def test_a_copy_that_cannot_be_written_leaves_nothing(folder: StoreFolder, tmp_path: Path) -> None:
    """A part that finds its directory there does not write into it, and says why."""
    store = folder.open()
    cut = store.cut(WAIT_S)
    directory = tmp_path / "a" / "shard-0"
    directory.mkdir(parents=True)
    (directory / "note").write_text("somebody else's")
    with pytest.raises(CopyFailedError, match="File exists"):
        copy(cut, directory)
    cut.close()

    assert ["note"] == [each.name for each in directory.iterdir()]


def test_a_copy_that_does_not_fit_leaves_nothing(
    folder: StoreFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that is full in the middle is told apart from one that cannot be written."""
    store = folder.open()
    write(store, 50)
    cut = store.cut(WAIT_S)

    def no_room(*_: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("unify_grpc.storage.cut.os.write", no_room)
        with pytest.raises(StorageFullError):
            copy(cut, tmp_path / "a" / "shard-0")
    cut.close()

    assert not (tmp_path / "a").exists()
