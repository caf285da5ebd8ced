"""What a machine reads from and what it decides.

Machines see their store through `View` and change nothing: a `Decision` carries one record for
the durable log and the rows that follow from it. Whoever executes it appends the record first and
publishes the rows after the commit, in one step, so that no reader sees half a batch.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator

Changes = dict[bytes, bytes | None]
"""Row key (a table byte, then the key in that table) to its new value; None deletes."""

MessageT = TypeVar("MessageT")
ReplyT = TypeVar("ReplyT")


class DamagedError(Exception):
    """A stored value is not as it was written; whatever needs it cannot be decided."""


class View(Protocol):
    """Rows as the last published decision left them, and the log.

    Each method raises `DamagedError` for a value that is not as it was written.
    """

    def get(self, key: bytes) -> bytes | None:
        """Returns a row's value, or None if there is none."""

    def scan(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Yields the rows whose key starts with the prefix, in key order. Used at start-up."""

    def list_rows(
        self, prefix: bytes, *, after: bytes = b"", limit: int
    ) -> list[tuple[bytes, bytes]]:
        """Returns at most `limit` rows of a prefix in key order, only those after a key."""

    def record(self, number: int) -> bytes:
        """Returns a record of the log; `LookupError` if it was never appended."""


@dataclass(slots=True)
class Decision(Generic[MessageT, ReplyT]):
    """What follows from one command."""

    reply: ReplyT
    """Told to the caller once the record is durable."""
    record: bytes | None = None
    """Appended to the log, before anything else happens. None if nothing changes."""
    changes: Changes = field(default_factory=dict)
    """Published together, after the record is durable."""
    messages: list[MessageT] = field(default_factory=list)
    """Sent after the rows are published; any of them may be lost or arrive twice."""


class Working:
    """A view with the changes of one command laid over it."""

    def __init__(self, view: View) -> None:
        self.view = view
        self.changes: Changes = {}

    def get(self, key: bytes) -> bytes | None:
        """Returns the value that this command left, else the view's."""
        if key in self.changes:
            return self.changes[key]
        return self.view.get(key)

    def put(self, key: bytes, value: bytes | None) -> None:
        """Lays a change over the view."""
        self.changes[key] = value
