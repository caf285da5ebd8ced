"""Which directories a store opens, and which it refuses, in a sentence."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import lmdb
import msgspec
import pytest

from tests.unit.storage.store_folder import EXPECTED, MACHINE_VERSION, StoreFolder
from unify_grpc.storage.errors import StoreRefusedError
from unify_grpc.storage.manifest import STORE_FORMAT, Manifest, read_manifest

if TYPE_CHECKING:
    from typing import Any

ROOT = Path(__file__).resolve().parents[3]
OPEN_BESIDE = f"""
import sys
from pathlib import Path
from unify_grpc.storage.errors import StoreRefusedError
from unify_grpc.storage.manifest import Manifest
from unify_grpc.storage.store import Store, StoreLimits
expected = Manifest(store="shard-0", deployment="d1", shard_count=2)
try:
    Store(Path(sys.argv[1]), expected, {MACHINE_VERSION}, StoreLimits(map_bytes=1 << 20))
except StoreRefusedError as error:
    print(error)
else:
    print("opened")
"""


def open_beside(directory: Path) -> str:
    """Opens a store in a process of its own; returns what came of it."""
    ended = subprocess.run(
        [sys.executable, "-c", OPEN_BESIDE, str(directory)],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    return ended.stdout.strip()


def replace_manifest(folder: StoreFolder, **changes: Any) -> None:
    """Writes a manifest that differs from the one that was made."""
    path = folder.directory / "store.json"
    path.write_bytes(
        msgspec.json.encode(msgspec.structs.replace(read_manifest(folder.directory), **changes))
    )


def test_a_store_says_whose_it_is(folder: StoreFolder) -> None:
    """The manifest names the store, its deployment, its number of shards, and both formats."""
    manifest = read_manifest(folder.directory)

    assert msgspec.structs.replace(EXPECTED, lmdb_version=manifest.lmdb_version) == manifest
    assert STORE_FORMAT == manifest.format
    assert lmdb.version()[0] == manifest.lmdb_version


@pytest.mark.parametrize(
    ("expected", "sentence"),
    [
        (Manifest(store="shard-1", deployment="d1", shard_count=2), "not shard-1 of d1"),
        (Manifest(store="shard-0", deployment="d2", shard_count=2), "not shard-0 of d2"),
        (Manifest(store="shard-0", deployment="d1", shard_count=3), "for 2 shards, not 3"),
    ],
    ids=["another store", "another deployment", "another number of shards"],
)
def test_a_store_of_somebody_else_is_refused(
    folder: StoreFolder, expected: Manifest, sentence: str
) -> None:
    """A store is opened only as the one it was made as, and the text says what differs."""
    with pytest.raises(StoreRefusedError, match=sentence):
        folder.open(expected=expected)


def test_a_newer_format_is_refused(folder: StoreFolder) -> None:
    """A store that a later version wrote is not guessed at."""
    replace_manifest(folder, format=STORE_FORMAT + 1)

    with pytest.raises(StoreRefusedError, match="newer version"):
        folder.open()


def test_an_older_format_is_refused(folder: StoreFolder) -> None:
    """Rows of an earlier version are not guessed at; the sentence says what can be done."""
    replace_manifest(folder, format=STORE_FORMAT - 1)

    with pytest.raises(StoreRefusedError, match="serve it with that version"):
        folder.open()


def test_another_file_format_of_lmdb_is_refused(folder: StoreFolder) -> None:
    """LMDB reads no other major version's files, so they are not given to it."""
    replace_manifest(folder, lmdb_version=9_000)

    with pytest.raises(StoreRefusedError, match="written by LMDB 9000"):
        folder.open()


def test_a_directory_without_a_manifest_is_refused(folder: StoreFolder) -> None:
    """An empty directory where a store was made is a loss to be noticed, not a new store."""
    (folder.directory / "store.json").unlink()

    with pytest.raises(StoreRefusedError, match="holds no store"):
        folder.open()
    assert {"log", "state"} == {each.name for each in folder.directory.iterdir()}


def test_a_damaged_manifest_is_refused(folder: StoreFolder) -> None:
    """A manifest that cannot be read is named."""
    (folder.directory / "store.json").write_bytes(b'{"store":')

    with pytest.raises(StoreRefusedError, match=r"store\.json is damaged"):
        folder.open()


def test_a_second_process_is_refused(folder: StoreFolder) -> None:
    """Two processes never write one store; when the first has ended, the second may."""
    store = folder.open()

    assert f"another process holds {folder.directory}" == open_beside(folder.directory)
    folder.end(store)
    assert "opened" == open_beside(folder.directory)


def test_a_tail_of_another_machine_is_refused(folder: StoreFolder) -> None:
    """Records are replayed by the version that wrote them, which may see rows in them otherwise."""
    store = folder.open()
    store.append(b"record")
    folder.end(store)
    store = folder.open(machine_version=MACHINE_VERSION + 1)

    with pytest.raises(StoreRefusedError, match="machine version 7, this is 8"):
        list(store.tail())


def test_after_a_clean_close_another_machine_goes_on(folder: StoreFolder) -> None:
    """A clean close leaves no tail, so that a newer version has nothing to replay."""
    store = folder.open()
    store.publish({b"a": b"1"}, store.append(b"record"))
    store.close()
    folder._opened.remove(store)
    store = folder.open(machine_version=MACHINE_VERSION + 1)

    assert [] == list(store.tail())
    assert b"1" == store.get(b"a")
    assert b"record" == store.record(1)


def test_a_log_that_lost_records_is_refused(folder: StoreFolder) -> None:
    """A checkpoint of records that the log does not have means that the two do not fit together."""
    store = folder.open()
    store.publish({b"a": b"1"}, store.append(b"record"))
    store.checkpoint()
    folder.end(store)
    shutil.rmtree(folder.directory / "log")
    (folder.directory / "log").mkdir()
    lmdb.open(str(folder.directory / "log")).close()

    with pytest.raises(StoreRefusedError, match="not of one store"):
        folder.open()


@pytest.mark.parametrize("name", ["log", "state"])
def test_a_missing_environment_is_refused(name: str, folder: StoreFolder) -> None:
    """An environment that was made and is gone is a loss to be noticed, not an empty one."""
    shutil.rmtree(folder.directory / name)

    with pytest.raises(StoreRefusedError, match="missing or empty"):
        folder.open()
