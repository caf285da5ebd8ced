"""How a shard applies the rows that the merge actor decided. Older ones are ignored."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from unify_grpc.machines import rows
from unify_grpc.machines.links import Founding, Void
from unify_grpc.machines.rows import OutcomeRow, ProfileRow

if TYPE_CHECKING:
    from unify_grpc.machines.links import BindingPush, ClearPush, MemoryPush, ProfilePush
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
    row = ProfileRow(rows.FORMAT, push.space, push.seq, push.created_us, push.merges, push.members)
    working.put(key, rows.encode(row))
    founder = working.member(push.root, push.space, push.collection)
    if founder.root is None:
        founder.root, founder.dirty = push.root, True


def apply_binding(working: ShardRows, push: BindingPush) -> Void | None:
    """Binds a member to a profile; returns the founding that no decision knew of, if it had one."""
    row = working.member(push.member, push.space, push.collection)
    if push.seq < row.seq:
        return None
    void = None
    if row.founded and row.root is None and not push.founding_known:
        founding = founding_of(row)
        assert founding is not None
        void = Void(push.member, push.root, push.seq, founding)
    row.root, row.seq = push.root, push.seq
    row.type, row.value = push.type, push.value
    row.joined_us, row.joined_source = push.joined_us, push.source
    row.joined_message_id = push.message_id
    row.dirty = True
    return void


def apply_memory(working: ShardRows, push: MemoryPush) -> None:
    """Remembers partners of an anchor; memory of an older epoch than the row's is not used."""
    row = working.find_member(push.anchor)
    assert row is not None, "memory for an anchor without a row"
    if push.epoch < row.memory_epoch:
        return
    if push.epoch > row.memory_epoch:
        row.memory_epoch, row.partners = push.epoch, b""
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
    outcome = OutcomeRow(rows.FORMAT, push.outcome, push.root, push.seq, push.drops)
    working.put(rows.outcome_key(push.position), rows.encode(outcome))
