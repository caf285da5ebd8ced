"""Events read where they lie in a shard's log, by position, without opening their batches whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from unify_grpc.machines.append_run import APPEND_RECORD, batch_in, batch_start, duplicates_in
from unify_grpc.machines.batch import (
    FLAG_COUNTERPART,
    FLAG_PROBE,
    FLAG_REFUSED,
    FRAME,
    FRAME_BYTES,
    Batch,
    Body,
    Frame,
    decode_body,
    frame_bounds,
    unpack_strings,
)
from unify_grpc.placement.members import KEY_BYTES

if TYPE_CHECKING:
    from unify_grpc.verification.views import Payload, StoreView

_NO_EVENT = FLAG_REFUSED | FLAG_PROBE


class NoEventError(Exception):
    """A position leads to no event; the text says why."""


class EventAt(NamedTuple):
    """An event in the log."""

    frame: Frame
    data: Payload
    """The record it lies in."""
    start: int
    end: int

    def keys(self) -> list[bytes]:
        """Returns the keys of its identifiers, the anchor first."""
        first = self.start + FRAME_BYTES
        ends = range(first, first + KEY_BYTES * self.frame.key_count, KEY_BYTES)
        return [bytes(self.data[at : at + KEY_BYTES]) for at in ends]

    def anchor(self) -> bytes:
        """Returns the key that it is stored under."""
        at = self.start + FRAME_BYTES
        return bytes(self.data[at : at + KEY_BYTES])

    def anchor_strings(self) -> tuple[str, str]:
        """Returns (type, value) of the anchor."""
        start = self._strings_start()
        strings = bytes(self.data[start : start + self.frame.strings_bytes])
        return unpack_strings(strings, 0, 1)[0]

    def body(self) -> Body:
        """Returns what the caller sent."""
        start = self._strings_start() + self.frame.strings_bytes
        return decode_body(self.data[start : self.end])

    def _strings_start(self) -> int:
        extra = 1 if self.frame.flags & FLAG_COUNTERPART else 0
        return self.start + FRAME_BYTES + KEY_BYTES * (self.frame.key_count + extra)


class EventReader:
    """Reads a shard's log as a view has it."""

    def __init__(self, view: StoreView) -> None:
        self._view = view
        self._opened = -1
        self._data: Payload = b""
        self._start = 0
        self._duplicates: dict[int, int] = {}

    def at(self, position: int) -> EventAt:
        """Returns the event at a position; `NoEventError` if there is none."""
        found = self.frame_at(position)
        number, index = position >> 16, position & 0xFFFF
        if index in self._duplicates:
            raise NoEventError(f"position {number}.{index} holds no event but a repetition")
        if found.frame.flags & _NO_EVENT:
            raise NoEventError(f"position {number}.{index} holds no event that was stored")
        return found

    def frame_at(self, position: int) -> EventAt:
        """Returns what lies at a position, be it a stored event or not."""
        number, index = position >> 16, position & 0xFFFF
        if number != self._opened:
            self._open(number)
        try:
            start, end = frame_bounds(self._data, self._start, index)
        except IndexError:
            raise NoEventError(f"log record {number} has no event {index}") from None
        return EventAt(Frame._make(FRAME.unpack_from(self._data, start)), self._data, start, end)

    def batch(self, position: int) -> Batch:
        """Returns the whole batch that holds a position; `NoEventError` if there is none."""
        self._open(position >> 16)
        return batch_in(bytes(self._data))

    def _open(self, number: int) -> None:
        data = self._view.record(number) if number > 0 else None
        if data is None:
            raise NoEventError(f"log record {number} is not there")
        if data[:1] != APPEND_RECORD:
            raise NoEventError(f"log record {number} holds no events")
        # Taken for opened only if all of it can be read.
        self._opened = -1
        self._start, self._duplicates = batch_start(data), duplicates_in(data)
        self._opened, self._data = number, data
