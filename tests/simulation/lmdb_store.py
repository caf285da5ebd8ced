"""The real store on real files, under a schedule: LMDB takes part, in memory only the clock stops.

A node that ends leaves its files as they are, in the middle of a checkpoint too: what the next one
opens is a copy made at that moment. The checkpoint's thread is the store's own. It
waits until the schedule lets it go on, and is waited for then, so a seed repeats its run.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from tests.simulation.run import run_seed
from tests.simulation.world import Parts
from unify_grpc.storage.fence import EPOCH_KEY
from unify_grpc.storage.manifest import Manifest, create_store
from unify_grpc.storage.positions import POSITION_KEY, read_position
from unify_grpc.storage.records import unseal
from unify_grpc.storage.store import Store, StoreLimits

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.simulation.world import World

MANIFEST = Manifest(store="shard-0", deployment="simulated", shard_count=1)
MAP_BYTES = 1 << 26
MACHINE_VERSION = 1
TMPFS = Path("/dev/shm")  # noqa: S108  a directory of its own is made there, by tempfile
_OWN_KEYS = {EPOCH_KEY, POSITION_KEY}
_DATA = "data.mdb"


class _Cut(Exception):  # noqa: N818  not an error: the process ended here
    """The checkpoint's thread ends here."""


class _CutOverlay(dict[bytes, bytes | None]):
    """Rows whose checkpoint comes as far as a number of them, and no further."""

    def __init__(self, rows: dict[bytes, bytes | None], count: int) -> None:
        super().__init__(rows)
        self.remaining = count
        self.reached, self.ends = threading.Event(), threading.Event()

    def __getitem__(self, key: bytes) -> bytes | None:
        """Returns a row; the thread that writes them waits in front of the last, and ends."""
        if threading.current_thread().name == "checkpoint":
            self.remaining -= 1
            if self.remaining < 0:
                self.reached.set()
                self.ends.wait()
                raise _Cut
        return super().__getitem__(key)


class Folder:
    """Where the stores of one run lie."""

    def __init__(self, path: Path, seed: int) -> None:
        self.path = path
        self.rng = Random(f"lmdb {seed}")
        rows_bytes = self.rng.choice((3_000, 12_000, 1 << 24))
        self.limits = StoreLimits(
            map_bytes=MAP_BYTES, overlay_bytes_max=rows_bytes, tail_bytes_max=rows_bytes
        )
        self._count = 0
        self.open: set[LmdbStore] = set()
        """Stores whose files are open."""

    def new_store(self) -> LmdbStore:
        """Makes an empty store."""
        directory = self.new_directory()
        create_store(directory, MANIFEST)
        return LmdbStore(self, directory)

    def new_directory(self) -> Path:
        """Returns a path that nothing has."""
        self._count += 1
        return self.path / str(self._count)


class LmdbStore(Store):
    """A store as one process of a node has it."""

    def __init__(self, folder: Folder, directory: Path) -> None:
        super().__init__(directory, MANIFEST, MACHINE_VERSION, folder.limits)
        self.folder = folder
        self.directory = directory
        self._go_on = threading.Event()
        """Whether the checkpoint's thread may."""
        self._predecessor: LmdbStore | None = None
        """What the process before had open, until this one is known to have started."""
        self._successor: LmdbStore | None = None
        """What the process after has open, or had until it ended in its start."""
        folder.open.add(self)

    # -- what the world looks at --------------------------------------------------------------

    @property
    def log(self) -> dict[int, bytes]:
        """All records by number, as the files have them."""
        with self._log.begin() as transaction:
            return {
                int.from_bytes(key, "big"): unseal(data, "a record")
                for key, data in transaction.cursor()
                if key != EPOCH_KEY
            }

    @property
    def rows(self) -> dict[bytes, bytes]:
        """All rows that are published: the written ones, and over them those in memory."""
        with self._state.begin() as transaction:
            found = {
                key: unseal(data, "a row")
                for key, data in transaction.cursor()
                if key not in _OWN_KEYS
            }
        for layer in (self._frozen or {}, self._active):
            for key in layer:
                value = dict.__getitem__(layer, key)
                if value is None:
                    found.pop(key, None)
                else:
                    found[key] = value
        return found

    def scan(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Yields the rows whose key starts with the prefix; for the checkers also later on."""
        if not self._active and self._frozen is None:
            yield from super().scan(prefix)
        else:
            yield from sorted(each for each in self.rows.items() if each[0].startswith(prefix))

    @property
    def has_checkpoint(self) -> bool:
        """Whether a checkpoint waits for the schedule."""
        return self._thread is not None and self._thread.is_alive()

    def stored_position(self) -> int:
        """Returns the last record that the rows in the files stand for."""
        with self._state.begin() as transaction:
            return read_position(transaction)

    # -- what the schedule decides ------------------------------------------------------------

    def append(self, record: bytes) -> int:
        """Makes a record durable; a checkpoint may be done by then."""
        if self.folder.rng.random() < 0.1:
            self._let_finish()
        return super().append(record)

    def checkpoint(self) -> None:
        """Makes a checkpoint, begins one, or lets one that was begun come to its end."""
        if self._successor is not None:
            return  # The process has ended, and the next did not come through its start.
        draw = self.folder.rng.random()
        if draw < 0.4:
            super().checkpoint()
        elif self._thread is not None:
            self._let_finish()
        elif self._published > self._checkpoint_position:
            self._start_checkpoint()

    def crashed(self) -> LmdbStore:
        """Ends the process wherever it is, and returns what the next one opens.

        This one stays open, as what was published stays to be looked at, and stands for the node
        again if the next process does not come through its start.
        """
        last = self._successor or self
        if self._predecessor is not None:
            self._predecessor.remove()
            self._predecessor = None
        cut = last._end_thread()
        directory = self.folder.new_directory()
        _copy(last.directory, directory)
        if cut is not None:
            cut.ends.set()
        if last is not self:
            last.remove()
        self._successor = LmdbStore(self.folder, directory)
        self._successor._predecessor = self
        return self._successor

    def remove(self) -> None:
        """Lets go of the files, and takes them away."""
        self.end()
        shutil.rmtree(self.directory)

    def end(self) -> None:
        """Lets go of the files, without a checkpoint."""
        if self._thread is not None:
            if not self._go_on.is_set():
                self._frozen = _CutOverlay(self._frozen or {}, 0)
                self._frozen.ends.set()
                self._go_on.set()
            self._thread.join()
        self._transaction.abort()
        self._log.close()
        self._state.close()
        os.close(self._lock_descriptor)
        self.folder.open.discard(self)

    def _end_thread(self) -> _CutOverlay | None:
        """Brings a waiting checkpoint to where it ends; returns it if that is in its middle."""
        if not self.has_checkpoint:
            return None
        frozen, rng = self._frozen, self.folder.rng
        assert frozen is not None
        draw = rng.random()
        if draw < 0.3:
            # Done, but the writer did not get to know of it.
            self._let_finish()
        elif draw < 0.8 and frozen:
            cut = _CutOverlay(frozen, rng.randrange(len(frozen)))
            self._frozen = cut
            self._go_on.set()
            cut.reached.wait()
            return cut
        return None

    def _let_finish(self) -> None:
        """Lets a checkpoint do its work, and waits; the writer takes notice when it comes by."""
        if self._thread is not None:
            self._go_on.set()
            self._thread.join()

    def _join(self) -> None:
        self._go_on.set()
        super()._join()
        self._go_on = threading.Event()

    def _write_checkpoint(self) -> None:
        self._go_on.wait()
        super()._write_checkpoint()


@contextmanager
def lmdb_parts(seed: int) -> Iterator[Parts]:
    """Gives the parts of a world whose stores are real, for one run; its files go afterwards."""
    where = TMPFS if TMPFS.is_dir() else None
    with tempfile.TemporaryDirectory(prefix="unify-simulation-", dir=where) as path:
        folder = Folder(Path(path), seed)
        try:
            yield Parts(store=folder.new_store)
        finally:
            for store in list(folder.open):
                store.end()


def run_on_lmdb(seed: int) -> World:
    """Runs the schedule of a seed over real stores; `ScheduleFailed` if something does not hold."""
    with lmdb_parts(seed) as parts:
        return run_seed(seed, parts)


def _copy(directory: Path, target: Path) -> None:
    """Copies what a machine finds after its end: files as they are, no locks."""
    for path in directory.rglob("*"):
        copied = target / path.relative_to(directory)
        if path.name in {_DATA, "store.json"}:
            copied.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copied)
