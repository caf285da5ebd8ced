"""The account of a client of its own: what it sent, and what it was told about it.

Every event is written down before it is sent, so what the service has beyond the ledger is made
up, and what it lacks of the acknowledged is lost.
"""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import random
    from collections.abc import Iterable
    from pathlib import Path

    from unify_client import EventResult

Message = dict[str, Any]
"""An event in the form of Segment's messages."""


class State(StrEnum):
    """What a client knows of an event."""

    SENT = "sent"
    """It has no answer yet."""
    UNKNOWN = "unknown"
    """The call failed, which says nothing about the event."""
    ACKED = "acked"


@dataclass(slots=True)
class Entry:
    """One event of the ledger."""

    message: Message
    state: State = State.SENT
    is_resolved: bool = False
    """Whether one of its acknowledgements was RESOLVED."""
    segment_id: str | None = None
    """Of the person, as last told."""
    account_segment_id: str | None = None
    sent_count: int = 0


class Ledger:
    """All events of a space, by message id. May be used by several threads."""

    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}
        self._order: list[str] = []
        self._lock = threading.Lock()

    def sending(self, messages: Iterable[Message]) -> None:
        """Writes down what is about to be sent, again or for the first time."""
        with self._lock:
            for message in messages:
                message_id = message["messageId"]
                if message_id not in self._entries:
                    self._entries[message_id] = Entry(message)
                    self._order.append(message_id)
                self._entries[message_id].sent_count += 1

    def acked(self, message: Message, result: EventResult, *, is_resolved: bool) -> None:
        """Writes down that an event was acknowledged."""
        with self._lock:
            entry = self._entries[message["messageId"]]
            entry.state = State.ACKED
            entry.is_resolved = entry.is_resolved or is_resolved
            entry.segment_id = result.segment_id or entry.segment_id
            entry.account_segment_id = result.account_segment_id or entry.account_segment_id

    def failed(self, messages: Iterable[Message]) -> None:
        """Writes down that nobody knows what became of events."""
        with self._lock:
            for message in messages:
                entry = self._entries[message["messageId"]]
                if entry.state is State.SENT:
                    entry.state = State.UNKNOWN

    def sample(self, source: random.Random) -> Message | None:
        """Returns an event that was sent before, most likely lately; None if there is none."""
        with self._lock:
            if not self._order:
                return None
            back = min(int(source.expovariate(0.05)), len(self._order) - 1)
            return self._entries[self._order[-1 - back]].message

    def entries(self) -> dict[str, Entry]:
        """Returns all events by message id, in the order in which they were first sent."""
        with self._lock:
            return {message_id: self._entries[message_id] for message_id in self._order}

    def counts(self) -> dict[str, int]:
        """Returns how many events are in which state, and how many were sent more than once."""
        with self._lock:
            counted = {str(state): 0 for state in State}
            for entry in self._entries.values():
                counted[entry.state] += 1
            counted["resolved"] = sum(entry.is_resolved for entry in self._entries.values())
            counted["sent again"] = sum(entry.sent_count > 1 for entry in self._entries.values())
        return counted

    def write(self, path: Path) -> None:
        """Writes the ledger to a file for whoever looks into a failure: one event a line."""
        lines = [
            json.dumps({"state": entry.state, "resolved": entry.is_resolved, **entry.message})
            for entry in self.entries().values()
        ]
        path.write_text("\n".join(lines) + "\n")
