"""Two processes on one store, whose later one had no room to say at its opening that it is there.

Until its first write nothing keeps the earlier one from going on, so that write has to notice.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import lmdb
import pytest

from tests.unit.storage.store_folder import MACHINE_VERSION
from unify_grpc.storage.errors import StoreFencedError
from unify_grpc.storage.fence import Fence
from unify_grpc.storage.positions import POSITION_KEY
from unify_grpc.storage.records import seal

if TYPE_CHECKING:
    from tests.unit.storage.store_folder import StoreFolder
    from unify_grpc.storage.store import Store

ROOT = Path(__file__).resolve().parents[3]
PUT = """
import sys
import lmdb
with lmdb.open(sys.argv[1], map_size=1 << 24) as environment, environment.begin(write=True) as at:
    at.put(bytes.fromhex(sys.argv[2]), bytes.fromhex(sys.argv[3]))
"""


def test_a_number_that_the_earlier_process_gave_is_not_given_again(
    folder: StoreFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A record whose place is taken is refused, not lost without a word."""
    store = _open_without_room(folder, monkeypatch)
    _put(folder, "log", (1).to_bytes(8, "big"), seal(b"theirs", MACHINE_VERSION))

    with pytest.raises(StoreFencedError):
        store.append(b"ours")
    folder.end(store)
    assert [(1, b"theirs")] == list(folder.open().tail())


def test_a_later_checkpoint_is_not_taken_back(
    folder: StoreFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows are never said to stand for less of the log than they stand for."""
    store = folder.open()
    store.append(b"one")
    store.append(b"two")
    folder.end(store)
    store = _open_without_room(folder, monkeypatch)
    store.publish({b"a": b"1"}, 1)
    _put(folder, "state", POSITION_KEY, seal((2).to_bytes(8, "big")))

    with pytest.raises(StoreFencedError):
        store.checkpoint()
    folder.end(store)
    assert 2 == folder.open().checkpoint_position


def _open_without_room(folder: StoreFolder, monkeypatch: pytest.MonkeyPatch) -> Store:
    with monkeypatch.context() as patched:
        patched.setattr(Fence, "check", _no_room)
        return folder.open()


def _no_room(*_: object) -> None:
    raise lmdb.MapFullError("no room")


def _put(folder: StoreFolder, environment: str, key: bytes, value: bytes) -> None:
    """Writes a row in another process, which no lock keeps out."""
    path = str(folder.directory / environment)
    subprocess.run([sys.executable, "-c", PUT, path, key.hex(), value.hex()], cwd=ROOT, check=True)
