"""A data directory made from a backup, which a service then starts on as after any stop."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from actors.data_dir import Deployment, new_deployment_id, write_deployment
from actors.preflight import check_stores, store_names
from unify_grpc.machines.versions import MACHINE_VERSIONS
from unify_grpc.storage.backup_directory import check_files, read_backup
from unify_grpc.storage.cut import CHUNK_BYTES
from unify_grpc.storage.environments import DATA_FILE
from unify_grpc.storage.errors import StoreRefusedError
from unify_grpc.storage.manifest import (
    ENVIRONMENTS,
    lock_directory,
    sync_directory,
    write_manifest,
)

if TYPE_CHECKING:
    from pathlib import Path

    from unify_grpc.machines.backup_records import BackupManifest, CopiedFile

_LOCK: Final = "lock"
_MEANWHILE: Final = "restoring"
"""Stands in a directory that is not finished, which is thereby none that could be served."""


def restore(backup: Path, data_dir: Path) -> BackupManifest:
    """Makes a data directory of a backup; returns what the backup says of itself.

    The backup is read whole and compared with its checksums before anything is written, and the
    copy is read back from the disk after it. The directory becomes a deployment of its own: its
    stores and those that the backup was made of go different ways from here.

    Args:
        backup: the directory of a finished backup.
        data_dir: made with its parents, or empty.

    Raises:
        StoreRefusedError: there is no finished backup, it is damaged, of another version, or the
            data directory is not empty or has no room; the text says which in one sentence.
        OSError: the data directory cannot be written.
    """
    manifest = read_backup(backup)
    _check_machines(backup, manifest)
    copies = backup / manifest.backup
    deployment = Deployment(deployment=new_deployment_id(), shard_count=manifest.facts.shard_count)
    _check_list(backup, manifest, deployment)
    is_made = not data_dir.exists()
    _check_unfinished(data_dir)
    _check_empty(data_dir)
    _check_room(data_dir, manifest.size_bytes)
    check_files(copies, manifest.files)
    data_dir.mkdir(parents=True, mode=0o700, exist_ok=True)
    descriptor = lock_directory(data_dir)
    try:
        _check_empty(data_dir)
        try:
            _write(copies, manifest, deployment, data_dir)
        except BaseException:
            _remove(data_dir, deployment, is_made=is_made)
            raise
    finally:
        os.close(descriptor)
    return manifest


def _check_empty(data_dir: Path) -> None:
    """Refuses a directory with anything in it but a lock, which one who was refused may leave."""
    if data_dir.exists() and {each.name for each in data_dir.iterdir()} - {_LOCK}:
        raise StoreRefusedError(f"{data_dir} is not empty")


def _check_unfinished(data_dir: Path) -> None:
    """Says of what another restore left there that it may go, unless that is still under way."""
    if (data_dir / _MEANWHILE).exists():
        os.close(lock_directory(data_dir))
        raise StoreRefusedError(
            f"{data_dir} holds what a restore that did not finish has left: remove it, then "
            "restore again"
        )


def _check_room(data_dir: Path, size_bytes: int) -> None:
    """Refuses a disk without room for the copy, before anything is read or written."""
    there = next(each for each in (data_dir, *data_dir.parents) if each.exists())
    free_bytes = shutil.disk_usage(there).free
    if free_bytes < size_bytes:
        raise StoreRefusedError(
            f"{data_dir} has room for {free_bytes} bytes, and the backup takes {size_bytes}"
        )


def _check_machines(backup: Path, manifest: BackupManifest) -> None:
    """Refuses a backup with logs that this version cannot replay; an old one does not say."""
    made_by = manifest.machine_versions
    if made_by and made_by != MACHINE_VERSIONS:
        version = f"unify {manifest.version}" if manifest.version else "another version of unify"
        raise StoreRefusedError(
            f"{backup} was made by {version} ({_told(made_by)}), whose logs this one "
            f"({_told(MACHINE_VERSIONS)}) does not replay: restore it with that version, then "
            "serve it once with that version and stop it"
        )


def _told(versions: dict[str, int]) -> str:
    return ", ".join(f"{each.replace('_', ' ')} {versions[each]}" for each in versions)


def _check_list(backup: Path, manifest: BackupManifest, deployment: Deployment) -> None:
    """Refuses a backup that lists other files than its stores have."""
    expected = {
        f"{store}/{environment}/{DATA_FILE}"
        for store in store_names(deployment)
        for environment in ENVIRONMENTS
    }
    if sorted(each.path for each in manifest.files) != sorted(expected):
        raise StoreRefusedError(f"{backup} is damaged: it does not list the files of its stores")


def _write(copies: Path, manifest: BackupManifest, deployment: Deployment, data_dir: Path) -> None:
    (data_dir / _MEANWHILE).touch(mode=0o600)
    for store in store_names(deployment):
        (data_dir / store).mkdir(mode=0o700)
        for environment in ENVIRONMENTS:
            (data_dir / store / environment).mkdir(mode=0o700)
    for file in manifest.files:
        _copy(copies, file, data_dir)
    for store in store_names(deployment):
        for environment in ENVIRONMENTS:
            sync_directory(data_dir / store / environment)
        write_manifest(data_dir / store, deployment.manifest(store))
    check_files(data_dir, manifest.files)
    check_stores(data_dir, deployment)
    write_deployment(data_dir, deployment)
    (data_dir / _MEANWHILE).unlink()
    sync_directory(data_dir)
    with suppress(OSError):  # of a directory above, which may not be ours to open
        sync_directory(data_dir.parent)


def _copy(copies: Path, file: CopiedFile, data_dir: Path) -> None:
    descriptor = os.open(
        data_dir / file.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600
    )
    with (
        os.fdopen(descriptor, "wb", buffering=0) as target,
        (copies / file.path).open("rb", buffering=0) as source,
    ):
        while chunk := source.read(CHUNK_BYTES):
            left = memoryview(chunk)
            while left:
                left = left[target.write(left) :]
        os.fsync(target.fileno())


def _remove(data_dir: Path, deployment: Deployment, *, is_made: bool) -> None:
    """Removes what was written, so that the directory is as empty as before."""
    for store in store_names(deployment):
        shutil.rmtree(data_dir / store, ignore_errors=True)
    for each in list(data_dir.iterdir()):
        with suppress(OSError):
            each.unlink()
    if is_made:
        with suppress(OSError):
            data_dir.rmdir()
