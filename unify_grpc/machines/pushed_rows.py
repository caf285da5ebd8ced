"""How a shard applies the rows that the merge actor decided. Older ones are ignored."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from unify_grpc.machines import rows
from unify_grpc.machines.bound_members import note_binding, note_retired
from unify_grpc.machines.links import Founding, Void
from unify_grpc.machines.rows import OutcomeRow, ProfileRow
from unify_grpc.machines.space_counts import is_profile
from unify_grpc.placement.members import KEY_BYTES, incarnation_of

if TYPE_CHECKING:
    from unify_grpc.machines.links import (
        AgePush,
        BindingPush,
        ClearPush,
        MemoryPush,
        NamePush,
        ProfilePush,
    )
    from unify_grpc.machines.rows import MemberRow
    from unify_grpc.machines.shard_rows import ShardRows

PARTNERS_MAX: Final = 128
"""Remembered per anchor; the oldest are forgotten, which only sends an event to the merge actor."""
PARTNER_BYTES: Final = 8


def founding_of(row: MemberRow) -> Founding | None:
    """Returns how an event with this identifier alone founded a profile, if one did."""
    if not row.founded:
        return None
    return Founding(
        row.founding_stamp_us,
        row.founding_stream,
        row.founding_us,
        row.joined_source,
        row.joined_message_id,
    )


def apply_profile(working: ShardRows, push: ProfilePush) -> None:
    """Writes a profile at its home and binds its founding member, in the same commit.

    The founder is bound here only until its own binding comes, and without a seq: that one says
    how it joined, and may be older than the profile row it travels with.
    """
    key = rows.PROFILE + push.root
    stored = working.get(key)
    if stored is not None and rows.decode_profile(stored).seq > push.seq:
        return
    row = ProfileRow(
        rows.FORMAT,
        push.space,
        push.seq,
        push.created_us,
        push.merges,
        push.members,
        push.hidden,
    )
    working.put(key, rows.encode(row))
    founder = working.member(push.root, push.space, push.collection)
    if founder.root is None:
        if not founder.founded:
            working.count(push.space, profiles=1)
        founder.root, founder.dirty = push.root, True


def apply_binding(working: ShardRows, push: BindingPush) -> Void | None:
    """Binds a member to a profile; returns the founding that no decision knew of, if it had one."""
    row = working.member(push.member, push.space, push.collection)
    raise_link_epoch(row, push.link_epoch)
    raise_name(working, push.member[:KEY_BYTES], incarnation_of(push.member))
    if push.seq < row.seq:
        return None
    void = None
    if row.founded and row.root is None and not push.founding_known:
        founding = founding_of(row)
        assert founding is not None
        void = Void(push.member, push.root, push.seq, founding)
    was_bound, was_profile = bool(row.seq), is_profile(push.member, row)
    row.root, row.seq = push.root, push.seq
    row.type, row.value = push.type, push.value
    row.joined_us, row.joined_source = push.joined_us, push.source
    row.joined_message_id = push.message_id
    row.dirty = True
    note_binding(working, push.member, row, was_bound=was_bound, was_profile=was_profile)
    return void


def apply_age(working: ShardRows, push: AgePush) -> None:
    """Ends the use of what a member remembers of its partners."""
    raise_link_epoch(working.member(push.member, push.space, push.collection), push.link_epoch)


def apply_name(working: ShardRows, push: NamePush) -> None:
    """Moves an identifier on: what it was belongs to its profile, hidden."""
    raise_name(working, push.key, push.incarnation)


def raise_link_epoch(row: MemberRow, link_epoch: int) -> None:
    """Takes a link epoch over, unless the row has seen a later one."""
    if link_epoch > row.link_epoch:
        row.link_epoch, row.dirty = link_epoch, True


def raise_name(working: ShardRows, key: bytes, incarnation: int) -> None:
    """Takes an identifier's incarnation over, unless it has gone further; its number is for good.

    A binding of the next one may come before the push that retires the last.
    """
    if not incarnation:
        return
    known = int.from_bytes(working.get(rows.NAME + key) or b"", "big")
    if known < incarnation:
        note_retired(working, key, range(known, incarnation))
        working.put(rows.NAME + key, incarnation.to_bytes(4, "big"))


def apply_memory(working: ShardRows, push: MemoryPush) -> None:
    """Remembers partners of an anchor, unless it has aged since they were found to be ones."""
    row = working.find_member(push.anchor)
    assert row is not None, "memory for an anchor without a row"
    if push.link_epoch != row.link_epoch:
        return
    if row.memory_epoch != row.link_epoch:
        row.memory_epoch, row.partners = row.link_epoch, b""
    known = [
        row.partners[at : at + PARTNER_BYTES] for at in range(0, len(row.partners), PARTNER_BYTES)
    ]
    added = [partner for partner in push.partners if partner not in known]
    if added:
        row.partners = b"".join((known + added)[-PARTNERS_MAX:])
        row.dirty = True


def apply_clear(working: ShardRows, push: ClearPush) -> None:
    """Ends a pending link, whatever else is newer; its outcome stays for duplicates."""
    working.put(rows.pending_key(push.position), None)
    outcome = OutcomeRow(
        rows.FORMAT, push.outcome, push.root, push.seq, push.drops, push.rules_version
    )
    working.put(rows.outcome_key(push.position), rows.encode(outcome))
