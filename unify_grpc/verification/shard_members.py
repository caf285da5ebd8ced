"""Checks a shard's members: whose they are, and that their lists are what the log holds."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Final

from unify_grpc.identity.traits import TraitCell, merge_traits
from unify_grpc.machines import event_lists, rows
from unify_grpc.machines.batch import FLAG_ACCOUNT_SIDE, FLAG_CONTEXT_TRAITS, FLAG_TRAITS
from unify_grpc.machines.event_lists import (
    chunk_times,
    find_positions,
    unpack_chunk,
    unpack_tail,
)
from unify_grpc.machines.found_by import prefix_key, prefix_member
from unify_grpc.machines.rows import MemberRow
from unify_grpc.machines.space_counts import is_profile
from unify_grpc.machines.trait_rows import decode_traits, traits_set
from unify_grpc.placement.members import KEY_BYTES, MEMBER_BYTES, incarnation_of, member_of
from unify_grpc.verification.claims import CONTROL, MERGE, BoundClaim, RootClaim, SpaceClaim
from unify_grpc.verification.findings import Invariant

if TYPE_CHECKING:
    from unify_grpc.machines.tables import Working
    from unify_grpc.placement.slots import ShardMap
    from unify_grpc.verification.events_at import EventAt
    from unify_grpc.verification.slices import Slice

REPEATED_WITHIN_US: Final = 86_400_000_000
"""Of receipt: no dedupe window is shorter than a day, so within one a message counts once."""
_SPAN_PARTS_MAX: Final = 256
"""Full parts of a list whose times are read beside the member's row."""
_SETS_TRAITS = FLAG_TRAITS | FLAG_CONTEXT_TRAITS


class MemberChecks:
    """Checks of one shard's member rows."""

    def __init__(self, shard: int, shard_map: ShardMap) -> None:
        self._shard = shard
        self._shard_map = shard_map

    def check(self, slice_: Slice, key: bytes, value: bytes) -> None:
        """Checks a member's row, the newest of its events, its traits and its name."""
        member = key[1:]
        row = MemberRow.unpack(value)
        if not slice_.require(
            len(member) == MEMBER_BYTES and self._shard_map.shard_of(member) == self._shard,
            Invariant.AT_HOME,
            "the member belongs to another shard",
        ):
            return
        self._check_binding(slice_, member, row)
        self._check_name(slice_, member, row)
        if slice_.is_new(("space", row.space)):
            slice_.claim(CONTROL, SpaceClaim(row.space, 0))
        self._check_counts(slice_, row)
        if row.event_count:
            self._check_ends(slice_, member, row)
            self._check_tail(slice_, member, row)
        _tally(slice_, member, row)

    # -- whose it is ---------------------------------------------------------------------------

    def _check_binding(self, slice_: Slice, member: bytes, row: MemberRow) -> None:
        """Checks what a row says of its profile, and has others agree."""
        slice_.require(
            row.root is not None or not row.seq,
            Invariant.ONE_PROFILE,
            "a decision bound it, and it names no profile",
        )
        if row.founded:
            event = slice_.events.at(row.founding_pos)
            frame = event.frame
            slice_.require(
                event.anchor() == member[:KEY_BYTES]
                and frame.key_count == 1
                and (frame.stamp_us, frame.stream, frame.time_us)
                == (row.founding_stamp_us, row.founding_stream, row.founding_us),
                Invariant.ONE_PROFILE,
                "the event that founded its profile is another one",
            )
            if not row.seq:
                self._check_founded(slice_, row, event)
        if row.root is None:
            return
        is_remembered = row.memory_epoch == row.link_epoch
        slice_.claim(
            MERGE,
            BoundClaim(
                member, row.root, row.seq, row.link_epoch, row.partners if is_remembered else b""
            ),
        )
        if row.root == member:
            slice_.require(
                slice_.view.get(rows.PROFILE + member) is not None,
                Invariant.LIVE_PROFILES,
                "it founded the profile it is on, which has no row here",
            )
        elif slice_.is_new(("root", row.root)):
            slice_.claim(self._shard_map.shard_of(row.root), RootClaim(row.root, [member]))

    @staticmethod
    def _check_founded(slice_: Slice, row: MemberRow, event: EventAt) -> None:
        """Checks how a member joined that no decision bound: by the event that founded it."""
        slice_.require(
            (row.joined_us, row.joined_source, row.joined_message_id)
            == (event.frame.time_us, event.frame.source, event.body().message_id)
            and (row.type, row.value) == event.anchor_strings(),
            Invariant.ONE_PROFILE,
            "it joined otherwise than the event says that founded its profile",
        )

    @staticmethod
    def _check_name(slice_: Slice, member: bytes, row: MemberRow) -> None:
        """Checks in which life of its identifier a member is, and that it is found by its text."""
        life = incarnation_of(member)
        present = int.from_bytes(slice_.view.get(rows.NAME + member[:KEY_BYTES]) or b"", "big")
        slice_.require(life <= present, Invariant.NAMES, "it is of a life that did not begin yet")
        if life != present or not (row.founded or row.seq):
            return
        found_by = prefix_key(row.space, row.collection, row.type, row.value, member)
        stored = slice_.view.get(found_by)
        slice_.require(
            stored is not None and prefix_member(stored) == member,
            Invariant.FOUND_BY,
            "it is on a profile and not found by its text",
        )

    # -- its events ----------------------------------------------------------------------------

    @staticmethod
    def _check_counts(slice_: Slice, row: MemberRow) -> None:
        tail_count = len(row.tail_times) // 8
        slice_.require(
            sum(row.counts) == row.event_count
            and row.event_count == row.chunk_count * event_lists.TAIL_EVENTS_MAX + tail_count,
            Invariant.EVENT_LISTS,
            f"it counts {row.event_count} events, {sum(row.counts)} by type, and lists "
            f"{row.chunk_count} full parts and {tail_count} events",
        )

    @staticmethod
    def _check_ends(slice_: Slice, member: bytes, row: MemberRow) -> None:
        """Checks that the parts of a list follow one another."""
        _, positions = unpack_tail(row)
        before = 0
        if row.chunk_count:
            last = slice_.view.get(rows.chunk_key(member, row.chunk_count - 1))
            if not slice_.require(
                last is not None,
                Invariant.EVENT_LISTS,
                f"part {row.chunk_count - 1} of its list is missing",
            ):
                return
            assert last is not None
            before = unpack_chunk(last)[1][-1]
        else:
            slice_.require(
                positions[:1] == (row.first_pos,), Invariant.EVENT_LISTS, "its first event differs"
            )
        ordered = (before, *positions)
        slice_.require(
            all(a < b for a, b in pairwise(ordered)) and ordered[-1] == row.last_pos,
            Invariant.EVENT_LISTS,
            "its list is not in the order of the log, or lists an event twice",
        )

    def _check_tail(self, slice_: Slice, member: bytes, row: MemberRow) -> None:
        """Checks each of the newest events, and, if there are no others, what they come to."""
        times, positions = unpack_tail(row)
        stored = slice_.view.get(rows.TRAITS + member)
        cells = decode_traits(stored) if stored else {}
        joined: dict[str, TraitCell] = {}
        types = [0] * len(row.counts)
        marks = row.tail_fingerprints
        for index, position in enumerate(positions):
            slice_.work += 1
            event = slice_.events.at(position)
            mark = marks[8 * index : 8 * index + 8]
            check_listed(slice_, member, event, position, times[index], mark)
            slice_.require(
                event.frame.space == row.space
                and event.frame.flags & FLAG_ACCOUNT_SIDE == row.collection,
                Invariant.EVENT_LISTS,
                "it lists an event of another space or collection",
            )
            types[event.frame.type] += 1
            if event.frame.flags & _SETS_TRAITS:
                merge_traits(joined, check_traits(slice_, event, cells))
        self._check_repeats(slice_, member, row, positions)
        if row.chunk_count:
            _check_span(slice_, member, row, times)
            return
        slice_.require(
            (row.first_us, row.last_us) == (min(times), max(times)) and types == row.counts,
            Invariant.EVENT_LISTS,
            "its counts, or its first and last times, are not those of its events",
        )
        slice_.require(joined == cells, Invariant.TRAITS, "its traits are not those of its events")

    @staticmethod
    def _check_repeats(
        slice_: Slice, member: bytes, row: MemberRow, positions: tuple[int, ...]
    ) -> None:
        """Checks that none of the newest events repeats a message of this or an earlier life."""
        marks = [row.tail_fingerprints[at : at + 8] for at in range(0, 8 * len(positions), 8)]
        earlier: list[tuple[bytes, MemberRow]] = []
        for life in range(incarnation_of(member)):
            other = member_of(member[:KEY_BYTES], life)
            other_row = slice_.member(other)
            if other_row is not None:
                earlier.append((other, other_row))
        if len(set(marks)) == len(marks) and not row.chunk_count and not earlier:
            return
        working: Working = slice_.view  # type: ignore[assignment]  # it is only read from
        for each, each_row in [(member, row), *earlier]:
            for mark, position in zip(marks, positions, strict=True):
                slice_.work += 1
                for other_position in find_positions(working, each, each_row, mark):
                    if other_position < position:
                        check_repeated(slice_, position, other_position)


def _check_span(slice_: Slice, member: bytes, row: MemberRow, times: tuple[int, ...]) -> None:
    """Checks the first and last times of a list with full parts, if it is not very long."""
    if row.chunk_count > _SPAN_PARTS_MAX:
        return
    slice_.work += row.chunk_count // 2
    first_us, last_us = min(times, default=row.last_us), max(times, default=row.first_us)
    for number in range(row.chunk_count):
        data = slice_.view.get(rows.chunk_key(member, number))
        if data is None:
            return  # told by the part behind it
        ends = chunk_times(data)
        first_us, last_us = min(first_us, ends[0]), max(last_us, ends[1])
    slice_.require(
        (row.first_us, row.last_us) == (first_us, last_us),
        Invariant.EVENT_LISTS,
        "its first and last times are not those of its events",
    )


def check_listed(
    slice_: Slice, member: bytes, event: EventAt, position: int, time_us: int, mark: bytes | None
) -> None:
    """Checks that an event is the one that a list says it is; None: no mark is said."""
    slice_.require(
        event.anchor() == member[:KEY_BYTES]
        and event.frame.time_us == time_us
        and (mark is None or event.frame.mark == mark),
        Invariant.EVENT_LISTS,
        f"it lists position {position >> 16}.{position & 0xFFFF}, where another event lies",
    )


def check_traits(
    slice_: Slice, event: EventAt, cells: dict[str, TraitCell]
) -> dict[str, TraitCell]:
    """Checks that no trait which an event sets is newer than the stored one; returns them."""
    slice_.work += 1
    update = traits_set(event.frame, event.body())
    for name, cell in update.items():
        known = cells.get(name)
        newest = {} if known is None else {name: known}
        merge_traits(newest, {name: cell})
        if known is None or newest[name] is not known:
            slice_.require(
                known == cell,
                Invariant.TRAITS,
                "an event set a trait later than the stored one was written",
            )
    return update


def check_repeated(slice_: Slice, position: int, other: int) -> None:
    """Checks that two events of a fingerprint are no repetitions of one message."""
    ones = [slice_.events.at(each) for each in (position, other)]
    apart_us = abs(ones[0].frame.stamp_us - ones[1].frame.stamp_us)
    slice_.require(
        apart_us > REPEATED_WITHIN_US or ones[0].body().message_id != ones[1].body().message_id,
        Invariant.ONE_EFFECT,
        f"positions {other >> 16}.{other & 0xFFFF} and {position >> 16}.{position & 0xFFFF} "
        "hold one message",
    )


def _tally(slice_: Slice, member: bytes, row: MemberRow) -> None:
    """Counts a member as counters count it."""
    slice_.tallies["listed"] += _count_until(slice_, member, row)
    space = row.space
    is_counted = row.founded or bool(row.seq)
    if is_counted:
        slice_.tallies[f"identifiers:{space}"] += 1
    if is_profile(member, row):
        slice_.tallies[f"profiles:{space}"] += 1
    elif is_counted:
        slice_.tallies[f"merged:{space}"] += 1


def _count_until(slice_: Slice, member: bytes, row: MemberRow) -> int:
    """Returns how many events a member had when the verification began."""
    if row.last_pos >> 16 <= slice_.last:
        return row.event_count
    positions = unpack_tail(row)[1]
    later = sum(position >> 16 > slice_.last for position in positions)
    number = row.chunk_count - 1
    while later and number >= 0:
        data = slice_.view.get(rows.chunk_key(member, number))
        if data is None:
            break
        in_part = sum(position >> 16 > slice_.last for position in unpack_chunk(data)[1])
        if not in_part:
            break
        later += in_part
        number -= 1
    return row.event_count - later
