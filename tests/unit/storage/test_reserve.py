"""Events are refused while a reserve is left; what was accepted before may use it up."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from unify_grpc.storage.errors import StorageFullError
from unify_grpc.storage.room import ONE_BYTES_MAX, Full, Room

if TYPE_CHECKING:
    from tests.unit.storage.store_folder import StoreFolder
    from unify_grpc.storage.store import Store

MAP_BYTES = 1 << 22
RECORD = b"x" * (1 << 16)


class Disk:
    """What the disk says it has free."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.free_bytes = 1 << 40
        real = os.statvfs

        def statvfs(path: str) -> os.statvfs_result:
            found = list(real(path))
            found[0] = found[1] = 1
            found[4] = self.free_bytes
            return os.statvfs_result(found)

        monkeypatch.setattr("os.statvfs", statvfs)
        monkeypatch.setattr("unify_grpc.storage.room.LOOK_INTERVAL_S", 0.0)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    """A disk with room, looked at whenever somebody asks."""
    return Disk(monkeypatch)


def fill(store: Store) -> None:
    """Appends until there is no room."""
    with suppress(StorageFullError):
        while True:
            store.append(RECORD)


def test_a_tenth_of_a_map_is_kept_from_events(folder: StoreFolder, disk: Disk) -> None:
    """Events end at the reserve, and smaller records still fit; nobody else's map is asked."""
    del disk
    store = folder.open(map_bytes=MAP_BYTES)
    room = Room((store._log, store._state), MAP_BYTES)
    while room.has_for_events():
        store.append(RECORD)

    assert Full.MAP is room.full
    assert room.has_for_one()
    for _ in range(3):
        store.append(b"small")
    fill(store)
    assert not room.has_for_one()


def test_free_disk_below_the_reserve_refuses_events(folder: StoreFolder, disk: Disk) -> None:
    """They are taken again when there is more; a last record is kept out by much less."""
    store = folder.open()
    room = Room((store._log, store._state), 1 << 30)
    assert room.has_for_events()
    disk.free_bytes = (1 << 30) - 1
    assert not room.has_for_events()
    assert Full.DISK is room.full
    assert room.has_for_one()
    disk.free_bytes = ONE_BYTES_MAX - 1
    assert not room.has_for_one()
    disk.free_bytes = 1 << 31

    assert room.has_for_events()
    assert room.full is None


def test_a_write_without_room_is_remembered_until_there_is_more(
    folder: StoreFolder, disk: Disk
) -> None:
    """Without a reserve too: until the disk has more than it had, or a write succeeds."""
    store = folder.open()
    room = Room((store._log, store._state), 0)
    disk.free_bytes = 100
    room.note_refused(Full.DISK)
    assert Full.DISK is room.full
    disk.free_bytes = 101
    assert room.full is None
    disk.free_bytes = 100
    assert Full.DISK is room.full
    room.note_written()

    assert room.full is None


def test_a_full_map_is_remembered_until_a_write_succeeds(folder: StoreFolder, disk: Disk) -> None:
    """The store says so itself, whatever the disk has."""
    store = folder.open(map_bytes=1 << 18)
    fill(store)
    disk.free_bytes += 1
    assert Full.MAP is store.room.full
    assert store.is_full
    store.append(b"small")

    assert not store.is_full


def test_the_disk_is_not_asked_for_every_batch(
    folder: StoreFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between two looks a moment passes, in which events are taken as before."""
    store = folder.open()
    room = Room((store._log, store._state), 1)
    asked: list[str] = []

    def free_bytes() -> int:
        asked.append("disk")
        return 2

    monkeypatch.setattr("unify_grpc.storage.room.LOOK_INTERVAL_S", 1000.0)
    monkeypatch.setattr(room, "_free_bytes", free_bytes)
    for _ in range(100):
        assert room.has_for_events()

    assert ["disk"] == asked
