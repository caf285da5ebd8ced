"""Checks the full parts of long event lists, and the rows by which their messages are known."""

from __future__ import annotations

import struct
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from unify_grpc.machines import event_lists, rows
from unify_grpc.machines.batch import FLAG_CONTEXT_TRAITS, FLAG_TRAITS
from unify_grpc.machines.event_lists import bucket_count, bucket_of, chunk_times, unpack_chunk
from unify_grpc.machines.trait_rows import decode_traits
from unify_grpc.placement.members import KEY_BYTES, MEMBER_BYTES
from unify_grpc.verification.findings import Invariant
from unify_grpc.verification.shard_members import check_listed, check_repeated, check_traits

if TYPE_CHECKING:
    from unify_grpc.machines.rows import MemberRow
    from unify_grpc.verification.slices import Slice

_ENTRY: Final = struct.Struct("<8sQ")
_U64 = struct.Struct("<Q")
_SETS_TRAITS = FLAG_TRAITS | FLAG_CONTEXT_TRAITS


def check_chunk(slice_: Slice, key: bytes, value: bytes) -> None:
    """Checks a full part of a member's event list."""
    member, number = _split(key)
    row = slice_.member(member)
    times, positions = unpack_chunk(value)
    if not slice_.require(
        row is not None and number < row.chunk_count,
        Invariant.EVENT_LISTS,
        "it is a part of no list",
    ):
        return
    assert row is not None
    slice_.require(
        len(positions) == event_lists.TAIL_EVENTS_MAX
        and chunk_times(value) == (min(times), max(times))
        and row.first_us <= min(times)
        and max(times) <= row.last_us,
        Invariant.EVENT_LISTS,
        "it is not full, or its times are not those of its events",
    )
    _check_order(slice_, member, number, row, positions)
    traits = slice_.view.get(rows.TRAITS + member)
    cells = decode_traits(traits) if traits else {}
    count = bucket_count(row)
    for time_us, position in zip(times, positions, strict=True):
        slice_.work += 1
        event = slice_.events.at(position)
        check_listed(slice_, member, event, position, time_us, None)
        mark = event.frame.mark
        bucket = slice_.view.get(rows.dedupe_key(member, bucket_of(mark, count))) or b""
        slice_.require(
            _has_entry(bucket, mark, position),
            Invariant.EVENT_LISTS,
            f"position {position >> 16}.{position & 0xFFFF} is not known by its message id",
        )
        if event.frame.flags & _SETS_TRAITS:
            check_traits(slice_, event, cells)


def check_bucket(slice_: Slice, key: bytes, value: bytes) -> None:
    """Checks a bucket of message-id fingerprints."""
    member, number = _split(key)
    row = slice_.member(member)
    if not slice_.require(
        row is not None and number < bucket_count(row) and not len(value) % _ENTRY.size,
        Invariant.EVENT_LISTS,
        "it is a bucket of no list",
    ):
        return
    assert row is not None
    count = bucket_count(row)
    last = _last_in_chunks(slice_, member, row)
    seen: dict[bytes, list[int]] = {}
    for mark, position in _ENTRY.iter_unpack(value):
        slice_.work += 1
        event = slice_.events.at(position)
        slice_.require(
            bucket_of(mark, count) == number
            and event.frame.mark == mark
            and event.anchor() == member[:KEY_BYTES]
            and row.first_pos <= position <= last,
            Invariant.EVENT_LISTS,
            f"position {position >> 16}.{position & 0xFFFF} does not belong to it",
        )
        for other in seen.setdefault(mark, []):
            if slice_.require(other != position, Invariant.EVENT_LISTS, "it has a position twice"):
                check_repeated(slice_, position, other)
        seen[mark].append(position)


def _split(key: bytes) -> tuple[bytes, int]:
    member, number = key[1 : 1 + MEMBER_BYTES], key[1 + MEMBER_BYTES :]
    if len(number) != 4:  # noqa: PLR2004 - as `chunk_key` packs it
        raise ValueError("the key is of another form")
    return member, int.from_bytes(number, "big")


def _check_order(
    slice_: Slice, member: bytes, number: int, row: MemberRow, positions: tuple[int, ...]
) -> None:
    """Checks that a part follows the one before it."""
    before = 0
    if number:
        data = slice_.view.get(rows.chunk_key(member, number - 1))
        if not slice_.require(
            data is not None, Invariant.EVENT_LISTS, "the part of the list before it is missing"
        ):
            return
        assert data is not None
        before = unpack_chunk(data)[1][-1]
    else:
        slice_.require(
            positions[:1] == (row.first_pos,), Invariant.EVENT_LISTS, "its first event differs"
        )
    ordered = (before, *positions)
    slice_.require(
        all(a < b for a, b in pairwise(ordered)),
        Invariant.EVENT_LISTS,
        "it is not in the order of the log, or lists an event twice",
    )


def _last_in_chunks(slice_: Slice, member: bytes, row: MemberRow) -> int:
    data = slice_.view.get(rows.chunk_key(member, row.chunk_count - 1))
    return unpack_chunk(data)[1][-1] if data is not None else row.last_pos


def _has_entry(bucket: bytes, mark: bytes, position: int) -> bool:
    entry = mark + _U64.pack(position)
    at = bucket.find(entry)
    while at % _ENTRY.size and at >= 0:
        at = bucket.find(entry, at + 1)
    return at >= 0
