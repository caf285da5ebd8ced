"""The directory of a backup as a gateway sees it: on this machine, and not on its event loop."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from unify_grpc.service.errors import (
    BackupExistsError,
    BackupFailedError,
    RequestInvalidError,
    StoreFullError,
)
from unify_grpc.storage.backup_directory import (
    BackupDirectory,
    DirectoryUnusableError,
    DirectoryUsedError,
)
from unify_grpc.storage.errors import StorageFullError, StoreRefusedError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from unify_grpc.machines.backup_records import BackupManifest


class LocalBackupTarget:
    """A directory that the gateway and all actors can reach by the same path."""

    def __init__(
        self, directory: str, parts: Sequence[str], data_dir: Path, reserve_bytes: int
    ) -> None:
        """Takes where the backup is to be.

        Args:
            directory: an absolute path.
            parts: the names of all parts.
            data_dir: where all stores are.
            reserve_bytes: that stay free beside them.
        """
        self._directory = BackupDirectory(Path(directory))
        self._parts = parts
        self._data_dir = data_dir
        self._reserve_bytes = reserve_bytes

    async def find_manifest(self) -> BackupManifest | None:
        """Returns what a finished backup there says of itself; None: there is none."""
        try:
            return await asyncio.to_thread(self._directory.find_manifest)
        except StoreRefusedError as error:
            raise BackupExistsError from error
        except DirectoryUnusableError as error:
            raise RequestInvalidError([("directory", str(error))]) from error

    async def make(self, backup: str) -> int:
        """Makes the directory, or takes an empty one; returns how many bytes it has room for."""
        try:
            return await asyncio.to_thread(self._make, backup)
        except DirectoryUsedError as error:
            raise BackupExistsError from error
        except DirectoryUnusableError as error:
            raise RequestInvalidError([("directory", str(error))]) from error

    def _make(self, backup: str) -> int:
        self._directory.make(backup)
        return self._directory.room_bytes(self._data_dir, self._reserve_bytes)

    async def finish(self, manifest: BackupManifest) -> None:
        """Makes what was copied a backup, durably."""
        try:
            await asyncio.to_thread(self._directory.finish, manifest)
        except StorageFullError as error:
            raise StoreFullError(full="disk") from error
        except DirectoryUnusableError as error:
            raise BackupFailedError(f"The directory failed: {error}.") from error

    async def remove(self, backup: str, *, is_described: bool) -> None:
        """Removes what an attempt has left; `is_described`: `finish` was called."""
        await asyncio.to_thread(
            self._directory.remove, backup, self._parts, is_described=is_described
        )
