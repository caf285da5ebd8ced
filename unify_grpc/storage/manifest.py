"""Whose store a directory is: written once when it is made, checked whenever it is opened."""

from __future__ import annotations

import fcntl
import os
from typing import TYPE_CHECKING, Final

import lmdb
import msgspec

from unify_grpc.storage.errors import StoreHeldError, StoreRefusedError

if TYPE_CHECKING:
    from pathlib import Path

STORE_FORMAT: Final = 2
"""Raised with the format of any row; there are no migrations yet, so another one is refused."""
_NAME = "store.json"
ENVIRONMENTS: Final = ("log", "state")


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a store directory says of itself."""

    store: str
    """Which store of its deployment, for example `shard-0`."""
    deployment: str
    """Made once for all stores of a data directory."""
    shard_count: int
    format: int = STORE_FORMAT
    lmdb_version: int = 0
    """Major version of the LMDB library whose file format is used."""


def create_store(directory: Path, manifest: Manifest) -> None:
    """Makes an empty store. Only for a directory that control says was never initialised."""
    directory.mkdir(parents=True, mode=0o700, exist_ok=True)
    for name in ENVIRONMENTS:
        (directory / name).mkdir(mode=0o700, exist_ok=True)
        lmdb.open(str(directory / name), mode=0o600).close()
        sync_directory(directory / name)  # the file's name, without which nothing is durable
    write_manifest(directory, manifest)


def write_manifest(directory: Path, manifest: Manifest) -> None:
    """Makes a directory the store that the manifest describes, once it holds what that needs."""
    version = lmdb.version()[0]
    text = msgspec.json.encode(msgspec.structs.replace(manifest, lmdb_version=version))
    temporary = directory / (_NAME + ".new")
    with temporary.open("wb") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.rename(directory / _NAME)
    sync_directory(directory)


def read_manifest(directory: Path) -> Manifest:
    """Returns what a directory says of itself; `StoreRefusedError` if it is no store."""
    try:
        text = (directory / _NAME).read_bytes()
    except FileNotFoundError:
        message = f"{directory} holds no store, though one was made there: restore it or its backup"
        raise StoreRefusedError(message) from None
    try:
        return msgspec.json.decode(text, type=Manifest)
    except msgspec.DecodeError as error:
        message = f"{directory / _NAME} is damaged"
        raise StoreRefusedError(message) from error


def check_manifest(found: Manifest, expected: Manifest) -> None:
    """Refuses a store that is not the expected one, in a sentence that says in what it differs."""
    if found.format > STORE_FORMAT:
        message = f"{found.store} was written by a newer version (format {found.format})"
        raise StoreRefusedError(message)
    if found.format < STORE_FORMAT:
        message = (
            f"{found.store} was written by an earlier version (format {found.format}), whose rows "
            f"this one (format {STORE_FORMAT}) does not read: serve it with that version"
        )
        raise StoreRefusedError(message)
    if found.store != expected.store or found.deployment != expected.deployment:
        message = (
            f"the store is {found.store} of deployment {found.deployment}, "
            f"not {expected.store} of {expected.deployment}"
        )
        raise StoreRefusedError(message)
    if found.shard_count != expected.shard_count:
        message = (
            f"{found.store} was made for {found.shard_count} shards, not {expected.shard_count}"
        )
        raise StoreRefusedError(message)
    if found.lmdb_version != lmdb.version()[0]:
        message = (
            f"{found.store} was written by LMDB {found.lmdb_version}, "
            f"this is LMDB {lmdb.version()[0]}"
        )
        raise StoreRefusedError(message)


def lock_directory(directory: Path) -> int:
    """Takes a directory for this process until it ends; returns the locked file descriptor.

    Raises:
        StoreHeldError: another process has it.
    """
    descriptor = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        message = f"another process holds {directory}"
        raise StoreHeldError(message) from None
    return descriptor


def sync_directory(directory: Path) -> None:
    """Makes a rename in a directory durable."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
