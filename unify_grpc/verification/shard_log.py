"""Walks through a shard's log: every record is there and sound, and noted as it should be."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final

import msgspec

from unify_grpc.machines import rows
from unify_grpc.machines.activity import ACTIVITY
from unify_grpc.machines.append_run import (
    APPEND_RECORD,
    NO_POSITION,
    batch_in,
    batch_start,
    duplicates_in,
)
from unify_grpc.machines.batch import (
    EVENT_TYPES,
    FLAG_DROPS,
    FLAG_PROBE,
    FLAG_REFUSED,
    FRAME,
    FRAME_BYTES,
    Batch,
)
from unify_grpc.machines.links import Push, decoder
from unify_grpc.machines.owed_sides import ClearedSide
from unify_grpc.machines.search_filling import decode_slice
from unify_grpc.machines.shard_machine import (
    CLEAR_RECORD,
    MACHINE_VERSION,
    PUSH_RECORD,
    SLICE_RECORD,
)
from unify_grpc.machines.violations import (
    VIOLATIONS,
    decided_entries,
    drop_entries,
    promotion_drops,
    refused_entries,
)
from unify_grpc.placement.members import KEY_BYTES
from unify_grpc.verification.events_at import NoEventError
from unify_grpc.verification.findings import Invariant
from unify_grpc.verification.records import check_record
from unify_grpc.verification.space_list_course import Course, Courses
from unify_grpc.verification.views import CheckedRecord

if TYPE_CHECKING:
    from unify_grpc.machines.violations import Entry
    from unify_grpc.placement.slots import ShardMap
    from unify_grpc.verification.slices import Slice

_PUSH = decoder(Push)
_CLEARED = decoder(list[ClearedSide])
_EVENTS_PER_WORK: Final = 8
"""Frames that are looked at for the work of one unit."""


class _State(msgspec.Struct, array_like=True):
    """How far the walk is."""

    number: int = 0
    courses: Courses = {}
    """By space, how far its lists were met."""


_decode_state = msgspec.msgpack.Decoder(_State).decode
_encode = msgspec.msgpack.Encoder().encode


class LogWalk:
    """Goes through the records in their order, beside the lists that say which hold what."""

    name = "log"

    def __init__(self, shard: int, shard_map: ShardMap) -> None:
        self._shard = shard
        self._shard_map = shard_map

    def walk(self, slice_: Slice, cursor: bytes) -> bytes | None:
        """Goes on after a record."""
        state = _decode_state(cursor) if cursor else _State()
        course = Course(slice_, state.courses)
        while state.number < slice_.last:
            state.number += 1
            check_record(slice_, state.number, MACHINE_VERSION, course, self._check)
            if slice_.is_full:
                break
        if state.number < slice_.last:
            return _encode(state)
        for table in (ACTIVITY, VIOLATIONS):
            course.end(table)
        return None

    def again(self, slice_: Slice, key: bytes) -> None:
        """Nothing here claims anything."""

    def _check(self, slice_: Slice, number: int, record: CheckedRecord, course: Course) -> None:
        data = bytes(record.payload) if record.payload[:1] != APPEND_RECORD else record.payload
        kind = bytes(data[:1])
        if kind == APPEND_RECORD:
            self._check_append(slice_, number, data, course)  # type: ignore[arg-type]  # read in place
        elif kind == PUSH_RECORD:
            push = _PUSH.decode(data[1:])
            for clear in push.clears:
                if clear.drops:
                    slice_.work += 2
                    batch = slice_.events.batch(clear.position)
                    entries = decided_entries(clear.position, batch, clear.drops)
                    course.decided(batch.frame(clear.position & 0xFFFF).space, entries)
        elif kind == CLEAR_RECORD:
            _CLEARED.decode(data[1:])
        elif kind == SLICE_RECORD:
            decode_slice(data[1:])
        else:
            slice_.find(Invariant.FORMATS, f"log record {number} is of no known kind")

    def _check_append(self, slice_: Slice, number: int, data: bytes, course: Course) -> None:
        """Checks a batch: frames, owners, repetitions, and what spaces' lists say of it."""
        start, duplicates = batch_start(data), duplicates_in(data)
        batch = Batch(data, start)
        slice_.work += 1 + len(batch.offsets) // _EVENTS_PER_WORK
        self._check_rules(slice_, batch)
        types = [0] * (len(EVENT_TYPES))
        spaces: dict[int, int] = {}
        whole: Batch | None = None
        for index, offset in enumerate(batch.offsets):
            at = start + offset
            type_, flags, key_count, space, _, _, _, _, _, mark = FRAME.unpack_from(data, at)
            if index in duplicates:
                if duplicates[index] != NO_POSITION:
                    self._check_repetition(slice_, number, index, duplicates[index], mark)
                continue
            if flags & FLAG_PROBE:
                slice_.find(Invariant.FORMATS, f"log record {number}: question {index} is stored")
                continue
            if flags & (FLAG_REFUSED | FLAG_DROPS):
                whole = whole or batch_in(bytes(data))
                course.listed(VIOLATIONS, space, _entries(whole, number, index))
            if flags & FLAG_REFUSED:
                continue
            key = data[at + FRAME_BYTES : at + FRAME_BYTES + KEY_BYTES]
            if not key_count or self._shard_map.shard_of(key) != self._shard:
                slice_.find(
                    Invariant.AT_HOME, f"log record {number}: event {index} is another shard's"
                )
            types[type_] += 1
            spaces[space] = spaces.get(space, 0) + 1
        for space, count in spaces.items():
            course.listed(ACTIVITY, space, [number])
            slice_.tallies[f"logged:{space}"] += count
        slice_.tallies["logged"] += sum(types)

    @staticmethod
    def _check_rules(slice_: Slice, batch: Batch) -> None:
        """Checks that the shard adopted the rules that it was shown."""
        for space, version in batch.rules:
            if not slice_.is_new((space, version)):
                continue
            data = slice_.view.get(rows.space_key(space))
            row = None if data is None else rows.decode_space(data)
            if row is None or row.rules_version < version:
                text = (
                    f"{slice_.name} shows rules {version} of space {space}, which are not adopted"
                )
                slice_.find(Invariant.SPACES, text)
            elif row.rules_version == version and batch.searchable(space).difference(
                row.searchable
            ):
                text = f"{slice_.name} names other searchable traits of space {space}"
                slice_.find(Invariant.FOUND_BY, text)

    @staticmethod
    def _check_repetition(
        slice_: Slice, number: int, index: int, position: int, mark: bytes
    ) -> None:
        """Checks that what a record calls a repetition repeats something."""
        holds = position < (number << 16) + index
        with suppress(NoEventError):
            holds = holds and slice_.events.frame_at(position).frame.mark == mark
            if holds:
                return
        text = f"log record {number}: event {index} is said to repeat one that is not there"
        slice_.find(Invariant.ONE_EFFECT, text)


def _entries(batch: Batch, number: int, index: int) -> list[Entry]:
    """Returns how an event is listed among the violations of its space when it is stored."""
    position, frame = (number << 16) + index, batch.frame(index)
    if frame.flags & FLAG_REFUSED:
        return refused_entries(position, batch, index)
    return drop_entries(position, frame.stamp_us, promotion_drops(batch, index, frame))
