"""A stopped store can be looked at, tail included, and stays byte for byte as it is."""

from __future__ import annotations

import re
from hashlib import sha256
from typing import TYPE_CHECKING

import pytest
from lmdb import verify as lmdb_verify

from tests.unit.storage.store_folder import EXPECTED, MACHINE_VERSION, StoreFolder
from tests.unit.storage.test_damage import flip
from unify_grpc.storage.errors import StorageCorruptError, StoreHeldError, StoreRefusedError
from unify_grpc.storage.read_only import ReadOnlyStore, find_structure_faults

if TYPE_CHECKING:
    from pathlib import Path


def hashes(directory: Path) -> dict[str, str]:
    """Returns a hash of every file."""
    files = [each for each in sorted(directory.rglob("*")) if each.is_file()]
    return {str(each): sha256(each.read_bytes()).hexdigest() for each in files}


def killed_store(folder: StoreFolder) -> None:
    """Leaves a store of two rows behind whose tail changes one and adds one."""
    store = folder.open()
    store.publish({b"a": b"1", b"b": b"1"}, store.append(b"one"))
    store.checkpoint()
    store.publish({b"b": b"2", b"c": b"2"}, store.append(b"two"))
    folder.end(store)


def test_it_reads_rows_and_tail_and_changes_nothing(folder: StoreFolder) -> None:
    """What the tail's records give lies over the written rows, in memory only."""
    killed_store(folder)
    before = hashes(folder.directory)

    store = ReadOnlyStore(folder.directory, EXPECTED, MACHINE_VERSION)
    tail = list(store.tail())
    store.publish({b"b": b"2", b"c": b"2"}, 2)
    rows = [store.get(each) for each in (b"a", b"b", b"c")]
    listed = store.list_rows(b"c", limit=5)
    with store.auditing() as view:
        number = view.number
    store.drop_tail()
    after_drop = [store.get(each) for each in (b"a", b"b", b"c")]
    store.close()

    assert [(2, b"two")] == tail
    assert [b"1", b"2", b"2"] == rows
    assert [(b"c", b"2")] == listed
    assert 2 == number
    assert [b"1", b"1", None] == after_drop
    assert before == hashes(folder.directory)


def test_it_keeps_others_out_and_is_kept_out(folder: StoreFolder) -> None:
    """A store that is served is not looked at, and one that is looked at is not served."""
    opened = folder.open()
    with pytest.raises(StoreHeldError):
        ReadOnlyStore(folder.directory, EXPECTED, MACHINE_VERSION)
    folder.end(opened)

    store = ReadOnlyStore(folder.directory, EXPECTED, MACHINE_VERSION)
    with pytest.raises(StoreHeldError):
        folder.open()
    store.close()


def test_a_tail_of_another_version_is_refused(folder: StoreFolder) -> None:
    """Nothing can be said about rows that this version cannot replay."""
    killed_store(folder)
    store = ReadOnlyStore(folder.directory, EXPECTED, MACHINE_VERSION + 1)

    with pytest.raises(StoreRefusedError, match="machine version"):
        list(store.tail())
    store.close()


def test_a_damaged_tail_is_told(folder: StoreFolder) -> None:
    """A record of the tail that changed, or is missing, gives no rows."""
    killed_store(folder)
    flip(folder, "log", (2).to_bytes(8, "big"))
    store = ReadOnlyStore(folder.directory, EXPECTED, MACHINE_VERSION)

    with pytest.raises(StorageCorruptError, match="log record 2"):
        list(store.tail())
    store.close()


def test_damage_below_the_tail_is_told(folder: StoreFolder) -> None:
    """A damaged row that the tail writes anew is damage all the same."""
    killed_store(folder)
    flip(folder, "state", b"b")
    store = ReadOnlyStore(folder.directory, EXPECTED, MACHINE_VERSION)
    store.publish({b"b": b"2"}, 2)

    assert [b"b"] == store.damage_below()
    store.close()


def test_broken_pages_are_found_without_opening_them(folder: StoreFolder) -> None:
    """A file whose pages do not fit together is told of, by page numbers; a sound one is not."""
    store = folder.open()
    for each in range(200):
        store.publish({b"key %d" % each: bytes(100)}, store.append(bytes(1000)))
    store.checkpoint()
    folder.end(store)
    assert [] == find_structure_faults(folder.directory)
    path = folder.directory / "state" / "data.mdb"
    # In front of a key stands how long it and its value are; old pages may hold it too.
    data = re.sub(rb".{8}(?=key 77)", b"\xff" * 8, path.read_bytes(), flags=re.DOTALL)
    path.write_bytes(data)

    faults = find_structure_faults(folder.directory)

    assert faults
    assert all(each.startswith("state: ") for each in faults)
    assert "key 77" not in " ".join(faults)


def test_a_missing_file_is_told(folder: StoreFolder) -> None:
    """A store without one of its files is not whole."""
    (folder.directory / "log" / "data.mdb").unlink()

    assert ["log: the file is missing"] == find_structure_faults(folder.directory)


def test_pages_that_only_count_as_lost_are_no_fault(
    folder: StoreFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """LMDB's list of free pages may lie in more pages than it needs: nothing is wrong with that."""
    told = [
        "freeDB DB: overflow page 20721 header mp_pages 2 != OVPAGES(4080)=1",
        "freeDB DB: walked 78 overflow pages, record says 79",
        "1 page(s) are neither reachable nor in the freeDB -- a leak (first: page 20722)",
        "2 page(s) are both reachable and in the freeDB (first: page 7)",
        "someone@example.com DB: page 3 has unknown flag bits 0x1",
    ]
    monkeypatch.setattr(lmdb_verify, "verify", lambda _: told)

    faults = find_structure_faults(folder.directory)

    assert ["log: " + told[3], "log: its pages do not fit together"] == faults[:2]
    assert 4 == len(faults)
