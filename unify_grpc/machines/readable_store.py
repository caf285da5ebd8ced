"""What readers need of a store that is written at the same time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from contextlib import AbstractContextManager


class RowView(Protocol):
    """Published rows at one moment."""

    def get(self, key: bytes) -> bytes | None:
        """Returns a row's value, or None if there is none."""

    def list_rows(
        self, prefix: bytes, *, after: bytes = b"", limit: int
    ) -> list[tuple[bytes, bytes]]:
        """Returns at most `limit` rows of a prefix in key order, only those after a key."""


class ReadableStore(Protocol):
    """A store that can be read beside its writer."""

    def reading(self) -> AbstractContextManager[RowView]:
        """Holds the published rows still for a short while."""

    def record(self, number: int) -> bytes:
        """Returns a record of the log."""
