"""Walks through the events of a shard's log and looks up what has to follow from each."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import partial
from typing import TYPE_CHECKING, Final

import msgspec

from unify_grpc.machines import rows
from unify_grpc.machines.append_run import APPEND_RECORD, batch_start, duplicates_in
from unify_grpc.machines.batch import (
    FLAG_HISTORY,
    FLAG_PROBE,
    FLAG_REFUSED,
    FRAME,
    FRAME_BYTES,
    Batch,
    Frame,
)
from unify_grpc.machines.event_lists import find_positions
from unify_grpc.machines.links import partner_of
from unify_grpc.machines.owed_sides import is_user_side
from unify_grpc.machines.pushed_rows import PARTNER_BYTES
from unify_grpc.placement.members import KEY_BYTES, member_of
from unify_grpc.verification.claims import MERGE, KnownClaim, SideClaim
from unify_grpc.verification.findings import Invariant, event_name, record_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from unify_grpc.machines.rows import MemberRow
    from unify_grpc.machines.tables import Working
    from unify_grpc.placement.slots import ShardMap
    from unify_grpc.verification.slices import Slice

_NO_EVENT = FLAG_REFUSED | FLAG_PROBE
_NUMBER_BYTES: Final = 8
_FRAMES_PER_WORK: Final = 8
_encode = msgspec.msgpack.Encoder().encode


class _State(msgspec.Struct, array_like=True):
    """How far the walk is."""

    number: int = 1
    index: int = 0
    """Among the events of the record."""


_decode_state = msgspec.msgpack.Decoder(_State).decode


class _FrameWalk(ABC):
    """Goes through stored events, some of a record at a time."""

    name = ""

    def walk(self, slice_: Slice, cursor: bytes) -> bytes | None:
        """Goes on behind an event."""
        state = _decode_state(cursor) if cursor else _State()
        while state.number <= slice_.last:
            slice_.work += 1
            first, state.index = state.index, 0
            slice_.turn_to(state.number.to_bytes(_NUMBER_BYTES, "big"), record_name)
            slice_.attempt(partial(self._record, slice_, state, first))
            if not state.index:
                state.number += 1
            if slice_.is_full:
                return _encode(state)
        return None

    def _record(self, slice_: Slice, state: _State, first: int) -> None:
        """Checks events of a record; where enough is done before its end, notes the next.

        A record that is not as it was written is passed over: the walk over the log tells that.
        """
        record = slice_.view.checked_record(state.number)
        if record is None or record.payload[:1] != APPEND_RECORD:
            return
        data = record.payload
        start, duplicates = batch_start(data), duplicates_in(data)
        offsets = Batch(data, start).offsets  # type: ignore[arg-type]  # read in place
        for index in range(first, len(offsets)):
            if not index % _FRAMES_PER_WORK:
                slice_.work += 1
            at = start + offsets[index]
            frame = Frame._make(FRAME.unpack_from(data, at))
            if frame.flags & _NO_EVENT or index in duplicates or not self._concerns(frame):
                continue
            position = (state.number << 16) + index
            slice_.turn_to(position.to_bytes(_NUMBER_BYTES, "big"), event_name)
            count = frame.key_count + 1
            at += FRAME_BYTES
            keys = [
                bytes(data[each : each + KEY_BYTES])
                for each in range(at, at + KEY_BYTES * count, KEY_BYTES)
            ]
            self._event(slice_, position, frame, keys)
            if slice_.is_full and index + 1 < len(offsets):
                state.index = index + 1
                return

    @abstractmethod
    def _concerns(self, frame: Frame) -> bool:
        """Whether anything has to follow from an event."""

    @abstractmethod
    def _event(self, slice_: Slice, position: int, frame: Frame, keys: list[bytes]) -> None:
        """Checks an event; behind its own keys stands what follows them in the frame."""

    def again(self, slice_: Slice, key: bytes) -> None:
        """Makes the claims of one event once more."""
        position = int.from_bytes(key, "big")
        slice_.turn_to(key, event_name)
        event = slice_.events.at(position)
        at = event.start + FRAME_BYTES + KEY_BYTES * event.frame.key_count
        keys = [*event.keys(), bytes(event.data[at : at + KEY_BYTES])]
        self._event(slice_, position, event.frame, keys)


class EventWalk(_FrameWalk):
    """Checks events that link identifiers, and those that have two sides."""

    name = "events"

    def __init__(self, shard_map: ShardMap) -> None:
        self._shard_map = shard_map

    def _concerns(self, frame: Frame) -> bool:
        return frame.key_count > 1 or is_user_side(frame.flags)

    def _event(self, slice_: Slice, position: int, frame: Frame, keys: list[bytes]) -> None:
        if frame.key_count > 1 and not frame.flags & FLAG_HISTORY:
            slice_.work += 1
            slice_.attempt(lambda: self._check_link(slice_, position, keys[:-1]))
        if is_user_side(frame.flags):
            slice_.work += 1
            slice_.attempt(lambda: self._check_side(slice_, position, keys[-1], frame.mark))

    @staticmethod
    def _check_link(slice_: Slice, position: int, keys: list[bytes]) -> None:
        """Checks that a link is pending, decided, or was no news."""
        held = _holder(slice_, keys[0], position)
        if held is None:
            slice_.find(Invariant.EVENT_LISTS, f"{slice_.name} is on no list")
            return
        member, row = held
        if row.memory_epoch == row.link_epoch and _remembers(row.partners, keys[1:]):
            return
        for key in (rows.outcome_key(position), rows.pending_key(position)):
            if slice_.view.get(key) is not None:
                return
        slice_.claim(MERGE, KnownClaim(member, keys[1:]))

    def _check_side(self, slice_: Slice, position: int, account: bytes, mark: bytes) -> None:
        """Checks that an event with two sides owes the other, or has it stored."""
        if slice_.view.get(rows.owed_key(position)) is None:
            slice_.claim(self._shard_map.shard_of(account), SideClaim(account, mark))


class UnlistedWalk(_FrameWalk):
    """Looks for the events that are on no list, or on one twice. Walked where counts differ."""

    name = "events by list"

    def _concerns(self, frame: Frame) -> bool:
        return frame.key_count > 0

    def _event(self, slice_: Slice, position: int, frame: Frame, keys: list[bytes]) -> None:
        slice_.work += 1
        slice_.attempt(lambda: self._check(slice_, position, frame, keys[0]))

    @staticmethod
    def _check(slice_: Slice, position: int, frame: Frame, key: bytes) -> None:
        working: Working = slice_.view  # type: ignore[assignment]  # it is only read from
        count = sum(
            found == position
            for member, row in _lives(slice_, key)
            for found in find_positions(working, member, row, frame.mark)
        )
        if count != 1:
            slice_.find(Invariant.EVENT_LISTS, f"{slice_.name} is listed {count} times")


def _lives(slice_: Slice, key: bytes) -> Iterator[tuple[bytes, MemberRow]]:
    """Yields the members of an identifier that there are rows of."""
    present = int.from_bytes(slice_.view.get(rows.NAME + key) or b"", "big")
    for life in range(present, -1, -1):
        member = member_of(key, life)
        row = slice_.member(member)
        if row is not None:
            yield member, row


def _holder(slice_: Slice, key: bytes, position: int) -> tuple[bytes, MemberRow] | None:
    """Returns the member that holds an event, by where its list begins and ends."""
    for member, row in _lives(slice_, key):
        if row.event_count and row.first_pos <= position <= row.last_pos:
            return member, row
    return None


def _remembers(partners: bytes, keys: list[bytes]) -> bool:
    """Whether each identifier is remembered; what is remembered is checked by itself."""
    known = {partners[at : at + PARTNER_BYTES] for at in range(0, len(partners), PARTNER_BYTES)}
    return all(partner_of(key) in known for key in keys)
