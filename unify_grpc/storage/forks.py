"""Keeps open stores out of forked children, where LMDB would read and write as if nothing were."""

from __future__ import annotations

import os
import weakref
from typing import Any, Final, NoReturn

from unify_grpc.storage.errors import StoreError

_stores: Final[weakref.WeakSet[Any]] = weakref.WeakSet()
_LMDB_ATTRIBUTES: Final = ("_log", "_state", "_transaction")


class ForkedStoreError(StoreError):
    """A store was used in a child of the process that opened it."""


class _Gone:
    """Stands where an environment was; any use of it raises."""

    def __getattr__(self, name: str) -> NoReturn:
        raise ForkedStoreError("a store is not carried over a fork: open it in this process")


def keep_from_children(store: object) -> None:
    """Makes a store useless in whatever this process forks from now on; costs it nothing here."""
    _stores.add(store)


def _cut_off() -> None:
    for store in list(_stores):
        for name in _LMDB_ATTRIBUTES:
            # What was there stays referenced: closing it here could touch the parent's locks.
            _kept.append(getattr(store, name, None))
            setattr(store, name, _Gone())


_kept: Final[list[object]] = []
os.register_at_fork(after_in_child=_cut_off)
