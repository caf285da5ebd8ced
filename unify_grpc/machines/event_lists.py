"""The list of a member's events, and how a message id is found in it.

The newest events sit in the member's row. When that tail is full it becomes a row of its own, a
*chunk*, and its fingerprints move to *dedupe buckets*, a linear hash table per member: so asking
whether a message id was seen costs one look at the tail and, for members with many events, one
row, however long the list is.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from unify_grpc.machines.rows import chunk_key, dedupe_key

if TYPE_CHECKING:
    from collections.abc import Iterator

    from unify_grpc.machines.rows import MemberRow
    from unify_grpc.machines.tables import Working

TAIL_EVENTS_MAX = 64
BUCKET_ENTRIES_TARGET = 128
_ENTRY_BYTES = 16
_CHUNK = struct.Struct("<BHqq")
_FORMAT = 1
_I64 = struct.Struct("<q")
_U64 = struct.Struct("<Q")


def append_event(
    working: Working,
    member: bytes,
    row: MemberRow,
    *,
    time_us: int,
    position: int,
    mark: bytes,
    type_: int,
) -> None:
    """Adds an event to a member's list.

    Args:
        working: rows of the command at hand.
        member: whose list.
        row: that member's row; its tail and counters change.
        time_us: event time.
        position: where the log holds the event.
        mark: the message id's fingerprint, 8 bytes.
        type_: index into `EVENT_TYPES`.
    """
    if len(row.tail_times) == 8 * TAIL_EVENTS_MAX:
        _spill(working, member, row)
    row.tail_times += _I64.pack(time_us)
    row.tail_positions += _U64.pack(position)
    row.tail_fingerprints += mark
    if not row.event_count:
        row.first_us = row.last_us = time_us
        row.first_pos = position
    elif time_us < row.first_us:
        row.first_us = time_us
    elif time_us > row.last_us:
        row.last_us = time_us
    row.last_pos = position
    row.event_count += 1
    row.counts[type_] += 1


def find_positions(working: Working, member: bytes, row: MemberRow, mark: bytes) -> Iterator[int]:
    """Yields the log positions, newest first, of events whose fingerprint is `mark`."""
    marks = row.tail_fingerprints
    at = marks.rfind(mark)
    while at >= 0:
        if not at % 8:
            yield _U64.unpack_from(row.tail_positions, at)[0]
        at = marks.rfind(mark, 0, at + 7)
    if row.chunk_count:
        entries = working.get(dedupe_key(member, bucket_of(mark, bucket_count(row)))) or b""
        at = entries.rfind(mark)
        while at >= 0:
            if not at % _ENTRY_BYTES:
                yield _U64.unpack_from(entries, at + 8)[0]
            at = entries.rfind(mark, 0, at + 7)


def unpack_chunk(data: bytes) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Returns (event times in microseconds, log positions) of a chunk, in order of arrival."""
    format_, count, _, _ = _CHUNK.unpack_from(data)
    if format_ != _FORMAT:
        message = f"chunk format {format_} is not known here"
        raise ValueError(message)
    middle = _CHUNK.size + 8 * count
    return (
        struct.unpack_from(f"<{count}q", data, _CHUNK.size),
        struct.unpack_from(f"<{count}Q", data, middle),
    )


def chunk_times(data: bytes) -> tuple[int, int]:
    """Returns (earliest, latest) event time of a chunk, microseconds."""
    _, _, earliest, latest = _CHUNK.unpack_from(data)
    return earliest, latest


def unpack_tail(row: MemberRow) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Returns (event times in microseconds, log positions) of the tail, in order of arrival."""
    count = len(row.tail_times) // 8
    return (
        struct.unpack(f"<{count}q", row.tail_times),
        struct.unpack(f"<{count}Q", row.tail_positions),
    )


def _spill(working: Working, member: bytes, row: MemberRow) -> None:
    """Moves a full tail into a chunk and its fingerprints into buckets."""
    times, _ = unpack_tail(row)
    head = _CHUNK.pack(_FORMAT, len(times), min(times), max(times))
    working.put(chunk_key(member, row.chunk_count), head + row.tail_times + row.tail_positions)
    before = bucket_count(row)
    row.chunk_count += 1
    for bucket in range(before, bucket_count(row)):
        _split(working, member, bucket)
    added: dict[int, list[bytes]] = {}
    count = bucket_count(row)
    for at in range(0, len(row.tail_fingerprints), 8):
        mark = row.tail_fingerprints[at : at + 8]
        entry = mark + row.tail_positions[at : at + 8]
        added.setdefault(bucket_of(mark, count), []).append(entry)
    for bucket, entries in added.items():
        key = dedupe_key(member, bucket)
        working.put(key, (working.get(key) or b"") + b"".join(entries))
    row.tail_times = row.tail_positions = row.tail_fingerprints = b""


def bucket_count(row: MemberRow) -> int:
    """Returns how many buckets a member's fingerprints are spread over; at least 1."""
    return max(1, row.chunk_count * TAIL_EVENTS_MAX // BUCKET_ENTRIES_TARGET)


def bucket_of(mark: bytes, count: int) -> int:
    """Returns the bucket of a fingerprint among `count`, as linear hashing does."""
    number = int.from_bytes(mark, "little")
    level = 1 << (count.bit_length() - 1)
    low = number % level
    return number % (2 * level) if low < count - level else low


def _split(working: Working, member: bytes, bucket: int) -> None:
    """Makes a bucket by moving to it what now belongs there."""
    level = 1 << (bucket.bit_length() - 1)
    source = dedupe_key(member, bucket - level)
    entries = working.get(source) or b""
    stay: list[bytes] = []
    move: list[bytes] = []
    for at in range(0, len(entries), _ENTRY_BYTES):
        entry = entries[at : at + _ENTRY_BYTES]
        target = int.from_bytes(entry[:8], "little") % (2 * level)
        (move if target == bucket else stay).append(entry)
    working.put(source, b"".join(stay))
    working.put(dedupe_key(member, bucket), b"".join(move))
