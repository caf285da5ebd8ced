"""A data directory on the disk as a service leaves it, made without one; and damage in it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import lmdb

from actors import names
from actors.data_dir import open_data_dir, read_deployment
from actors.preflight import machine_version
from tests.unit.verification.stored import SHARDS, sound_stores
from unify_grpc.storage.records import HEAD_BYTES, seal, version_of
from unify_grpc.storage.store import Store, StoreLimits

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from unify_grpc.storage.memory import MemoryStore

MAP_BYTES = 1 << 26


def leave(directory: Path) -> Path:
    """Makes a data directory of three shards with data of every kind, stopped in order."""
    os.close(open_data_dir(directory, SHARDS.shard_count)[1])
    stores = sound_stores()
    for number, shard in enumerate(stores.shards):
        _write(directory, names.shard_name(number), shard)
    _write(directory, names.MERGE, stores.merge)
    _write(directory, names.CONTROL, stores.control)
    return directory


def open_store(directory: Path, name: str) -> Store:
    """Opens a store of the directory for writing."""
    manifest = read_deployment(directory).manifest(name)
    limits = StoreLimits(map_bytes=MAP_BYTES)
    return Store(directory / name, manifest, machine_version(name), limits)


def kill(store: Store) -> None:
    """Ends a store as the end of its process does: its tail stays."""
    store._transaction.abort()
    store._log.close()
    store._state.close()
    os.close(store._lock_descriptor)


def store_names() -> list[str]:
    """Returns the names of all stores."""
    shards = [names.shard_name(each) for each in range(SHARDS.shard_count)]
    return [*shards, names.MERGE, names.CONTROL]


def stored(directory: Path, name: str, environment: str) -> dict[bytes, bytes]:
    """Returns what one environment of a store holds, sealed, but for the store's own keys."""
    opened = lmdb.open(str(directory / name / environment), readonly=True, lock=False)
    with opened.begin() as transaction:
        found = {bytes(key): bytes(value) for key, value in transaction.cursor()}
    opened.close()
    own = b"\0" if environment == "state" else b"\0" * 8
    return {key: value for key, value in found.items() if not key.startswith(own) and key != b"\0"}


def rewrite(
    directory: Path, name: str, environment: str, values: dict[bytes, bytes | None]
) -> None:
    """Writes sealed values behind the store's back; None takes one away."""
    opened = lmdb.open(str(directory / name / environment), map_size=MAP_BYTES)
    with opened.begin(write=True) as transaction:
        for key, value in values.items():
            if value is None:
                transaction.delete(key)
            else:
                transaction.put(key, value)
    opened.close()


def plant(directory: Path, name: str, key: bytes, change: Callable[[bytes], bytes]) -> None:
    """Changes a row, with the right checksum."""
    sealed = stored(directory, name, "state")[key]
    payload = change(sealed[HEAD_BYTES:])
    rewrite(directory, name, "state", {key: seal(payload, version_of(sealed))})


def flipped(sealed: bytes) -> bytes:
    """Returns a value with one bit of its middle changed."""
    at = (HEAD_BYTES + len(sealed)) // 2
    return sealed[:at] + bytes((sealed[at] ^ 4,)) + sealed[at + 1 :]


def _write(directory: Path, name: str, made: MemoryStore) -> None:
    store = open_store(directory, name)
    for number in range(1, made.next_number):
        assert store.append(made.record(number)) == number
    changes: dict[bytes, bytes | None] = {**made.rows}
    store.publish(changes, made.next_number - 1)
    store.close()
