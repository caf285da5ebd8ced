"""Checks the merge actor's tables: which members form which profile, and what points where."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Final

import msgspec

from unify_grpc.identity.rules import Rules
from unify_grpc.machines import deletions, journal
from unify_grpc.machines.deleting import AGE_RECORD, DELETE_RECORD
from unify_grpc.machines.history_rows import (
    PLACES_MAX,
    Place,
    head_key,
    part_key,
    unpack_head,
    unpack_places,
)
from unify_grpc.machines.link_counts import read_counts
from unify_grpc.machines.merge_machine import ROUND_RECORD
from unify_grpc.placement.members import KEY_BYTES, MEMBER_BYTES, incarnation_of, member_of
from unify_grpc.verification.claims import (
    CONTROL,
    BindingClaim,
    NameClaim,
    ProfileClaim,
    SpaceClaim,
    digest_of,
    profile_content,
)
from unify_grpc.verification.findings import Invariant
from unify_grpc.verification.merge_state import (
    confirmed_seq,
    find_member,
    find_profile,
    is_listed,
)

if TYPE_CHECKING:
    from unify_grpc.placement.slots import ShardMap
    from unify_grpc.verification.slices import Slice

_NUMBER_BYTES: Final = 4


class MergeTableChecks:
    """Checks of the merge actor's rows, each of one table."""

    def __init__(self, shard_map: ShardMap) -> None:
        self._shard_map = shard_map

    def check_profile(self, slice_: Slice, key: bytes, value: bytes) -> None:
        """Checks a profile and its members, and has their shards agree."""
        root, row = key[1:], journal.decode_profile(value)
        members = [member for member, *_ in row.members]
        seq = journal.decode_meta(slice_.view.get(journal.META) or b"")[0]
        slice_.require(
            root in members
            and len(set(members)) == len(members)
            and row.order <= row.seq <= seq
            and all(since <= row.seq for _, _, _, since, _ in row.members),
            Invariant.ONE_PROFILE,
            "it lists a member twice, lacks its founder, or is of a decision that is to come",
        )
        confirmed = confirmed_seq(slice_)
        first = min(since for _, _, _, since, _ in row.members)
        hidden = [member for member, *_, is_hidden in row.members if is_hidden]
        content = profile_content(row.space, row.created_us, row.merges, members, hidden)
        slice_.claim(
            self._shard_map.shard_of(root),
            ProfileClaim(root, row.seq, row.seq <= confirmed, first <= confirmed, content),
        )
        if slice_.is_new(("space", row.space)):
            slice_.claim(CONTROL, SpaceClaim(row.space, 0))
        for listed in row.members:
            slice_.work += 1
            self._check_listed(slice_, root, row, listed, confirmed)

    def _check_listed(
        self,
        slice_: Slice,
        root: bytes,
        row: journal.ProfileRow,
        listed: tuple[bytes, str, int, int, bool],
        confirmed: int,
    ) -> None:
        """Checks a member that a profile lists."""
        member, type_, joined_us, since, is_hidden = listed
        name, bound = f"member {member.hex()}", find_member(slice_, member)
        if bound is None or bound.root != root:
            where = "nowhere" if bound is None else "on another profile"
            slice_.require(holds=False, invariant=Invariant.ONE_PROFILE, text=f"{name} is {where}")
            return
        slice_.require(
            (bound.type, bound.joined_us) == (type_, joined_us),
            Invariant.ONE_PROFILE,
            f"{name} joined otherwise",
        )
        present = int.from_bytes(slice_.view.get(journal.NAME + member[:KEY_BYTES]) or b"", "big")
        slice_.require(
            is_hidden == (incarnation_of(member) < present) and incarnation_of(member) <= present,
            Invariant.NAMES,
            f"{name} is hidden and was not deleted, or was deleted and is not hidden",
        )
        joined = digest_of(
            row.space,
            row.collection,
            bound.type,
            bound.value,
            bound.joined_us,
            bound.source,
            bound.message_id,
        )
        slice_.claim(
            self._shard_map.shard_of(member),
            BindingClaim(
                member,
                root,
                since,
                row.seq,
                since <= confirmed,
                joined,
                bound.link_epoch,
                bound.link_epoch <= confirmed,
            ),
        )

    @staticmethod
    def check_member(slice_: Slice, key: bytes, value: bytes) -> None:
        """Checks that a linked member's profile is there and lists it."""
        member, row = key[1:], journal.decode_member(value)
        if slice_.require(
            slice_.view.get(journal.PROFILE + row.root) is not None,
            Invariant.LIVE_PROFILES,
            "it is on a profile that does not live",
        ):
            slice_.require(
                len(member) == MEMBER_BYTES and is_listed(slice_, row.root, member),
                Invariant.ONE_PROFILE,
                "its profile does not list it",
            )

    @staticmethod
    def check_decided(slice_: Slice, key: bytes, value: bytes) -> None:
        """Counts a decided link; the journal's walk compares what it says."""
        del key
        row = journal.decode_decided(value)
        if row.record <= slice_.last:
            slice_.tallies["decided"] += 1

    @staticmethod
    def check_rules(slice_: Slice, key: bytes, value: bytes) -> None:
        """Checks the rules of a space, and has control agree."""
        row = journal.decode_rules(value)
        Rules.from_document(msgspec.json.decode(row.document), row.version)
        space = int.from_bytes(key[1:], "big")
        slice_.claim(CONTROL, SpaceClaim(space, row.version, digest_of(row.document)))

    @staticmethod
    def check_newest(slice_: Slice, key: bytes, value: bytes) -> None:
        """Checks the stamp of a space's newest profile that a link founded."""
        slice_.require(
            len(key) == 1 + _NUMBER_BYTES and len(value) == 8,  # noqa: PLR2004 - as journaled
            Invariant.FORMATS,
            "it is of another form",
        )

    def check_name(self, slice_: Slice, key: bytes, value: bytes) -> None:
        """Checks a deleted identifier: its last life is hidden in a profile."""
        name, incarnation = key[1:], int.from_bytes(value, "big")
        if not slice_.require(incarnation > 0, Invariant.NAMES, "it is in its first life"):
            return
        retired = member_of(name, incarnation - 1)
        bound = find_member(slice_, retired)
        if not slice_.require(
            bound is not None, Invariant.NAMES, "the life that is over was on no profile"
        ):
            return
        assert bound is not None
        is_confirmed = find_profile(slice_, bound.root).row.seq <= confirmed_seq(slice_)
        slice_.claim(self._shard_map.shard_of(name), NameClaim(name, incarnation, is_confirmed))

    @staticmethod
    def check_meta(slice_: Slice, key: bytes, value: bytes) -> None:
        """Checks the row that says how far the journal is."""
        seq, confirmed = journal.decode_meta(value)
        slice_.require(
            key == journal.META and seq >= 0 and confirmed <= slice_.view.number,
            Invariant.HISTORY,
            "it confirms what the journal does not have",
        )

    @staticmethod
    def check_counts(slice_: Slice, key: bytes, value: bytes) -> None:
        """Checks that counts can be read; what they say is compared in the end."""
        del slice_, key
        read_counts(lambda _: value)

    @staticmethod
    def check_deletion(slice_: Slice, key: bytes, value: bytes) -> None:
        """Checks an answer to a deletion, or the one that is under way."""
        if key == deletions.DELETION + deletions.OPEN:
            number, kind = deletions.decode_open(value).record, AGE_RECORD
        else:
            row = deletions.decode_row(value)
            number, kind = row.record, DELETE_RECORD
            slice_.require(
                key[1:] == row.command.request_id,
                Invariant.HISTORY,
                "it is the answer to another request",
            )
        slice_.require(
            _kind(slice_, number) == kind, Invariant.HISTORY, "the journal does not say so"
        )


def check_history(slice_: Slice, key: bytes, value: bytes) -> None:
    """Checks where the journal tells of a profile: the row that grows, a full one, or repeats."""
    root, rest = key[1 : 1 + MEMBER_BYTES], key[1 + MEMBER_BYTES :]
    if rest == b"\xff" * _NUMBER_BYTES:
        _check_places(slice_, unpack_places(value))
        return
    if rest:
        number, places = int.from_bytes(rest, "big"), unpack_places(value)
        data = slice_.view.get(head_key(root))
        parts_count = 0 if data is None else unpack_head(data).parts_count
        slice_.require(
            number < parts_count and len(places) == PLACES_MAX,
            Invariant.HISTORY,
            "it is a part of no history, or not full",
        )
    else:
        number, places = unpack_head(value)
        slice_.tallies["places"] += _count_until(slice_, root, number, places)
    if number and slice_.require(
        slice_.view.get(part_key(root, number - 1)) is not None,
        Invariant.HISTORY,
        "the part of the history before it is missing",
    ):
        before = unpack_places(slice_.view.get(part_key(root, number - 1)) or b"\1")
        slice_.require(
            before[-1:] < places[:1], Invariant.HISTORY, "it does not follow the part before it"
        )
    _check_places(slice_, places)


def _count_until(slice_: Slice, root: bytes, parts_count: int, places: list[Place]) -> int:
    """Returns how many places a history had when the verification began.

    Its parts are counted with the row that grows, as that says: walked to by themselves, a row
    that fills up in the meantime would be met a second time.
    """
    count = parts_count * PLACES_MAX + len(places)
    while True:
        later = sum(place.record > slice_.last for place in places)
        count -= later
        if not later or later < len(places) or not parts_count:
            return count
        parts_count -= 1
        slice_.work += 1
        places = unpack_places(slice_.view.get(part_key(root, parts_count)) or b"\1")


def check_drops(slice_: Slice, key: bytes, value: bytes) -> None:
    """Checks where the journal tells of an identifier that was left out."""
    slice_.require(len(key) == 1 + MEMBER_BYTES, Invariant.HISTORY, "it is about no identifier")
    _check_places(slice_, unpack_places(value))


def _check_places(slice_: Slice, places: list[Place]) -> None:
    slice_.require(
        bool(places) and len(places) <= PLACES_MAX and all(a < b for a, b in pairwise(places)),
        Invariant.HISTORY,
        "its places are not in the order of the journal",
    )
    numbers = {place.record for place in places}
    slice_.work += len(numbers) // 4
    slice_.require(
        all(_kind(slice_, number) == ROUND_RECORD for number in numbers),
        Invariant.HISTORY,
        "it points to no decision",
    )


def _kind(slice_: Slice, number: int) -> bytes:
    """Returns what kind of record the journal has there; empty: none."""
    data = slice_.view.record(number)
    return b"" if data is None else bytes(data[:1])
