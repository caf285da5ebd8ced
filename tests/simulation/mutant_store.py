"""Stores, disks and their processes with one rule missing; which one, `storage_mutants.py` says."""

from __future__ import annotations

from abc import abstractmethod
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import lmdb

from tests.simulation.disk import Disk, Environment
from tests.simulation.disk_store import DiskStore
from tests.simulation.nodes import MergeNode, ShardNode
from unify_grpc.machines import rows
from unify_grpc.storage.errors import CommitUnknownError, StorageFullError
from unify_grpc.storage.fence import Fence, read_epoch
from unify_grpc.storage.positions import write_position
from unify_grpc.storage.records import seal
from unify_grpc.storage.snapshot import OverlayKeys

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from unify_grpc.machines.tables import Decision
    from unify_grpc.storage.snapshot import Snapshot


def unchecked(fence: Fence, transaction: lmdb.Transaction) -> None:
    """Lets everybody write."""
    del fence, transaction


def late_epoch(environment: lmdb.Environment) -> Fence:
    """Opens an environment and says so to nobody before the first write."""
    with environment.begin() as transaction:
        return Fence(read_epoch(transaction))


def no_position(transaction: lmdb.Transaction, number: int) -> None:
    """Writes rows and not what they stand for."""
    del transaction, number


def any_position(transaction: lmdb.Transaction, number: int) -> None:
    """Lets a checkpoint stand for less of the log than the one before."""
    del transaction, number


class RowsUnfenced(DiskStore):
    """Fences the log, and no checkpoint."""

    def _write_checkpoint(self) -> None:
        fence: Any = self._state_fence
        fence.check = lambda _: None
        super()._write_checkpoint()


class _OwnCheckpoints(DiskStore):
    """Writes checkpoints in its own way, and reports what fails as the store does."""

    def _write_checkpoint(self) -> None:
        assert self._frozen is not None
        try:
            self.write_rows(self._frozen)
        except lmdb.Error as error:
            self._failure = CommitUnknownError(str(error))
            if isinstance(error, lmdb.MapFullError) or "space" in str(error):
                self._failure = StorageFullError(str(error))
        except Exception as error:  # noqa: BLE001  handed on, as by the store
            self._failure = error

    @abstractmethod
    def write_rows(self, frozen: dict[bytes, bytes | None]) -> None:
        """Writes the frozen overlay."""

    def write_some(
        self, frozen: dict[bytes, bytes | None], keys: Collection[bytes], *, positions: bool
    ) -> None:
        """Writes some of the rows in a transaction of their own."""
        with self._state.begin(write=True) as transaction:
            self._state_fence.check(transaction)
            for key in sorted(keys):
                value = frozen[key]
                if value is None:
                    transaction.delete(key)
                else:
                    transaction.put(key, seal(value))
            if positions:
                write_position(transaction, self._frozen_position)
        self._state_fence.committed()


class CheckpointsInTwo(_OwnCheckpoints):
    """Writes half of the rows, and then the rest and the position."""

    def write_rows(self, frozen: dict[bytes, bytes | None]) -> None:
        """Writes the frozen overlay."""
        keys = sorted(frozen)
        self.write_some(frozen, keys[::2], positions=False)
        self.write_some(frozen, keys[1::2], positions=True)


class PositionFirst(_OwnCheckpoints):
    """Writes the position, and then the rows."""

    def write_rows(self, frozen: dict[bytes, bytes | None]) -> None:
        """Writes the frozen overlay."""
        self.write_some(frozen, (), positions=True)
        self.write_some(frozen, frozen, positions=False)


class DedupeApart(_OwnCheckpoints):
    """Writes the message ids that are known in a transaction of their own."""

    def write_rows(self, frozen: dict[bytes, bytes | None]) -> None:
        """Writes the frozen overlay."""
        known = {key for key in frozen if key[:1] == rows.DEDUPE}
        self.write_some(frozen, frozen.keys() - known, positions=True)
        self.write_some(frozen, known, positions=False)


class PositionOfNow(DiskStore):
    """Says of a checkpoint that it stands for what was published while it waited, too."""

    def _write_checkpoint(self) -> None:
        self._frozen_position = self._published
        super()._write_checkpoint()


class FrozenHidden(DiskStore):
    """Shows readers the newest rows and those that were written, and nothing in between."""

    @contextmanager
    def reading(self) -> Iterator[Snapshot]:
        """Leaves the frozen overlay out."""
        frozen, self._frozen_keys = self._frozen_keys, OverlayKeys({})
        try:
            with super().reading() as view:
                yield view
        finally:
            self._frozen_keys = frozen


def _begun(environment: Any, transaction: Any) -> Any:
    """Returns how readers come to a transaction that was begun before, and others to a new one."""
    begin = environment.begin
    return lambda *, write=False: begin(write=True) if write else transaction


class OverlayAfterTransaction(DiskStore):
    """Begins a reader's transaction, and then takes the overlays."""

    @contextmanager
    def reading(self) -> Iterator[Snapshot]:
        """Takes them in the wrong order."""
        transaction = self._state.begin()
        self.pause()
        with (
            patch.object(self._state, "begin", _begun(self._state, transaction)),
            super().reading() as view,
        ):
            yield view


class SettlesOnOldSnapshot(DiskStore):
    """Drops the frozen overlay, and goes on with the snapshot from before it was written."""

    def _join(self) -> None:
        before, keeps = self._transaction, self._thread is not None
        super()._join()
        if keeps:
            self._transaction = before


class DropsFailedCheckpoint(DiskStore):
    """Forgets the rows of a checkpoint that found no room."""

    def _join(self) -> None:
        failed = self._frozen or {}
        super()._join()
        if self._unwritten_bytes:
            self._active = {
                key: value for key, value in self._active.items() if failed.get(key) != value
            }
            self._active_keys = OverlayKeys(self._active)


class FailedCheckpointWins(DiskStore):
    """Lays the rows of a checkpoint that found no room over newer ones."""

    def _join(self) -> None:
        failed, before = self._frozen or {}, self._unwritten_bytes
        super()._join()
        if self._unwritten_bytes > before:
            self._active = {**self._active, **failed}
            self._active_keys = OverlayKeys(self._active)


class SkipsFirst(DiskStore):
    """Replays a tail but for its first record."""

    def tail(self) -> Iterator[tuple[int, bytes]]:
        """Leaves one out."""
        records = super().tail()
        next(records, None)
        yield from records


class TakesUnknownForDone(DiskStore):
    """Goes on after a commit whose outcome is unknown, as if it had happened."""

    def _append(self, record: bytes) -> int:
        try:
            return super()._append(record)
        except CommitUnknownError:
            number = self.next_number
            self.next_number += 1
            self._cache.add(number, record)
            return number


class _Unsynced(Environment):
    syncs = False


class _UnsyncedDisk(Disk):
    environment = _Unsynced


class Unsynced(DiskStore):
    """Commits without waiting for the disk."""

    disk_type = _UnsyncedDisk


class PublishesBeforeCommit(ShardNode):
    """Lets readers see rows, and then makes them durable; takes them back if there is no room."""

    takes_back = True

    def _execute(self, decision: Decision[Any, Any]) -> Any:
        store: Any = self.store
        if decision.record is None:
            return super()._execute(decision)
        before = dict(store._active)
        store._active.update(decision.changes)
        try:
            return super()._execute(decision)
        except StorageFullError:
            if self.takes_back:
                store._active = before
                store._active_keys = OverlayKeys(before)
            raise


class KeepsRefusedRows(PublishesBeforeCommit):
    """Keeps the rows of a record that there was no room for."""

    takes_back = False


class AcksRefused(ShardNode):
    """Answers what it had no room for as if it were durable."""

    def _execute(self, decision: Decision[Any, Any]) -> Any:
        try:
            return super()._execute(decision)
        except StorageFullError:
            return decision.reply


class AnswersOutdated(ShardNode):
    """Answers also when another process has opened its store, from what it knows itself."""

    def _refuse_outdated(self) -> None:
        pass


class GivesUpOnFull(MergeNode):
    """Forgets what it decided if there is no room to write it down."""

    def execute(self, decision: Decision[Any, None]) -> None:
        """Lets nothing wait."""
        try:
            super().execute(decision)
        finally:
            self.unwritten = None
