"""Checks a shard's smaller rows: profiles, marks, outcomes, names, what is found by what."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from unify_grpc.machines import rows
from unify_grpc.machines.batch import FLAG_HISTORY
from unify_grpc.machines.entry_lists import PART_ENTRIES
from unify_grpc.machines.found_by import (
    folded,
    prefix_key,
    prefix_member,
    trait_member,
    trait_start,
)
from unify_grpc.machines.owed_sides import is_user_side
from unify_grpc.machines.space_counts import unpack_counts
from unify_grpc.machines.trait_rows import decode_traits
from unify_grpc.placement.members import KEY_BYTES, MEMBER_BYTES, incarnation_of
from unify_grpc.verification.claims import (
    CONTROL,
    MERGE,
    HomeClaim,
    NamedClaim,
    OutcomeClaim,
    SpaceClaim,
    digest_of,
    profile_content,
)
from unify_grpc.verification.findings import Invariant

if TYPE_CHECKING:
    from unify_grpc.placement.slots import ShardMap
    from unify_grpc.verification.events_at import EventAt
    from unify_grpc.verification.slices import CheckRow, Slice

ENTRY_BYTES: Final = {b"a": 8, b"v": 29}
"""Of the entries of a space's lists, by table."""
_SPACE_BYTES: Final = 4
_TAIL_HEAD_BYTES: Final = 5


class TableChecks:
    """Checks of one shard's rows, each of one table."""

    def __init__(self, shard: int, shard_map: ShardMap) -> None:
        self._shard = shard
        self._shard_map = shard_map

    # -- profiles and links --------------------------------------------------------------------

    def check_profile(self, slice_: Slice, key: bytes, value: bytes) -> None:
        """Checks a profile's row at its home; it stays when the profile is absorbed."""
        root, row = key[1:], rows.decode_profile(value)
        if not slice_.require(
            self._shard_map.shard_of(root) == self._shard,
            Invariant.AT_HOME,
            "the profile's home is another shard",
        ):
            return
        members = set(row.members)
        slice_.require(
            root in members and len(members) == len(row.members) and members.issuperset(row.hidden),
            Invariant.ONE_PROFILE,
            "it lists a member twice, or lacks its founder, or hides what it does not have",
        )
        founder = slice_.member(root)
        if slice_.require(
            founder is not None and founder.root is not None,
            Invariant.LIVE_PROFILES,
            "its founder is on no profile",
        ):
            content = profile_content(
                row.space, row.created_us, row.merges, row.members, row.hidden
            )
            slice_.claim(MERGE, HomeClaim(root, row.seq, content))

    def check_pending(self, slice_: Slice, key: bytes, value: bytes) -> None:
        """Checks the mark of a link that awaits its decision."""
        position = rows.position_in(key)
        event = slice_.events.at(position)
        frame = event.frame
        slice_.require(
            _holds(slice_, rows.anchor_in(value), position, event)
            and frame.stamp_us == rows.stamp_in(value)
            and frame.key_count > 1
            and not frame.flags & FLAG_HISTORY,
            Invariant.LINKS_DECIDED,
            "the event there is no link, or another's",
        )
        slice_.require(
            slice_.view.get(rows.outcome_key(position)) is None,
            Invariant.LINKS_DECIDED,
            "the link is decided and pending",
        )

    def check_outcome(self, slice_: Slice, key: bytes, value: bytes) -> None:
        """Checks how a link was decided."""
        position, row = rows.position_in(key), rows.decode_outcome(value)
        event = slice_.events.at(position)
        slice_.require(
            event.frame.key_count > 1, Invariant.LINKS_DECIDED, "the event there is no link"
        )
        decided = digest_of(row.outcome, row.root, row.drops)
        slice_.claim(MERGE, OutcomeClaim(self._shard, position, decided))

    @staticmethod
    def check_owed(slice_: Slice, key: bytes, value: bytes) -> None:
        """Checks the mark of an event that owes its account's side."""
        position = rows.position_in(key)
        event = slice_.events.at(position)
        slice_.require(
            len(value) == MEMBER_BYTES
            and _holds(slice_, value, position, event)
            and is_user_side(event.frame.flags),
            Invariant.OWED_SIDES,
            "the event there is another's, or has one side only",
        )

    def check_name(self, slice_: Slice, key: bytes, value: bytes) -> None:
        """Checks in which life an identifier is that was deleted."""
        name, incarnation = key[1:], int.from_bytes(value, "big")
        slice_.require(
            len(name) == KEY_BYTES
            and incarnation > 0
            and self._shard_map.shard_of(name) == self._shard,
            Invariant.AT_HOME,
            "the identifier belongs to another shard, or is in its first life",
        )
        slice_.claim(MERGE, NamedClaim(name, incarnation))

    # -- spaces --------------------------------------------------------------------------------

    @staticmethod
    def check_space(slice_: Slice, key: bytes, value: bytes) -> None:
        """Checks what the shard knows of a space."""
        row = rows.decode_space(value)
        slice_.require(
            set(row.filling) <= set(row.searchable),
            Invariant.FOUND_BY,
            "traits are gone through that are not searchable",
        )
        slice_.claim(CONTROL, SpaceClaim(int.from_bytes(key[1:], "big"), row.rules_version))

    @staticmethod
    def check_counts(slice_: Slice, key: bytes, value: bytes) -> None:
        """Checks that counts can be read; what they say is compared in the end."""
        unpack_counts(value)
        slice_.claim(CONTROL, SpaceClaim(int.from_bytes(key[1:], "big"), 0))

    # -- what profiles are found by ------------------------------------------------------------

    def check_prefix(self, slice_: Slice, key: bytes, value: bytes) -> None:
        """Checks a row that leads from an identifier's text to it."""
        member = prefix_member(value)
        row = slice_.member(member)
        if not slice_.require(
            row is not None and (row.founded or bool(row.seq)),
            Invariant.FOUND_BY,
            "it leads to nothing that is on a profile",
        ):
            return
        assert row is not None
        present = int.from_bytes(slice_.view.get(rows.NAME + member[:KEY_BYTES]) or b"", "big")
        slice_.require(
            key == prefix_key(row.space, row.collection, row.type, row.value, member)
            and incarnation_of(member) == present,
            Invariant.FOUND_BY,
            "it leads to another identifier, or to a life that is over",
        )

    @staticmethod
    def check_by_trait(slice_: Slice, key: bytes, value: bytes) -> None:
        """Checks a row that leads from a trait to a member: one is there, and has traits.

        The value may be another by now: a trait that is searchable no more leaves its rows.
        """
        del value
        member = trait_member(key)
        slice_.require(
            slice_.member(member) is not None and slice_.view.get(rows.TRAITS + member) is not None,
            Invariant.FOUND_BY,
            "it leads to nothing that has traits",
        )

    def check_traits(self, slice_: Slice, key: bytes, value: bytes) -> None:
        """Checks that traits have an owner, and that it is found by those that are searchable."""
        member, cells = key[1:], decode_traits(value)
        row = slice_.member(member)
        if not slice_.require(
            row is not None and row.event_count > 0,
            Invariant.TRAITS,
            "they are traits of nothing that has events",
        ):
            return
        assert row is not None
        space = self._space(slice_, row.space)
        if space is None:
            return
        for name in cells.keys() & set(space.searchable) - set(space.filling):
            slice_.work += 1
            text = folded(cells[name].value_json)
            if text is not None:
                found_by = trait_start(row.space, row.collection, name, text) + member
                slice_.require(
                    slice_.view.get(found_by) is not None,
                    Invariant.FOUND_BY,
                    "it is not found by a trait that is searchable",
                )

    @staticmethod
    def _space(slice_: Slice, space: int) -> rows.SpaceRow | None:
        data = slice_.view.get(rows.space_key(space))
        return rows.decode_space(data) if data is not None else None


def _holds(slice_: Slice, member: bytes, position: int, event: EventAt) -> bool:
    """Whether an event is a member's, in this very life of its identifier."""
    row = slice_.member(member)
    return (
        row is not None
        and event.anchor() == member[:KEY_BYTES]
        and row.first_pos <= position <= row.last_pos
    )


def list_check(table: bytes) -> CheckRow:
    """Returns the check of the rows of one of a space's lists: that its parts are whole."""
    entry_bytes = ENTRY_BYTES[table]

    def check(slice_: Slice, key: bytes, value: bytes) -> None:
        space, number = key[1 : 1 + _SPACE_BYTES], key[1 + _SPACE_BYTES :]
        tail = slice_.view.get(table + space) if number else value
        if not slice_.require(
            tail is not None and tail[:1] == b"\1" and value[:1] == b"\1",
            Invariant.SPACE_LISTS,
            "it is of another format, or the end of its list is missing",
        ):
            return
        assert tail is not None
        parts_count = int.from_bytes(tail[1:_TAIL_HEAD_BYTES], "little")
        before = parts_count
        if number:
            before = int.from_bytes(number, "big")
            slice_.require(
                before < parts_count and len(value) == 1 + PART_ENTRIES * entry_bytes,
                Invariant.SPACE_LISTS,
                "it is a part of no list, or not full",
            )
        else:
            slice_.require(
                not (len(value) - _TAIL_HEAD_BYTES) % entry_bytes,
                Invariant.SPACE_LISTS,
                "the end of the list is cut",
            )
        slice_.require(
            not before or slice_.view.get(part_key(table, space, before - 1)) is not None,
            Invariant.SPACE_LISTS,
            f"part {before - 1} of the list is missing",
        )

    return check


def part_key(table: bytes, space: bytes, number: int) -> bytes:
    """Returns the key of a full part of a space's list."""
    return table + space + number.to_bytes(4, "big")
