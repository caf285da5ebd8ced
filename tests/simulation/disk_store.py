"""The store of the service on a simulated disk: its own code, with other threads taking turns.

Of `unify_grpc.storage.store` only what touches files, locks and threads is replaced. A checkpoint
runs as a whole at some later moment: nobody sees a transaction before it is committed, so all that
can be seen of one that takes long is what happens before and after.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast
from unittest.mock import patch

import lmdb

from tests.simulation.disk import Disk, Environment
from tests.simulation.nodes import Crashed
from tests.simulation.stores import Published
from unify_grpc.storage import store as store_module
from unify_grpc.storage.errors import StoreError
from unify_grpc.storage.fence import EPOCH_KEY
from unify_grpc.storage.manifest import Manifest
from unify_grpc.storage.positions import POSITION_KEY
from unify_grpc.storage.records import HEAD_BYTES
from unify_grpc.storage.store import Store, StoreLimits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import _GeneratorContextManager
    from pathlib import Path

    from unify_grpc.machines.tables import Changes
    from unify_grpc.storage.snapshot import Snapshot

MACHINE_VERSION = 1
BACKLOG_FACTOR = 2
_OWN_KEYS = {EPOCH_KEY, POSITION_KEY}


class _Thread:
    """A thread that does all it has to do when it is its turn."""

    def __init__(self, *, target: Callable[[], None], name: str) -> None:
        self.target = target
        self.name = name
        self.is_over = False

    def start(self) -> None:
        """Waits for its turn."""

    def is_alive(self) -> bool:
        """Whether it still has to do something."""
        return not self.is_over

    def join(self) -> None:
        """Does it, if it is not done."""
        if not self.is_over:
            self.is_over = True
            self.target()


class _Threads:
    """What a store takes of the module `threading` when it starts a checkpoint."""

    Thread = _Thread


class _Manifests:
    """A directory that is always the right one, and a lock that keeps nobody out."""

    @staticmethod
    def read_manifest(directory: Path) -> None:
        """Reads nothing."""

    @staticmethod
    def check_manifest(found: None, expected: Manifest) -> None:
        """Refuses nothing."""

    @staticmethod
    def lock_directory(directory: Path) -> int:
        """Locks nothing."""
        del directory
        return -1


class _Room:
    """Looks for no room: whether there is any shows in writes."""

    def __init__(self, *_: object) -> None:
        pass

    def note_refused(self, *_: object) -> None:
        """Notes nothing."""

    def note_written(self) -> None:
        """Notes nothing."""


def _open_environment(path: Environment, map_bytes: int) -> Environment:
    del map_bytes
    return path


class DiskStore(Store):
    """An opening of a disk by one process."""

    disk_type: type[Disk] = Disk
    """Another one in a mutant."""

    def __init__(self, disk: Disk, checkpoint_bytes: int) -> None:
        """Opens it; raises what a process that opens a store may end with."""
        self.disk = disk
        self.checkpoint_bytes = checkpoint_bytes
        limits = StoreLimits(
            overlay_bytes_max=checkpoint_bytes,
            tail_bytes_max=checkpoint_bytes,
            backlog_factor=BACKLOG_FACTOR,
        )
        disk.opened, disk.is_opening = self, True
        try:
            with patch.multiple(
                store_module,
                open_environment=_open_environment,
                manifests=_Manifests,
                Room=_Room,
            ):
                named = Manifest(store=disk.node.name, deployment="", shard_count=1)
                super().__init__(cast("Path", disk), named, MACHINE_VERSION, limits)
        finally:
            disk.is_opening = False

    # -- what the world asks of any store -----------------------------------------------------

    @property
    def log(self) -> dict[int, bytes]:
        """All records by number, of whichever process."""
        return {
            int.from_bytes(key, "big"): data[HEAD_BYTES:]
            for key, data in self.disk.log.found.items()
            if key != EPOCH_KEY
        }

    @property
    def rows(self) -> dict[bytes, bytes]:
        """All that this process has published, and what it found."""
        transaction: Any = self._transaction
        found = {
            key: data[HEAD_BYTES:] for key, data in transaction.rows.items() if key not in _OWN_KEYS
        }
        for layer in (self._frozen or {}, self._active):
            for key, value in layer.items():
                if value is None:
                    found.pop(key, None)
                else:
                    found[key] = value
        return found

    @property
    def published(self) -> Published:
        """What was published of the disk, by whichever process."""
        number, store = self.disk.published
        return Published(number, store.rows if store is not None else {})

    def scan(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Yields the rows whose key starts with the prefix; for the checkers also later on."""
        if not self._active and self._frozen is None:
            yield from super().scan(prefix)
        else:
            yield from sorted(each for each in self.rows.items() if each[0].startswith(prefix))

    def crashed(self) -> DiskStore:
        """Opens the disk as another process does."""
        return type(self)(self.disk, self.checkpoint_bytes)

    # -- the store's own, with turns of other threads -----------------------------------------

    def append(self, record: bytes) -> int:
        """Makes a record durable; the pause after a checkpoint without room is over."""
        self._checkpoint_due = 0.0
        self.disk.writer = self
        try:
            return super().append(record)
        finally:
            self.disk.writer = None

    def publish(self, changes: Changes, number: int) -> None:
        """Lets readers see rows."""
        if number > self.disk.published[0]:
            self.disk.published = (number, self)
        super().publish(changes, number)
        if self._thread is not None:
            self.disk.circumstances.meanwhile(self)

    def reading(self) -> _GeneratorContextManager[Snapshot]:
        """Holds the published rows still; before that, other threads may go on."""
        return super().reading() if self._thread is None else self._reading_in_turns()

    @contextmanager
    def _reading_in_turns(self) -> Iterator[Snapshot]:
        self.pause()
        self.disk.has_turns = True
        try:
            with super().reading() as view:
                yield view
        finally:
            self.disk.has_turns = False

    def pause(self) -> None:
        """Lets the checkpoint and then the writer go on, where nothing is held."""
        if self._thread is not None and self.disk.circumstances.is_running(self.disk):
            self.disk.circumstances.before_read(self.disk.state)
            self._settle()

    @property
    def has_thread(self) -> bool:
        """Whether a checkpoint waits for its turn."""
        return self._thread is not None and self._thread.is_alive()

    def run_thread(self) -> None:
        """Lets a checkpoint that waits do its work; the process may end in it."""
        if self._thread is not None:
            self._thread.join()
            if isinstance(self._failure, Crashed):
                raise self._failure

    def begin_checkpoint(self) -> None:
        """Begins a checkpoint, if there is something to write."""
        if self._published > self._checkpoint_position:
            self._start_checkpoint()

    def _write_checkpoint(self) -> None:
        super()._write_checkpoint()
        if not isinstance(self._failure, Crashed | StoreError | lmdb.Error | None):
            raise self._failure

    def _start_checkpoint(self) -> None:
        with patch.object(store_module, "threading", _Threads):
            super()._start_checkpoint()
        self.disk.circumstances.meanwhile(self)
