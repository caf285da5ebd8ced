"""A store as it is at one instant, kept open to be copied while the store goes on.

The writer stands still from the making of a cut until `let_go`. What is kept is complete by
construction: the log, opened after the rows, has every record after their position.

A cut pins the pages it shows: LMDB cannot use them again before it is closed, so a store that is
written to meanwhile grows by what is changed.
"""

from __future__ import annotations

import os
from hashlib import blake2b
from threading import Event, Thread
from typing import TYPE_CHECKING, Final

import lmdb

from unify_grpc.machines.backup_records import CopiedFile
from unify_grpc.storage.copies import remove_copy
from unify_grpc.storage.environments import DATA_FILE
from unify_grpc.storage.errors import StorageFullError, StoreError, means_no_room
from unify_grpc.storage.manifest import sync_directory

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from threading import Lock

CHECKSUM_BYTES: Final = 32
CHUNK_BYTES: Final = 1 << 20
_META_PAGES: Final = 2
_NAMES: Final = ("state", "log")
"""In the order in which they are opened."""


class StoreBusyError(StoreError):
    """The writer did not come to the end of a commit in time."""


class CopyStoppedError(StoreError):
    """Somebody does not want the copy any more."""


class CopyFailedError(StoreError):
    """A copy could not be written; the text says why, without naming what is in it."""


class StoreCut:
    """What is durable at one instant. Any one thread at a time may use it."""

    def __init__(
        self, environments: tuple[lmdb.Environment, lmdb.Environment], gate: Lock, wait_s: float
    ) -> None:
        """Holds the writer and opens what is durable.

        Args:
            environments: the rows' and the log's.
            gate: held around each commit of the log.
            wait_s: how long to wait for a commit that is under way.

        Raises:
            StoreBusyError: it did not end in time.
        """
        if not gate.acquire(timeout=wait_s):
            raise StoreBusyError("a commit is under way for too long")
        self._gate: Lock | None = gate
        self._opened: list[tuple[lmdb.Environment, lmdb.Transaction]] = []
        try:
            for each in environments:
                self._opened.append((each, each.begin()))
            self.size_bytes = sum(_used_bytes(each) for each in environments)
            """What a copy takes, about."""
        except BaseException:
            self.close()
            raise

    def let_go(self) -> None:
        """Lets the writer go on; the cut stays open. Repeats do nothing."""
        gate, self._gate = self._gate, None
        if gate is not None:
            gate.release()

    def close(self) -> None:
        """Lets the writer go on, and gives up what was kept; call nothing after it."""
        self.let_go()
        opened, self._opened = self._opened, []
        for _, transaction in opened:
            transaction.abort()

    def copy(
        self, directory: Path, stop: Event, written: Callable[[int], None]
    ) -> tuple[CopiedFile, ...]:
        """Writes the cut to a directory that is not there yet; returns once it is durable.

        Whatever it raises, nothing of it is left.

        Args:
            directory: of the part, whose name stands in the paths of the files; below that of the
                attempt, which other parts make too.
            stop: ends the copy when set.
            written: told how many bytes more were written.

        Raises:
            StorageFullError: it does not fit.
            CopyFailedError: it cannot be written there, or the store cannot be read.
            CopyStoppedError: `stop` was set.
        """
        try:
            directory.parent.mkdir(mode=0o700, exist_ok=True)
            if directory.parent.is_symlink():
                raise CopyFailedError("a link stands in place of its directory")
            directory.mkdir(mode=0o700)
        except OSError as error:
            raise _failure(error) from error
        try:
            found = []
            for name, (environment, transaction) in zip(_NAMES, self._opened, strict=True):
                (directory / name).mkdir(mode=0o700)
                path = directory / name / DATA_FILE
                size, checksum = _copy_one(environment, transaction, path, stop, written)
                sync_directory(directory / name)
                where = f"{directory.name}/{name}/{DATA_FILE}"
                found.append(CopiedFile(where, size, checksum))
            sync_directory(directory)
            sync_directory(directory.parent)
        except BaseException as error:
            remove_copy(directory)
            if isinstance(error, OSError):
                raise _failure(error) from error
            raise
        return tuple(found)


def drop_from_cache(descriptor: int) -> None:
    """Has the system forget a file that was written or read once: others need its memory more."""
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)


def _copy_one(
    environment: lmdb.Environment,
    transaction: lmdb.Transaction,
    path: Path,
    stop: Event,
    written: Callable[[int], None],
) -> tuple[int, str]:
    """Copies through a pipe, so that the copy can be counted, checked and stopped on its way."""
    source, sink = os.pipe()
    failures: list[BaseException] = []

    def read() -> None:
        try:
            environment.copyfd(sink, compact=True, txn=transaction)
        except BaseException as error:  # noqa: BLE001 - else what was read so far were the copy
            failures.append(error)
        finally:
            os.close(sink)

    reader = Thread(target=read, name="backup-read", daemon=True)
    try:
        reader.start()
    except BaseException:
        os.close(source)
        os.close(sink)
        raise
    try:
        size, checksum = _write(source, path, stop, written)
    finally:
        # Ends the reader too, if it has more to say.
        os.close(source)
        reader.join()
    if failures:
        raise CopyFailedError("the store cannot be read as a whole") from failures[0]
    return size, checksum


def _write(source: int, path: Path, stop: Event, written: Callable[[int], None]) -> tuple[int, str]:
    size, checksum = 0, blake2b(digest_size=CHECKSUM_BYTES)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        while chunk := os.read(source, CHUNK_BYTES):
            if stop.is_set():
                raise CopyStoppedError("the copy is not wanted any more")
            checksum.update(chunk)
            left = memoryview(chunk)
            while left:
                left = left[os.write(descriptor, left) :]
            size += len(chunk)
            written(len(chunk))
        os.fsync(descriptor)
        drop_from_cache(descriptor)
    finally:
        os.close(descriptor)
    return size, checksum.hexdigest()


def _used_bytes(environment: lmdb.Environment) -> int:
    found = environment.stat()
    pages = _META_PAGES + found["branch_pages"] + found["leaf_pages"] + found["overflow_pages"]
    return int(pages * found["psize"])


def _failure(error: OSError) -> StoreError:
    if means_no_room(error):
        return StorageFullError("there is no room for the copy")
    return CopyFailedError(f"it cannot be written: {error.strerror}")
