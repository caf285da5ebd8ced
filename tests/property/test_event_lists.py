"""The list of a member's events, against a plain list of what was added."""

from __future__ import annotations

import random
from typing import NamedTuple

from hypothesis import example, given
from hypothesis import strategies as st

from unify_grpc.machines.batch import EVENT_TYPES
from unify_grpc.machines.event_lists import (
    BUCKET_ENTRIES_TARGET,
    TAIL_EVENTS_MAX,
    append_event,
    chunk_times,
    find_positions,
    unpack_chunk,
    unpack_tail,
)
from unify_grpc.machines.rows import CHUNK, DEDUPE, MemberRow, chunk_key, dedupe_key
from unify_grpc.machines.tables import Working
from unify_grpc.storage.memory import MemoryStore

MEMBER = b"k" * 16 + b"\0\0\0\0"
ENTRY_BYTES = 16


class Added(NamedTuple):
    """One event as it was added."""

    time_us: int
    position: int
    mark: bytes
    type: int


class EventList:
    """A member's list, kept across commands as a shard keeps it."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.row = MemberRow(1, 0)

    def append(self, events: list[Added]) -> None:
        """Adds events as one command does: rows published at its end, the row packed."""
        working = Working(self.store)
        row = MemberRow.unpack(self.row.pack())
        for each in events:
            append_event(
                working,
                MEMBER,
                row,
                time_us=each.time_us,
                position=each.position,
                mark=each.mark,
                type_=each.type,
            )
        number = self.store.append(b"record")
        self.store.publish(working.changes, number)
        self.row = MemberRow.unpack(row.pack())

    def find(self, mark: bytes) -> list[int]:
        """Returns where a mark is found."""
        return list(find_positions(Working(self.store), MEMBER, self.row, mark))


def marks_of(seed: int, kind: str) -> list[bytes]:
    """Returns marks that meet: repeated ones, ones that overlap one another, or any."""
    source = random.Random(seed)
    if kind == "overlapping":
        # Of two byte values: most of them are found across the border of two others.
        return [bytes(source.choice((0, 1)) for _ in range(8)) for _ in range(40)]
    if kind == "repeated":
        return [bytes([each] * 8) for each in range(4)]
    return [source.randbytes(8) for _ in range(3_000)]


def drawn_events(seed: int, count: int, kind: str) -> list[Added]:
    """Returns events whose positions rise and whose times come in any order."""
    source = random.Random(seed)
    marks = marks_of(seed, kind)
    position = 0
    events = []
    for _ in range(count):
        position += source.choice((1, 2, 1 << 16))
        type_ = source.randrange(len(EVENT_TYPES))
        events.append(Added(source.randint(0, 50), position, source.choice(marks), type_))
    return events


sequences = given(
    st.integers(0, 2**32),
    st.integers(1, 700),
    st.sampled_from(["overlapping", "repeated", "any"]),
    st.integers(1, 200),
)


@sequences
@example(1, 3_000, "any", 97)
@example(1, TAIL_EVENTS_MAX, "any", 1)
@example(1, TAIL_EVENTS_MAX + 1, "any", 1)
def test_a_list_holds_what_was_added(seed: int, count: int, kind: str, together: int) -> None:
    """Chunks and tail give all events in order of arrival, and the row counts and bounds them."""
    events = drawn_events(seed, count, kind)
    listed = EventList()
    for start in range(0, count, together):
        listed.append(events[start : start + together])
    row = listed.row
    times: list[int] = []
    positions: list[int] = []
    for number in range(row.chunk_count):
        data = listed.store.get(chunk_key(MEMBER, number))
        assert data is not None
        chunk = unpack_chunk(data)
        assert (TAIL_EVENTS_MAX, TAIL_EVENTS_MAX) == tuple(map(len, chunk))
        assert (min(chunk[0]), max(chunk[0])) == chunk_times(data)
        times += chunk[0]
        positions += chunk[1]
    tail = unpack_tail(row)

    assert [each.time_us for each in events] == [*times, *tail[0]]
    assert [each.position for each in events] == [*positions, *tail[1]]
    assert count == row.event_count
    assert 0 < len(tail[0]) <= TAIL_EVENTS_MAX
    first, last = (pick(each.time_us for each in events) for pick in (min, max))
    assert (first, last) == (row.first_us, row.last_us)
    assert (events[0].position, events[-1].position) == (row.first_pos, row.last_pos)
    types = [each.type for each in events]
    assert [types.count(each) for each in range(len(EVENT_TYPES))] == row.counts


@sequences
@example(1, 3_000, "any", 97)
@example(7, 3_000, "overlapping", 300)
def test_a_mark_is_found_exactly_where_it_was_added(
    seed: int, count: int, kind: str, together: int
) -> None:
    """A look-up yields every position of its mark, newest first, and none of another mark."""
    events = drawn_events(seed, count, kind)
    listed = EventList()
    for start in range(0, count, together):
        listed.append(events[start : start + together])

    for mark in {*(each.mark for each in events[-50:]), *marks_of(seed, kind)[:50], b"unknown!"}:
        wanted = [each.position for each in events if each.mark == mark]
        assert wanted == sorted(listed.find(mark))
        in_tail = [each.position for each in events[-len(listed.row.tail_times) // 8 :]]
        newest = [each for each in reversed(wanted) if each in in_tail]
        assert newest == listed.find(mark)[: len(newest)]


@sequences
@example(1, 3_000, "any", 97)
def test_buckets_hold_the_marks_of_full_chunks(
    seed: int, count: int, kind: str, together: int
) -> None:
    """Buckets grow with the chunks, and hold each mark of them once, in the bucket it hashes to."""
    events = drawn_events(seed, count, kind)
    listed = EventList()
    for start in range(0, count, together):
        listed.append(events[start : start + together])
    full = listed.row.chunk_count * TAIL_EVENTS_MAX
    buckets = dict(listed.store.scan(DEDUPE))
    entries = [
        (number, data[at : at + 8], int.from_bytes(data[at + 8 : at + ENTRY_BYTES], "little"))
        for number, data in enumerate(buckets.values())
        for at in range(0, len(data), ENTRY_BYTES)
    ]

    assert listed.row.chunk_count == len(list(listed.store.scan(CHUNK)))
    assert sorted((e.mark, e.position) for e in events[:full]) == sorted(e[1:] for e in entries)
    if full:
        expected = max(1, full // BUCKET_ENTRIES_TARGET)
        level = 1 << (expected.bit_length() - 1)
        assert [dedupe_key(MEMBER, number) for number in range(expected)] == list(buckets)
        for bucket, mark, _ in entries:
            number = int.from_bytes(mark, "little")
            home = number % (2 * level)
            assert bucket == (home if home < expected else number % level)
