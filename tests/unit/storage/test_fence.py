"""Two processes on one store, where the lock did not keep the second out."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import lmdb
import pytest

from unify_grpc.storage.environments import open_for_reading
from unify_grpc.storage.errors import StorageFullError, StoreFencedError
from unify_grpc.storage.fence import Fence, read_epoch

if TYPE_CHECKING:
    from tests.unit.storage.store_folder import StoreFolder

ROOT = Path(__file__).resolve().parents[3]
RAISE_EPOCH = """
import sys
import lmdb
from unify_grpc.storage.fence import Fence, read_epoch
with lmdb.open(sys.argv[1], map_size=1 << 24) as environment, environment.begin(write=True) as at:
    Fence(read_epoch(at)).check(at)
"""


def raise_epoch(folder: StoreFolder, environment: str) -> None:
    """Does what opening does to an environment, in a process that no lock keeps out."""
    subprocess.run(
        [sys.executable, "-c", RAISE_EPOCH, str(folder.directory / environment)],
        cwd=ROOT,
        check=True,
    )


def epoch(folder: StoreFolder, environment: str) -> int:
    """Returns what an environment that nobody has open says."""
    with open_for_reading(folder.directory / environment) as found, found.begin() as transaction:
        return read_epoch(transaction)


@pytest.mark.parametrize("environment", ["log", "state"])
def test_every_opening_raises_the_epoch(folder: StoreFolder, environment: str) -> None:
    """Each process that opens a store has a higher epoch than the one before, also unused."""
    folder.end(folder.open())
    first = epoch(folder, environment)
    folder.end(folder.open())

    assert (1, 2) == (first, epoch(folder, environment))


def test_the_older_process_appends_no_more(folder: StoreFolder) -> None:
    """What was opened before learns it with its next record, of which nothing is left."""
    store = folder.open()
    store.publish({b"a": b"1"}, store.append(b"one"))
    raise_epoch(folder, "log")

    with pytest.raises(StoreFencedError):
        store.append(b"two")
    folder.end(store)
    assert [(1, b"one")] == list(folder.open().tail())


def test_the_older_process_writes_no_checkpoint(folder: StoreFolder) -> None:
    """Rows of the older process never come over those of the newer."""
    store = folder.open()
    store.publish({b"a": b"1"}, store.append(b"one"))
    raise_epoch(folder, "state")

    with pytest.raises(StoreFencedError):
        store.checkpoint()
    folder.end(store)
    store = folder.open()
    assert (0, None) == (store.checkpoint_position, store.get(b"a"))


def test_without_room_the_first_record_raises_the_epoch(
    folder: StoreFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store opens on a full disk, to be read; when there is room it fences as always."""
    with monkeypatch.context() as patched:
        patched.setattr(Fence, "check", _no_room)
        store = folder.open()
        with pytest.raises(StorageFullError):
            store.append(b"one")

    store.append(b"one")
    store.append(b"two")
    raise_epoch(folder, "log")
    with pytest.raises(StoreFencedError):
        store.append(b"three")


def test_without_room_an_older_process_is_found_later(
    folder: StoreFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever could not raise the epoch at its opening writes nothing if another one did since."""
    with monkeypatch.context() as patched:
        patched.setattr(Fence, "check", _no_room)
        store = folder.open()
    raise_epoch(folder, "log")

    with pytest.raises(StoreFencedError):
        store.append(b"one")


def _no_room(*_: object) -> None:
    raise lmdb.MapFullError("no room")
