"""What can go wrong with a store."""

from __future__ import annotations

import errno

from unify_grpc.machines.tables import DamagedError


class StoreError(Exception):
    """Root of everything a store raises on purpose."""


class StoreRefusedError(StoreError):
    """The store may not be opened as it is; the text says why in one sentence."""


class StoreHeldError(StoreRefusedError):
    """Another process has the store open."""


class LogTooShortError(StoreRefusedError):
    """The log ends before its checkpoint."""


class StorageFullError(StoreError):
    """Nothing was written because there is no room; the store goes on as it was."""


class CommitUnknownError(StoreError):
    """A commit failed in a way that leaves open whether it happened: the process must end."""


class StorageCorruptError(StoreError, DamagedError):
    """A record or row does not match its checksum."""


class StoreFencedError(StoreError):
    """Another process opened the store since: this one must end, and has written nothing."""


def means_no_room(error: OSError) -> bool:
    """Whether the disk, or what a user may have of it, is used up."""
    return error.errno in {errno.ENOSPC, errno.EDQUOT}
