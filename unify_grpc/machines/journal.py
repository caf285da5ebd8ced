"""What the merge actor stores: its journal of decisions, and the rows that follow from it.

The journal is the truth and the history; rows are its sum. `apply_decision` gives the rows of one
decision and is used both when that is made and when its record is replayed.
"""

from __future__ import annotations

import struct

import msgspec

from unify_grpc.identity.outcomes import Outcome
from unify_grpc.machines.formats import checked_decoder
from unify_grpc.machines.history_rows import Place, add_decision
from unify_grpc.machines.link_counts import count_decision
from unify_grpc.machines.links import Founding
from unify_grpc.machines.tables import Working

FORMAT = 2
MEMBER = b"m"
PROFILE = b"p"
DECIDED = b"d"
RULES = b"r"
NEWEST_STAMP = b"x"
NAME = b"n"
META = b"k"
# Taken elsewhere: g (`deletions.py`), h and y (`history_rows.py`), z (`link_counts.py`).

_LINK_KEY = struct.Struct(">HQ")
_U32 = struct.Struct(">I")


class Decision(msgspec.Struct, array_like=True, frozen=True):
    """How one link was decided: everything that explains it, and that its rows follow from."""

    seq: int
    shard: int
    position: int
    space: int
    collection: int
    rules_version: int
    """Of the limits it was judged by."""
    time_us: int
    stamp_us: int
    source: int
    message_id: str
    ids: list[tuple[bytes, str, str]]
    """(member, type, value) of the event's identifiers, the anchor first."""
    outcome: int
    root: bytes
    """The profile it ended in, named by its founding member."""
    created_us: int
    """That profile's founding stamp."""
    order: int
    """The seq that founded it; 0 if a single event did."""
    merges: int
    kept: list[int]
    """Indexes into `ids` of those in the profile afterwards."""
    drops: list[tuple[int, int]]
    """(index into `ids`, reason)."""
    absorbed: list[bytes]
    """Linked profiles that ended in it."""
    adopted: list[tuple[int, Founding]]
    """(index into `ids`, founding) of those that an event had founded a profile for by itself."""
    is_remembered: bool = True
    """Whether link memory may follow; not while its profile ages for a deletion."""


class Round(msgspec.Struct, array_like=True, frozen=True):
    """Decisions made and made durable together."""

    format: int
    confirmed: int
    """The last record whose round, and all before it, were visible everywhere."""
    decisions: list[Decision]


class MemberRow(msgspec.Struct, array_like=True, frozen=True):
    """A linked member: where it belongs, and how it got there."""

    format: int
    root: bytes
    type: str
    value: str
    joined_us: int
    source: int
    message_id: str
    founding_known: bool
    link_epoch: int
    """The seq of the last ageing of the profile it was in then, or of the merge that moved it here.

    Nothing lowers it.
    """


class ProfileRow(msgspec.Struct, array_like=True, frozen=True):
    """A linked profile."""

    format: int
    space: int
    collection: int
    seq: int
    created_us: int
    order: int
    merges: int
    members: list[tuple[bytes, str, int, int, bool]]
    """(member, type, link time in microseconds, seq that bound it to this profile, hidden).

    A hidden one was deleted from the profile: its events and traits stay, it is counted no more.
    """


class DecidedRow(msgspec.Struct, array_like=True, frozen=True):
    """That a link was decided, kept as long as shards keep message ids."""

    format: int
    record: int
    """The journal record it was decided in."""
    outcome: int
    root: bytes
    drops: list[tuple[int, int]]


class RulesRow(msgspec.Struct, array_like=True, frozen=True):
    """The newest rules of a space that this merge actor was shown."""

    format: int
    version: int
    document: bytes
    """JSON."""


encode = msgspec.msgpack.Encoder().encode
decode_round = checked_decoder(Round, FORMAT)
decode_member = checked_decoder(MemberRow, FORMAT)
decode_profile = checked_decoder(ProfileRow, FORMAT)
decode_decided = checked_decoder(DecidedRow, FORMAT)
decode_rules = checked_decoder(RulesRow, FORMAT)
decode_meta = msgspec.msgpack.Decoder(tuple[int, int]).decode


def decided_key(shard: int, position: int) -> bytes:
    """Returns the key of a decided link."""
    return DECIDED + _LINK_KEY.pack(shard, position)


def rules_key(space: int) -> bytes:
    """Returns the key of a space's rules."""
    return RULES + _U32.pack(space)


def newest_stamp(working: Working, space: int) -> int:
    """Returns the highest founding stamp of a profile that a link made in this space."""
    return int.from_bytes(working.get(newest_stamp_key(space)) or b"", "big")


def newest_stamp_key(space: int) -> bytes:
    """Returns the key of the highest founding stamp in a space."""
    return NEWEST_STAMP + _U32.pack(space)


def put_meta(working: Working, seq: int, confirmed: int | None = None) -> None:
    """Keeps the last seq and the last confirmed record; None leaves the latter as it is."""
    if confirmed is None:
        meta = working.get(META)
        confirmed = decode_meta(meta)[1] if meta is not None else 0
    working.put(META, encode((seq, confirmed)))


def find_member(working: Working, member: bytes) -> MemberRow | None:
    """Returns a linked member's row, or None if no link ever kept it."""
    data = working.get(MEMBER + member)
    return decode_member(data) if data is not None else None


def find_decided(working: Working, shard: int, position: int) -> DecidedRow | None:
    """Returns how a link was decided, or None if it was not yet."""
    data = working.get(decided_key(shard, position))
    return decode_decided(data) if data is not None else None


def read_profile(working: Working, root: bytes) -> ProfileRow:
    """Returns the row of a live linked profile; `AssertionError` if there is none."""
    data = working.get(PROFILE + root)
    assert data is not None, "a member is bound to a profile without a row"
    return decode_profile(data)


def apply_decision(working: Working, decision: Decision, record: int, at: int) -> None:
    """Lays the rows of one decision, the `at`-th of its record, over the tables."""
    members = _members_before(working, decision)
    known = {each[0] for each in members}
    foundings = dict(decision.adopted)
    for index in decision.kept:
        member, type_, value = decision.ids[index]
        if member in known:
            continue
        founding = foundings.get(index)
        joined = (
            (founding.time_us, founding.source, founding.message_id, True)
            if founding
            else (decision.time_us, decision.source, decision.message_id, False)
        )
        row = MemberRow(FORMAT, decision.root, type_, value, *joined, link_epoch=0)
        working.put(MEMBER + member, encode(row))
        members.append((member, type_, joined[0], decision.seq, False))
    profile = ProfileRow(
        FORMAT,
        decision.space,
        decision.collection,
        decision.seq,
        decision.created_us,
        decision.order,
        decision.merges,
        members,
    )
    working.put(PROFILE + decision.root, encode(profile))
    if decision.outcome == Outcome.CREATED:
        key = newest_stamp_key(decision.space)
        working.put(key, decision.created_us.to_bytes(8, "big"))
    decided = DecidedRow(FORMAT, record, decision.outcome, decision.root, decision.drops)
    working.put(decided_key(decision.shard, decision.position), encode(decided))
    count_decision(working, is_merge=decision.outcome == Outcome.MERGED)
    dropped = [decision.ids[each][0] for each, _ in decision.drops]
    add_decision(
        working,
        decision.root,
        Place(record, at),
        is_change=bool(decision.absorbed) or len(members) > len(known),
        is_joining=len(decision.kept) > 1,
        dropped_from=[decision.ids[0][0], *dropped] if dropped else (),
    )


def _members_before(
    working: Working, decision: Decision
) -> list[tuple[bytes, str, int, int, bool]]:
    """Returns the survivor's linked members with those of the absorbed, and binds these to it.

    Their link memory ends: a partner that is remembered may move later, at a shard that is away,
    and shows what joins the survivor only then.
    """
    stored = working.get(PROFILE + decision.root)
    members = list(decode_profile(stored).members) if stored is not None else []
    for absorbed in decision.absorbed:
        row = read_profile(working, absorbed)
        for member, type_, joined_us, _, is_hidden in row.members:
            bound = find_member(working, member)
            assert bound is not None, "a profile lists a member without a row"
            moved = msgspec.structs.replace(bound, root=decision.root, link_epoch=decision.seq)
            working.put(MEMBER + member, encode(moved))
            members.append((member, type_, joined_us, decision.seq, is_hidden))
        working.put(PROFILE + absorbed, None)
    return members
