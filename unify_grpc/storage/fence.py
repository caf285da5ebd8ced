"""Who may write a store: the process that opened it last, as a number in each environment says.

A lock on the directory keeps a second process out. Where it cannot (file systems that do not carry
locks), the number does: whoever opens a store raises it, and every write transaction checks it, so
what was opened before writes nothing more. A copy of a directory is another store: nothing here
tells the two apart.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from unify_grpc.storage.errors import StoreFencedError
from unify_grpc.storage.records import seal, unseal

if TYPE_CHECKING:
    import lmdb

EPOCH_KEY: Final = b"\0"
"""Sorts before all records of a log and all rows."""
_BYTES: Final = 8


def read_epoch(transaction: lmdb.Transaction) -> int:
    """Returns how often the environment was opened; 0 before the first time."""
    data = transaction.get(EPOCH_KEY)
    return 0 if data is None else int.from_bytes(unseal(bytes(data), "the epoch"), "big")


def write_epoch(transaction: lmdb.Transaction, epoch: int) -> None:
    """Makes an epoch the one that may write."""
    transaction.put(EPOCH_KEY, seal(epoch.to_bytes(_BYTES, "big")))


class Fence:
    """What one process may still write, in one environment."""

    def __init__(self, epoch: int) -> None:
        """Takes the epoch that was found when the environment was opened."""
        self._found = epoch
        self.epoch = epoch + 1
        """Of this opening."""
        self._is_raised = False
        self._sealed = seal(self.epoch.to_bytes(_BYTES, "big"))

    def check(self, transaction: lmdb.Transaction) -> None:
        """Keeps a write transaction from going on if another process opened the store since.

        The first one raises the epoch: normally at the opening, later if there was no room then.

        Raises:
            StoreFencedError: nothing may be written by this process any more.
        """
        if self._is_raised:
            if transaction.get(EPOCH_KEY) == self._sealed:
                return
        elif read_epoch(transaction) == self._found:
            transaction.put(EPOCH_KEY, self._sealed)
            return
        message = "another process has opened the store since"
        raise StoreFencedError(message)

    def committed(self) -> None:
        """Says that a checked transaction was committed."""
        self._is_raised = True
