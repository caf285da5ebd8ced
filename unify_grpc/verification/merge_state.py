"""What checks of the merge actor look up again and again: profiles, members, what is confirmed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from unify_grpc.machines import deletions, journal
from unify_grpc.machines.deleting import AGE_RECORD, DELETE_RECORD
from unify_grpc.machines.links import partner_of
from unify_grpc.machines.merge_machine import ROUND_RECORD
from unify_grpc.placement.members import KEY_BYTES, MEMBER_BYTES

if TYPE_CHECKING:
    from unify_grpc.verification.slices import Slice
    from unify_grpc.verification.views import Payload

_MEMBERS_KEPT_MAX: Final = 20_000
"""Of all profiles together that one slice keeps at hand."""
_MEMBERS_PER_WORK: Final = 16
"""That are read, or made keys of, for the work of one unit."""
_SOUGHT_PER_WORK: Final = 1 << 14
"""Bytes of a row that are read and looked through for the work of one unit."""
_MEMBER_HEAD: Final = b"\xc4" + bytes((MEMBER_BYTES,))
"""Stands before a member in a profile's row, and nowhere else."""
_HELD: Final = "members kept"
_CONFIRMED: Final = "confirmed"


class _LastOfRound(msgspec.Struct, array_like=True, frozen=True):
    """A round whose decisions are not opened, but for the last."""

    format: int
    confirmed: int
    decisions: list[msgspec.Raw]


_decode_round = msgspec.msgpack.Decoder(_LastOfRound).decode
_decode_decision = msgspec.msgpack.Decoder(journal.Decision).decode


class Profile(NamedTuple):
    """A profile and its members for look-ups."""

    row: journal.ProfileRow
    since: dict[bytes, int]
    """Member to the seq that bound it to this profile."""
    keys: set[bytes]
    """Of its members' identifiers, whichever lives they are in."""
    partners: set[bytes]
    """What stands for its members in link memory."""


def find_member(slice_: Slice, member: bytes) -> journal.MemberRow | None:
    """Returns a linked member's row, or None if no link ever kept it."""
    data = slice_.view.get(journal.MEMBER + member)
    return journal.decode_member(data) if data is not None else None


def find_profile(slice_: Slice, root: bytes) -> Profile:
    """Returns a live profile; `ValueError` if there is none."""
    profile: Profile | None = slice_.kept.get(root)
    if profile is None:
        data = slice_.view.get(journal.PROFILE + root)
        if data is None:
            raise ValueError("no such profile lives")
        row = journal.decode_profile(data)
        slice_.work += len(row.members) // _MEMBERS_PER_WORK
        since = {member: bound for member, _, _, bound, _ in row.members}
        keys = {member[:KEY_BYTES] for member in since}
        profile = Profile(row, since, keys, {partner_of(key) for key in keys})
        held = slice_.kept.get(_HELD, 0) + len(since)
        if held > _MEMBERS_KEPT_MAX:
            slice_.kept.clear()
            held = len(since)
        slice_.kept[_HELD] = held
        slice_.kept[root] = profile
    return profile


def is_listed(slice_: Slice, root: bytes, member: bytes) -> bool:
    """Whether a live profile lists a member; looks through its row as it lies there.

    Members of a profile lie anywhere in the order of keys, so what is opened for one of them is
    seldom at hand for the next.
    """
    data = slice_.view.get(journal.PROFILE + root) or b""
    slice_.work += len(data) // _SOUGHT_PER_WORK
    return _MEMBER_HEAD + member in data


def confirmed_seq(slice_: Slice) -> int:
    """Returns the last decision that, like all before it, every shard has for certain."""
    found: int | None = slice_.kept.get(_CONFIRMED)
    if found is None:
        meta = slice_.view.get(journal.META)
        number = journal.decode_meta(meta)[1] if meta is not None else 0
        found = slice_.kept[_CONFIRMED] = _last_seq_until(slice_, number)
    return found


def _last_seq_until(slice_: Slice, number: int) -> int:
    """Returns the seq of the last decision in a record of the journal or before it."""
    while number > 0:
        slice_.work += 1
        data = slice_.view.record(number)
        if data is not None and (seq := seq_of(data)):
            return seq
        number -= 1
    return 0


def seq_of(record: Payload) -> int:
    """Returns the last seq of a record of the journal; 0 if it has none."""
    kind, body = bytes(record[:1]), record[1:]
    if kind == ROUND_RECORD:
        return _decode_decision(_decode_round(body).decisions[-1]).seq
    if kind == AGE_RECORD:
        return deletions.decode_ageing(bytes(body)).seq
    if kind == DELETE_RECORD:
        return deletions.decode_deletion(bytes(body)).seq
    return 0
