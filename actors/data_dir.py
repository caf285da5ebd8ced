"""The data directory: made once for a deployment, then only ever opened."""

from __future__ import annotations

import os
import secrets
from typing import TYPE_CHECKING

import msgspec

from actors import names
from unify_grpc.storage.errors import StoreRefusedError
from unify_grpc.storage.manifest import (
    Manifest,
    create_store,
    lock_directory,
    sync_directory,
)

if TYPE_CHECKING:
    from pathlib import Path

DEPLOYMENT_FILE = "deployment.json"
_UNFINISHED = "initialising"
SHARDS_MIN = 2
FORMAT = 2


class Deployment(msgspec.Struct, frozen=True, kw_only=True):
    """What a data directory says of itself; written last, so it stands for a finished one."""

    deployment: str
    shard_count: int
    format: int = FORMAT

    def manifest(self, store: str) -> Manifest:
        """Returns what the manifest of one of its stores has to say."""
        return Manifest(store=store, deployment=self.deployment, shard_count=self.shard_count)


def open_data_dir(directory: Path, shards: int) -> tuple[Deployment, int]:
    """Opens a data directory, making it if it is new; returns it and its locked descriptor.

    Args:
        directory: made with its parents if it does not exist.
        shards: 0 for the recorded number, or for a new directory the number of cores, at least 2.

    Raises:
        StoreRefusedError: another process holds it, it was made for another number of shards, it
            is not empty and no data directory, or a newer version made it.
    """
    directory.mkdir(parents=True, mode=0o700, exist_ok=True)
    descriptor = lock_directory(directory)
    try:
        return _open(directory, shards), descriptor
    except BaseException:
        os.close(descriptor)
        raise


def _open(directory: Path, shards: int) -> Deployment:
    if not (directory / DEPLOYMENT_FILE).exists():
        return _create(directory, shards)
    deployment = read_deployment(directory)
    if shards and shards != deployment.shard_count:
        raise StoreRefusedError(
            f"{directory} was made for {deployment.shard_count} shards, not {shards}"
        )
    return deployment


def read_deployment(directory: Path) -> Deployment:
    """Returns what a data directory says of itself; `StoreRefusedError` if it is none of ours."""
    path = directory / DEPLOYMENT_FILE
    try:
        deployment = msgspec.json.decode(path.read_bytes(), type=Deployment)
    except FileNotFoundError:
        raise StoreRefusedError(f"{directory} holds no deployment") from None
    except msgspec.DecodeError as error:
        raise StoreRefusedError(f"{path} is damaged") from error
    if deployment.format > FORMAT:
        raise StoreRefusedError(f"{directory} was made by a newer version")
    if deployment.format < FORMAT:
        raise StoreRefusedError(
            f"{directory} was made by an earlier version (format {deployment.format}), whose rows "
            f"this one (format {FORMAT}) does not read: serve it with that version"
        )
    return deployment


def _create(directory: Path, shards: int) -> Deployment:
    unfinished = directory / _UNFINISHED
    others = {entry.name for entry in directory.iterdir()} - {"lock"}
    if others and not unfinished.exists():
        raise StoreRefusedError(f"{directory} is not empty and holds no deployment")
    unfinished.touch(mode=0o600)
    count = shards or max(SHARDS_MIN, os.cpu_count() or 1)
    deployment = Deployment(deployment=new_deployment_id(), shard_count=count)
    for store in (names.CONTROL, names.MERGE, *(names.shard_name(each) for each in range(count))):
        create_store(directory / store, deployment.manifest(store))
    write_deployment(directory, deployment)
    unfinished.unlink()
    sync_directory(directory)
    sync_directory(directory.parent)
    return deployment


def new_deployment_id() -> str:
    """Returns the id of a deployment that there was not before."""
    return "dep_" + secrets.token_hex(8)


def write_deployment(directory: Path, deployment: Deployment) -> None:
    """Makes a directory the data directory of a deployment, once all its stores are there."""
    temporary = directory / (DEPLOYMENT_FILE + ".new")
    with temporary.open("wb") as file:
        file.write(msgspec.json.encode(deployment))
        file.flush()
        os.fsync(file.fileno())
    temporary.rename(directory / DEPLOYMENT_FILE)
    sync_directory(directory)
