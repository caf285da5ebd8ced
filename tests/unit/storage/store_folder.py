"""A directory with a store to test: opened, ended as a process ends, and opened again."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from unify_grpc.storage.manifest import Manifest, create_store
from unify_grpc.storage.store import Store, StoreLimits

if TYPE_CHECKING:
    from pathlib import Path

MACHINE_VERSION = 7
EXPECTED = Manifest(store="shard-0", deployment="d1", shard_count=2)


class StoreFolder:
    """A directory with one store, and everything that was opened in it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._opened: list[Store] = []

    def create(self) -> None:
        """Makes the empty store."""
        create_store(self.directory, EXPECTED)

    def open(
        self,
        *,
        expected: Manifest = EXPECTED,
        machine_version: int = MACHINE_VERSION,
        map_bytes: int = 1 << 24,
        overlay_bytes_max: int = 1 << 30,
        tail_bytes_max: int = 1 << 30,
        backlog_factor: int = 4,
    ) -> Store:
        """Opens the store; without bounds given, nothing checkpoints by itself."""
        limits = StoreLimits(
            map_bytes=map_bytes,
            overlay_bytes_max=overlay_bytes_max,
            tail_bytes_max=tail_bytes_max,
            backlog_factor=backlog_factor,
        )
        store = Store(self.directory, expected, machine_version, limits)
        self._opened.append(store)
        return store

    def end(self, store: Store) -> None:
        """Ends a store as the end of its process does: nothing more is written."""
        self._opened.remove(store)
        if store._thread is not None:
            store._thread.join()
        store._transaction.abort()
        store._log.close()
        store._state.close()
        os.close(store._lock_descriptor)

    def end_all(self) -> None:
        """Ends whatever is still open."""
        for store in list(self._opened):
            with suppress(OSError):
                self.end(store)
