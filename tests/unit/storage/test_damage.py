"""A byte that changed on the disk is noticed when it is read, not handed on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import lmdb
import pytest

from unify_grpc.machines.found_by import BY_PREFIX
from unify_grpc.storage.errors import StorageCorruptError

if TYPE_CHECKING:
    from tests.unit.storage.store_folder import StoreFolder


def flip(folder: StoreFolder, environment: str, key: bytes) -> None:
    """Flips a bit of the last byte of a value, behind the store's back."""
    opened = lmdb.open(str(folder.directory / environment), map_size=1 << 24)
    with opened.begin(write=True) as transaction:
        stored = transaction.get(key)
        assert stored is not None
        value = bytearray(stored)
        value[-1] ^= 1
        transaction.put(key, bytes(value))
    opened.close()


def test_a_damaged_row_is_noticed(folder: StoreFolder) -> None:
    """The writer's look-up, its scan and a reader's look-up all refuse a row that changed."""
    store = folder.open()
    store.publish({b"a": b"value", b"b": b"value"}, store.append(b"record"))
    store.checkpoint()
    folder.end(store)
    flip(folder, "state", b"a")
    store = folder.open()

    with pytest.raises(StorageCorruptError, match="a row does not match"):
        store.get(b"a")
    with pytest.raises(StorageCorruptError, match="a row does not match"):
        list(store.scan(b"a"))
    with store.reading() as view, pytest.raises(StorageCorruptError, match="a row does not match"):
        view.get(b"a")
    assert b"value" == store.get(b"b")


def test_a_damaged_record_is_noticed(folder: StoreFolder) -> None:
    """Reading and replaying a record that changed are refused, and name it."""
    store = folder.open()
    store.append(b"one")
    store.append(b"two")
    folder.end(store)
    flip(folder, "log", (2).to_bytes(8, "big"))
    store = folder.open()

    assert b"one" == store.record(1)
    with pytest.raises(StorageCorruptError, match="log record 2: a record does not match"):
        store.record(2)
    with pytest.raises(StorageCorruptError, match="log record 2 does not match"):
        list(store.tail())


def test_a_missing_record_is_noticed(folder: StoreFolder) -> None:
    """A gap in the tail ends the replay: what comes after it cannot be right."""
    store = folder.open()
    for record in (b"one", b"two", b"three"):
        store.append(record)
    folder.end(store)
    opened = lmdb.open(str(folder.directory / "log"), map_size=1 << 24)
    with opened.begin(write=True) as transaction:
        transaction.delete((2).to_bytes(8, "big"))
    opened.close()
    store = folder.open()

    with pytest.raises(StorageCorruptError, match="log record 2 is missing"):
        list(store.tail())


def test_a_damaged_position_is_noticed(folder: StoreFolder) -> None:
    """A checkpoint's log position is sealed like a row: a wrong one would lose events."""
    store = folder.open()
    store.publish({b"a": b"1"}, store.append(b"record"))
    store.checkpoint()
    folder.end(store)
    flip(folder, "state", b"\0position")

    with pytest.raises(StorageCorruptError, match="the checkpoint does not match"):
        folder.open()


def test_what_is_said_of_damage_holds_nobodys_identifier(folder: StoreFolder) -> None:
    """Rows by which identifiers are found have their text in the key."""
    store = folder.open()
    key = BY_PREFIX + b"\0\0\0\1\0email\0somebody@example.com"
    store.publish({key: b"value"}, store.append(b"record"))
    store.checkpoint()
    folder.end(store)
    flip(folder, "state", key)

    with folder.open().reading() as view, pytest.raises(StorageCorruptError) as raised:
        view.get(key)
    assert "somebody" not in str(raised.value)
    assert b"somebody".hex() not in str(raised.value)
