"""Where a log ends, and up to which record the rows beside it were written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from unify_grpc.storage.errors import LogTooShortError, StoreFencedError, StoreRefusedError
from unify_grpc.storage.fence import EPOCH_KEY
from unify_grpc.storage.records import seal, unseal, version_of

if TYPE_CHECKING:
    import lmdb

POSITION_KEY: Final = b"\0position"
"""Sorts before all rows."""


def read_position(rows: lmdb.Transaction) -> int:
    """Returns the last record that the written rows stand for; 0 before the first checkpoint."""
    data = rows.get(POSITION_KEY)
    return 0 if data is None else int.from_bytes(unseal(bytes(data), "the checkpoint"), "big")


def write_position(rows: lmdb.Transaction, number: int) -> None:
    """Says up to which record the rows were written, in the transaction that writes them."""
    rows.put(POSITION_KEY, seal(number.to_bytes(8, "big")))


def check_later(rows: lmdb.Transaction, number: int) -> None:
    """Keeps rows that stand for more of the log from being marked as standing for less.

    Raises:
        StoreFencedError: another process wrote them, since this one opened the store.
    """
    if read_position(rows) > number:
        message = "another process has written a later checkpoint"
        raise StoreFencedError(message)


def last_number(records: lmdb.Transaction) -> int:
    """Returns the number of a log's last record; 0 if it has none."""
    with records.cursor() as cursor:
        is_used = cursor.last() and cursor.key() != EPOCH_KEY
        return int.from_bytes(cursor.key(), "big") if is_used else 0


def check_order(position: int, last: int) -> None:
    """Refuses a log that ends before its checkpoint."""
    if last < position:
        message = "the log ends before its checkpoint: the two are not of one store"
        raise LogTooShortError(message)


def check_version(record: bytes, machine_version: int) -> None:
    """Refuses a record of a log's tail that another version of the machine wrote."""
    if version_of(record) != machine_version:
        message = (
            f"the log's tail was written by machine version {version_of(record)}, this is "
            f"{machine_version}: start and stop the version that wrote it first"
        )
        raise StoreRefusedError(message)
