"""A durable log and the rows that follow from it, in two LMDB environments.

`append` commits one record to the log with fsync: that is the durability point. Rows stay in an
overlay in memory until a checkpoint, in a thread of its own, writes them sorted into the other
environment together with the number of the last record they stand for. Start-up replays the log
after that number.

Two environments and a thread, because LMDB has one writer per environment: a checkpoint in the
log's environment would make every batch wait for it. One thread, the writer, calls everything but
`reading`; any thread may read.
"""

from __future__ import annotations

import os
import shutil
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import lmdb

from unify_grpc.machines.row_names import row_name
from unify_grpc.storage import manifest as manifests
from unify_grpc.storage.audit_view import AuditView
from unify_grpc.storage.cut import StoreCut
from unify_grpc.storage.damage import Damage
from unify_grpc.storage.environments import DAMAGED_FILE, disk_error, open_environment
from unify_grpc.storage.errors import (
    CommitUnknownError,
    StorageCorruptError,
    StorageFullError,
    StoreFencedError,
)
from unify_grpc.storage.fence import Fence, read_epoch
from unify_grpc.storage.forks import keep_from_children
from unify_grpc.storage.positions import (
    check_later,
    check_order,
    check_version,
    last_number,
    read_position,
    write_position,
)
from unify_grpc.storage.record_cache import RecordCache
from unify_grpc.storage.records import seal, unseal
from unify_grpc.storage.room import Full, Room
from unify_grpc.storage.snapshot import OverlayKeys, Snapshot

if TYPE_CHECKING:
    from collections.abc import Iterator

    from unify_grpc.machines.tables import Changes
    from unify_grpc.storage.manifest import Manifest
    from unify_grpc.storage.snapshot import Overlay

_MAP_FULL: Final = "MAP_FULL"
"""Stands in LMDB's text of that error."""
_CHECKPOINT_PAUSE_S: Final = 1.0
"""After one that had no room, while nothing more is taken in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreLimits:
    """Sizes that bound a store's memory and the length of its replay."""

    map_bytes: int = 1 << 38
    """Address space of each environment; the files grow as they are filled."""
    overlay_bytes_max: int = 24 << 20
    """Rows in memory, by size, that start a checkpoint."""
    tail_bytes_max: int = 32 << 20
    """Log after the checkpoint, by size, that starts the next."""
    backlog_factor: int = 4
    """How many times these sizes may be reached while a checkpoint is still under way."""
    reserve_bytes: int = 0
    """Of the disk and of each map, kept from events; of a map a tenth at most."""


class Store:
    """An open store; ends with the process or with `close`."""

    def __init__(
        self, directory: Path, expected: Manifest, machine_version: int, limits: StoreLimits
    ) -> None:
        """Opens a store that `create_store` made.

        Raises:
            StoreRefusedError: held by another process, missing, another one, or a newer format.
        """
        manifests.check_manifest(manifests.read_manifest(directory), expected)
        self._lock_descriptor = manifests.lock_directory(directory)
        self.limits = limits
        self.machine_version = machine_version
        self._log = open_environment(directory / "log", limits.map_bytes)
        self._state = open_environment(directory / "state", limits.map_bytes)
        self._log_fence, self._state_fence = _raise_epoch(self._log), _raise_epoch(self._state)
        self._active: Overlay = {}
        self._frozen: Overlay | None = None
        self._active_keys = OverlayKeys(self._active)
        self._frozen_keys = OverlayKeys({})
        self._active_bytes = 0
        self._tail_bytes = 0
        self._unwritten_bytes = 0
        """Of rows that checkpoints had no room for since the last one that had."""
        self._publishing = threading.Lock()
        self._committing = threading.Lock()
        """Around every commit of the log; whoever cuts the store holds the writer still with it."""
        self._thread: threading.Thread | None = None
        self._failure: BaseException | None = None
        self._no_room = ""
        """What the last checkpoint without room failed with."""
        self._checkpoint_due = 0.0
        """Not before it is one tried again that had no room, by the clock of `time.monotonic`."""
        self.damage = Damage(expected.store)
        self.room = Room((self._log, self._state), limits.reserve_bytes)
        with self._state.begin() as transaction:
            self._checkpoint_position = read_position(transaction)
        self._published = self._checkpoint_position
        self.next_number = self._last_number() + 1
        self._transaction = self._state.begin()
        self._cache = RecordCache()
        keep_from_children(self)

    # -- the writer's side --------------------------------------------------------------------

    def get(self, key: bytes) -> bytes | None:
        """Returns a row's value, or None if there is none. Writer only."""
        if key in self._active:
            return self._active[key]
        if self._frozen is not None and key in self._frozen:
            return self._frozen[key]
        try:
            data = self._transaction.get(key)
            return None if data is None else unseal(data, "a row")
        except (StorageCorruptError, *DAMAGED_FILE) as error:
            raise self.damage.met(row_name(key), error) from error

    def scan(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Yields checkpointed rows whose key starts with the prefix. Writer only, at start-up."""
        assert not self._active, "rows are scanned before the log is replayed"
        cursor = self._transaction.cursor()
        found = cursor.set_range(prefix)
        while found and cursor.key().startswith(prefix):
            yield cursor.key(), unseal(cursor.value(), "a row")
            found = cursor.next()

    def list_rows(
        self, prefix: bytes, *, after: bytes = b"", limit: int
    ) -> list[tuple[bytes, bytes]]:
        """Returns at most `limit` rows of a prefix in key order, only those after a key."""
        with self.reading() as view:
            return view.list_rows(prefix, after=after, limit=limit)

    def append(self, record: bytes) -> int:
        """Makes a record durable and returns its number.

        Raises:
            StorageFullError: nothing was written; the same call may succeed later.
            CommitUnknownError: end the process; its restart knows.
            StoreFencedError: end the process; another one has opened the store.
        """
        self._settle()
        self._check_backlog()
        try:
            number = self._append(record)
        except StorageFullError as error:
            self.room.note_refused(Full.MAP if _MAP_FULL in str(error) else Full.DISK)
            raise
        self.room.note_written()
        return number

    def _append(self, record: bytes) -> int:
        number = self.next_number
        key, value = number.to_bytes(8, "big"), seal(record, self.machine_version)
        try:
            with self._committing, self._log.begin(write=True) as transaction:
                self._log_fence.check(transaction)
                if not transaction.put(key, value, append=True):
                    # Only where the epoch could not be raised at the opening.
                    raise StoreFencedError("another process has appended since")
        except lmdb.MapFullError as error:
            raise StorageFullError(str(error)) from error
        except lmdb.DiskError as error:
            raise disk_error(error) from error
        except lmdb.Error as error:
            raise CommitUnknownError(str(error)) from error
        self._log_fence.committed()
        self.next_number = number + 1
        self._tail_bytes += len(value)
        self._cache.add(number, record)
        return number

    def publish(self, changes: Changes, number: int) -> None:
        """Lets readers see, in one step, the rows that follow from a durable record."""
        assert number < self.next_number, "rows of a record that is not durable"
        with self._publishing:
            self._active.update(changes)
            self._published = number
        self._active_bytes += sum(
            [len(key) + len(value or b"") + 100 for key, value in changes.items()]
        )
        if (
            self._active_bytes >= self.limits.overlay_bytes_max
            or self._tail_bytes >= self.limits.tail_bytes_max
        ):
            self._start_checkpoint()

    def tail(self) -> Iterator[tuple[int, bytes]]:
        """Yields the records after the checkpoint; their changes are to be published again.

        Raises:
            StoreRefusedError: a record was written by another version of the machine.
        """
        for number in range(self._checkpoint_position + 1, self.next_number):
            with self._log.begin() as transaction:
                data = transaction.get(number.to_bytes(8, "big"))
            if data is None:
                message = f"log record {number} is missing"
                raise StorageCorruptError(message)
            check_version(data, self.machine_version)
            self._tail_bytes += len(data)
            yield number, unseal(data, f"log record {number}")

    def tend(self) -> None:
        """Does what has come due while nobody wrote: call it each second or so.

        Drops what a checkpoint has written, and tries one again that had no room.
        """
        self._settle()
        self._try_again()

    def checkpoint(self) -> None:
        """Writes all published rows and waits until that is durable."""
        self._join()
        if self._published > self._checkpoint_position:
            self._start_checkpoint()
            self._join()

    def close(self) -> None:
        """Checkpoints, so that no tail is left, and releases the directory."""
        self.checkpoint()
        self._transaction.abort()
        self._log.close()
        self._state.close()
        os.close(self._lock_descriptor)

    def _check_backlog(self) -> None:
        """Refuses to take more in while checkpoints have no room, or memory would have no bound."""
        if self._is_behind:
            self._try_again()
            message = f"there is no room for a checkpoint: {self._no_room}"
            raise StorageFullError(message)

    @property
    def _is_behind(self) -> bool:
        """Whether so much waits for a checkpoint that had no room."""
        return self._unwritten_bytes >= self.limits.backlog_factor * self.limits.overlay_bytes_max

    def _try_again(self) -> None:
        """Starts a checkpoint again that had no room, in its thread, if it is due."""
        if self._is_behind and self._thread is None and time.monotonic() >= self._checkpoint_due:
            self._start_checkpoint()

    def _settle(self) -> None:
        """Drops the frozen overlay once it is durable; the writer does, with a new snapshot."""
        if self._thread is not None and not self._thread.is_alive():
            self._join()

    def _join(self) -> None:
        if self._thread is None:
            return
        self._thread.join()
        self._thread = None
        if self._failure is not None:
            failure, self._failure = self._failure, None
            if isinstance(failure, StoreFencedError):
                raise failure
            if not isinstance(failure, lmdb.MapFullError | StorageFullError):
                raise CommitUnknownError(str(failure)) from failure
            with self._publishing:
                assert self._frozen is not None
                self._active = {**self._frozen, **self._active}
                self._frozen = None
                self._active_keys, self._frozen_keys = OverlayKeys(self._active), OverlayKeys({})
            self._unwritten_bytes += self._frozen_bytes
            self._no_room = str(failure)
            self._checkpoint_due = time.monotonic() + _CHECKPOINT_PAUSE_S
            return
        self._unwritten_bytes = 0
        with self._publishing:
            self._frozen, self._frozen_keys = None, OverlayKeys({})
        self._transaction.abort()
        self._transaction = self._state.begin()
        self._checkpoint_position = self._frozen_position

    def _start_checkpoint(self) -> None:
        self._settle()
        if self._thread is not None:
            backlog = self.limits.backlog_factor
            if (
                self._active_bytes < backlog * self.limits.overlay_bytes_max
                and self._tail_bytes < backlog * self.limits.tail_bytes_max
            ):
                return
            self._join()
        with self._publishing:
            self._frozen, self._active = self._active, {}
            self._frozen_keys, self._active_keys = self._active_keys, OverlayKeys(self._active)
        self._frozen_position = self._published
        self._frozen_bytes = self._active_bytes
        self._active_bytes = self._tail_bytes = 0
        self._thread = threading.Thread(target=self._write_checkpoint, name="checkpoint")
        self._thread.start()

    def _write_checkpoint(self) -> None:
        """Writes the frozen overlay in key order, in one transaction."""
        frozen = self._frozen
        assert frozen is not None
        try:
            # A process that was killed in the middle of a read would keep pages from being reused.
            self._state.reader_check()
            with self._state.begin(write=True) as transaction:
                self._state_fence.check(transaction)
                check_later(transaction, self._frozen_position)
                for key in sorted(frozen):
                    value = frozen[key]
                    if value is None:
                        transaction.delete(key)
                    else:
                        transaction.put(key, seal(value))
                write_position(transaction, self._frozen_position)
            self._state_fence.committed()
        except lmdb.DiskError as error:
            self._failure = disk_error(error)
        except Exception as error:  # noqa: BLE001 - handed to the writer, which raises it
            self._failure = error

    # -- any thread's side --------------------------------------------------------------------

    @property
    def checkpoint_position(self) -> int:
        """Returns the last record that the written rows stand for."""
        return self._checkpoint_position

    @property
    def is_full(self) -> bool:
        """Whether events are refused because there is no room, or the last record was."""
        return self._is_behind or self.room.full is not None

    def size_bytes(self) -> int:
        """Returns what both environments take on disk."""
        return sum((path / "data.mdb").stat().st_size for path in self._paths())

    def size_bytes_max(self) -> int:
        """Returns what they can take: until a map is full, or the disk is."""
        free = shutil.disk_usage(self._paths()[0]).free
        return min(2 * self.limits.map_bytes, self.size_bytes() + free)

    def _paths(self) -> tuple[Path, Path]:
        return Path(self._log.path()), Path(self._state.path())

    @contextmanager
    def reading(self) -> Iterator[Snapshot]:
        """Holds the published rows still: keep it short, the writer's publishing waits for it."""
        with self._publishing:
            layers = (self._active_keys, self._frozen_keys)
            with self._state.begin() as transaction:
                yield Snapshot(layers, transaction, self.damage)

    @contextmanager
    def auditing(self) -> Iterator[AuditView]:
        """Holds the published rows still, like `reading`, for a look at them and at the log."""
        with self._publishing:
            layers = (self._active_keys, self._frozen_keys)
            with self._state.begin() as rows, self._log.begin(buffers=True) as records:
                yield AuditView(layers, rows, records, self._published)

    def cut(self, wait_s: float) -> StoreCut:
        """Holds the writer still and keeps what is durable, for a copy; see `StoreCut`."""
        return StoreCut((self._state, self._log), self._committing, wait_s)

    def record(self, number: int) -> bytes:
        """Returns a record of the log; `LookupError` if it was never appended."""
        record = self._cache.get(number)
        if record is None:
            key = number.to_bytes(8, "big")
            try:
                with self._log.begin() as transaction:
                    data = transaction.get(key)
                if data is None:
                    raise LookupError(number)
                record = unseal(data, "a record")
            except (StorageCorruptError, *DAMAGED_FILE) as error:
                raise self.damage.met(f"log record {number}", error) from error
            self._cache.add(number, record)
        return record

    def _last_number(self) -> int:
        with self._log.begin() as transaction:
            last = last_number(transaction)
        check_order(self._checkpoint_position, last)
        return last


def _raise_epoch(environment: lmdb.Environment) -> Fence:
    """Keeps every earlier process from writing; where there is no room, with the first write.

    Either way what is found is durable then, also what a process left that ended in its commit.
    """
    with environment.begin() as transaction:
        fence = Fence(read_epoch(transaction))
    try:
        with environment.begin(write=True) as transaction:
            fence.check(transaction)
    except lmdb.MapFullError:
        environment.sync(force=True)
        return fence
    except lmdb.DiskError as error:
        if isinstance(disk_error(error), StorageFullError):
            environment.sync(force=True)
            return fence
        raise
    fence.committed()
    return fence
