"""How LMDB environments are opened: with the same safe flags everywhere, damaged ones refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import lmdb

from unify_grpc.storage.errors import CommitUnknownError, StorageFullError, StoreRefusedError

if TYPE_CHECKING:
    from pathlib import Path

READERS_MAX: Final = 64
DATA_FILE: Final = "data.mdb"
_META_PAGES: Final = 2
DAMAGED_FILE: Final = (lmdb.CorruptedError, lmdb.PageNotFoundError)
"""How LMDB says that its pages do not fit together."""


def open_environment(path: Path, map_bytes: int) -> lmdb.Environment:
    """Opens one for writing; `StoreRefusedError` if it is not there or damaged."""
    _check_files(path)
    try:
        environment = lmdb.open(
            str(path),
            map_size=map_bytes,
            sync=True,
            metasync=True,
            writemap=False,
            max_readers=READERS_MAX,
            max_dbs=0,
            mode=0o600,
        )
    except lmdb.Error as error:
        raise StoreRefusedError(_damaged(path)) from error
    _check_size(path, environment)
    environment.reader_check()
    return environment


def open_for_reading(path: Path) -> lmdb.Environment:
    """Opens one that nobody writes, for a look at it.

    The caller holds the lock of the store, so LMDB needs none, and no file is changed.

    Raises:
        StoreRefusedError: it is not there or damaged.
    """
    _check_files(path)
    try:
        environment = lmdb.open(str(path), readonly=True, lock=False, max_dbs=0, create=False)
    except lmdb.Error as error:
        raise StoreRefusedError(_damaged(path)) from error
    _check_size(path, environment)
    return environment


def disk_error(error: lmdb.DiskError) -> Exception:
    """Tells a full disk, which is harmless, from everything else, which is not."""
    if any(text in str(error) for text in ("No space left", "quota exceeded")):
        return StorageFullError(str(error))
    return CommitUnknownError(str(error))


def _check_files(path: Path) -> None:
    try:
        size = (path / DATA_FILE).stat().st_size
    except FileNotFoundError:
        size = 0
    if not size:
        message = f"{path} is missing or empty: restore the store or its backup"
        raise StoreRefusedError(message)


def _check_size(path: Path, environment: lmdb.Environment) -> None:
    """Refuses a file too short for its pages in use: reading those would end the process.

    Pages that are free may lie behind the end of a sound file, so they do not count.
    """
    found = environment.stat()
    pages = _META_PAGES + found["branch_pages"] + found["leaf_pages"] + found["overflow_pages"]
    if (path / DATA_FILE).stat().st_size < pages * found["psize"]:
        environment.close()
        raise StoreRefusedError(_damaged(path))


def _damaged(path: Path) -> str:
    return f"{path} is damaged: restore a backup"
