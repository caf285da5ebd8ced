"""What checks need of a store."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

Payload = bytes | memoryview
"""Of a record; of a view, good for as long as that is."""


class Listed(NamedTuple):
    """Some rows of a table."""

    rows: list[tuple[bytes, bytes | None]]
    """(key, value) in the order of keys; None: it is not as it was written."""
    after: bytes | None
    """The key to go on after; None: there are no more."""


class CheckedRecord(NamedTuple):
    """A record that is as it was written."""

    version: int
    """Of the machine that wrote it."""
    payload: Payload


class StoreView(Protocol):
    """A store's rows at one moment, and its log, which may have grown since."""

    @property
    def number(self) -> int:
        """The last record whose rows these are."""

    def get(self, key: bytes) -> bytes | None:
        """Returns a row's value, None if there is none; `DamagedError`."""

    def list_rows(self, prefix: bytes, *, after: bytes, limit: int) -> Listed:
        """Returns rows of a prefix in the order of keys, only those after a key."""

    def record(self, number: int) -> Payload | None:
        """Returns a record as it lies there, unchecked; None if there is none."""

    def checked_record(self, number: int) -> CheckedRecord | None:
        """Returns a record, None if there is none; `DamagedError` if it is not as written."""


class AuditedStore(Protocol):
    """A store that can be checked, beside its writer if it has one."""

    def auditing(self) -> AbstractContextManager[StoreView]:
        """Holds the rows still for a short while."""
