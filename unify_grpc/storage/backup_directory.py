"""The directory of a backup: made, described in a file when it is finished, read, and removed.

`backup.json` is written last, so a directory without it is no backup. Its first line describes
the backup and holds the id of the request that made it, which is how a repetition of that request
finds its answer; the second is the checksum of the first.

The copies are below it in a directory named after the attempt that made them, so whoever cleans up
after one attempt cannot touch another's.
"""

from __future__ import annotations

import os
import re
import shutil
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

import lmdb
import msgspec

from unify_grpc.machines.backup_records import (
    BACKUP_FORMAT,
    BACKUP_FORMATS_READ,
    BackupManifest,
)
from unify_grpc.storage.copies import is_ours_alone, remove_copy
from unify_grpc.storage.cut import CHECKSUM_BYTES, CHUNK_BYTES, drop_from_cache
from unify_grpc.storage.errors import (
    StorageFullError,
    StoreError,
    StoreRefusedError,
    means_no_room,
)
from unify_grpc.storage.manifest import STORE_FORMAT, sync_directory

if TYPE_CHECKING:
    from collections.abc import Iterable

    from unify_grpc.machines.backup_records import CopiedFile

T = TypeVar("T")
BACKUP_FILE: Final = "backup.json"
_UNFINISHED: Final = BACKUP_FILE + ".new"
_ATTEMPT: Final = re.compile(r"[0-9a-f]{16}")
"""What attempts are called."""


class DirectoryUnusableError(StoreError):
    """A directory cannot be made or written; the text says why."""


class DirectoryUsedError(StoreError):
    """A directory is not empty."""


class BackupDirectory:
    """Where a backup is, or is to be made."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._is_made = False
        self._is_described = False
        """Whether the description that is there, if one is, was written by this."""

    def find_manifest(self) -> BackupManifest | None:
        """Returns what is said of the backup here, whose files are there; None: nothing is.

        Raises:
            StoreRefusedError: it is damaged, or this version cannot read it.
            DirectoryUnusableError: the directory cannot be looked into.
        """
        try:
            is_there = (self.path / BACKUP_FILE).exists()
        except OSError as error:
            raise DirectoryUnusableError(f"it cannot be used: {error.strerror}") from error
        if not is_there:
            return None
        manifest = read_backup(self.path)
        _check_sizes(self.path, manifest)
        return manifest

    def make(self, backup: str) -> None:
        """Makes the directory, or takes one that is empty; and in it one for the attempt's copies.

        Args:
            backup: names the attempt.

        Raises:
            DirectoryUsedError: it is not empty.
            DirectoryUnusableError: it cannot be made or read, or others may write there.
        """
        try:
            with suppress(FileExistsError):
                self.path.mkdir(parents=True, mode=0o700)
                self._is_made = True
            if not all(map(_is_gone, list(self.path.iterdir()))):
                raise DirectoryUsedError("it is not empty")
            if not is_ours_alone(self.path):
                raise DirectoryUnusableError(
                    "it must belong to the user that the service runs as, "
                    "and be writable by nobody else"
                )
            (self.path / backup).mkdir(mode=0o700)
        except OSError as error:
            raise DirectoryUnusableError(f"it cannot be used: {error.strerror}") from error

    def room_bytes(self, reserved_for: Path, reserve_bytes: int) -> int:
        """Returns how much may be written: what is free, without the reserve of data beside it."""
        free = shutil.disk_usage(self.path).free
        with suppress(OSError):
            if reserved_for.stat().st_dev == self.path.stat().st_dev:
                free -= reserve_bytes
        return max(0, free)

    def finish(self, manifest: BackupManifest) -> None:
        """Makes what was copied a backup, durably.

        Raises:
            StorageFullError: there is no room for the last file.
            DirectoryUnusableError: it cannot be written.
        """
        line = msgspec.json.encode(manifest)
        try:
            descriptor = os.open(
                self.path / _UNFINISHED, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600
            )
            with os.fdopen(descriptor, "wb") as file:
                file.write(line + b"\n" + _checksum(line).encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())
            self._is_described = True
            (self.path / _UNFINISHED).rename(self.path / BACKUP_FILE)
            sync_directory(self.path)
            with suppress(OSError):  # of a directory above, which may not be ours to open
                sync_directory(self.path.parent)
        except OSError as error:
            if means_no_room(error):
                raise StorageFullError("there is no room for the description") from error
            raise DirectoryUnusableError(f"it cannot be used: {error.strerror}") from error

    def remove(self, backup: str, parts: Iterable[str], *, is_described: bool) -> None:
        """Removes what an attempt has left, and the directory if it was made for it.

        The description goes first, so that it never stands for copies that are gone; where it
        cannot be removed, they stay.

        Args:
            backup: names the attempt.
            parts: that may have copied.
            is_described: whether it had begun to describe the backup.
        """
        if is_described and not self._remove_description():
            return
        for part in parts:
            remove_copy(self.path / backup / part)
        with suppress(OSError):
            (self.path / backup).rmdir()
        if self._is_made:
            with suppress(OSError):
                self.path.rmdir()

    def _remove_description(self) -> bool:
        """Returns whether there is none any more."""
        with suppress(OSError):
            (self.path / _UNFINISHED).unlink()
        try:
            if self._is_described:
                (self.path / BACKUP_FILE).unlink(missing_ok=True)
        except OSError:
            return False
        with suppress(OSError):
            sync_directory(self.path)
        return True


def read_backup(directory: Path) -> BackupManifest:
    """Returns what a directory says of its backup.

    Raises:
        StoreRefusedError: there is no finished backup, what it says is damaged, or this version
            cannot read it; the text says which in one sentence.
    """
    try:
        line, _, checksum = (directory / BACKUP_FILE).read_bytes().rstrip(b"\n").partition(b"\n")
    except (FileNotFoundError, NotADirectoryError):
        message = f"{directory} holds no finished backup"
        raise StoreRefusedError(message) from None
    except OSError as error:
        message = f"{directory / BACKUP_FILE} cannot be read: {error.strerror}"
        raise StoreRefusedError(message) from error
    if _checksum(line) != checksum.decode("ascii", "replace"):
        raise StoreRefusedError(_damaged(directory))
    formats = _decode(directory, line, _Formats)
    found = (formats.format, formats.facts.store_format)
    if formats.format > BACKUP_FORMAT or formats.facts.store_format > STORE_FORMAT:
        message = f"{directory} was made by a newer version (format {found[0]}.{found[1]})"
        raise StoreRefusedError(message)
    is_read = formats.format in BACKUP_FORMATS_READ and formats.facts.store_format == STORE_FORMAT
    if not is_read or formats.facts.lmdb_version != lmdb.version()[0]:
        message = (
            f"{directory} was made by another version (format {found[0]}.{found[1]}, LMDB "
            f"{formats.facts.lmdb_version}), whose stores this one does not read: restore it with "
            "that version"
        )
        raise StoreRefusedError(message)
    return _decode(directory, line, BackupManifest)


def check_files(directory: Path, files: Iterable[CopiedFile]) -> None:
    """Reads files whole; `StoreRefusedError` if one is not as its backup describes it.

    Args:
        directory: in which their paths begin.
        files: what they have to be.
    """
    for file in files:
        try:
            size, checksum = _read(directory / file.path)
        except PermissionError as error:
            message = f"{directory / file.path} cannot be read: {error.strerror}"
            raise StoreRefusedError(message) from error
        except OSError as error:
            message = f"{directory} is damaged: {file.path} cannot be read"
            raise StoreRefusedError(message) from error
        if (size, checksum) != (file.size_bytes, file.checksum):
            message = f"{directory} is damaged: {file.path} is not what was written"
            raise StoreRefusedError(message)


def _is_gone(path: Path) -> bool:
    """Removes an attempt's directory in which nothing was copied before its coordinator ended."""
    if _ATTEMPT.fullmatch(path.name):
        with suppress(OSError):
            path.rmdir()
            return True
    return False


def _check_sizes(directory: Path, manifest: BackupManifest) -> None:
    """Refuses a backup whose files are not there; a damaged one is found when it is restored."""
    for file in manifest.files:
        try:
            size = (directory / manifest.backup / file.path).stat().st_size
        except OSError:
            size = -1
        if size != file.size_bytes:
            raise StoreRefusedError(f"{directory} is damaged: {file.path} is not as it was written")


class _FormatFacts(msgspec.Struct, frozen=True):
    """What of a store's facts every version writes."""

    store_format: int
    lmdb_version: int


class _Formats(msgspec.Struct, frozen=True):
    """What of a description every version writes."""

    format: int
    facts: _FormatFacts


def _decode(directory: Path, line: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(line, type=kind)
    except msgspec.DecodeError as error:
        raise StoreRefusedError(_damaged(directory)) from error


def _read(path: Path) -> tuple[int, str]:
    """Returns the size and checksum of a file, as the disk has it."""
    size, checksum = 0, blake2b(digest_size=CHECKSUM_BYTES)
    with path.open("rb", buffering=0) as file:
        # What was written just now may still be in memory, and right there alone.
        drop_from_cache(file.fileno())
        while chunk := file.read(CHUNK_BYTES):
            checksum.update(chunk)
            size += len(chunk)
        drop_from_cache(file.fileno())
    return size, checksum.hexdigest()


def _checksum(data: bytes) -> str:
    return blake2b(data, digest_size=CHECKSUM_BYTES).hexdigest()


def _damaged(directory: Path) -> str:
    return f"{directory} is damaged: its {BACKUP_FILE} is not what was written"
