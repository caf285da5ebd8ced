"""What follows for lists and counts when a member is bound, or its identifier moves on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unify_grpc.machines import rows
from unify_grpc.machines.found_by import put_prefix, remove_prefix
from unify_grpc.machines.space_counts import is_profile
from unify_grpc.placement.members import KEY_BYTES, incarnation_of, member_of

if TYPE_CHECKING:
    from unify_grpc.machines.rows import MemberRow
    from unify_grpc.machines.shard_rows import ShardRows


def note_binding(
    working: ShardRows, member: bytes, row: MemberRow, *, was_bound: bool, was_profile: bool
) -> None:
    """Counts a member that was bound, and lets it be found if it came to a profile only now.

    Args:
        working: rows of the push at hand.
        member: that was bound.
        row: its row, afterwards.
        was_bound: whether an earlier decision had bound it.
        was_profile: whether a profile lived here under it.
    """
    is_new = not was_bound and not row.founded
    profiles = is_profile(member, row) - was_profile
    if is_new or profiles:
        working.count(row.space, identifiers=int(is_new), profiles=profiles)
    if is_new:
        present = working.get(rows.NAME + member[:KEY_BYTES])
        if present is None or int.from_bytes(present, "big") == incarnation_of(member):
            put_prefix(working, member, row)


def note_retired(working: ShardRows, key: bytes, incarnations: range) -> None:
    """Lets an identifier be found no more in lives that are over."""
    for incarnation in incarnations:
        member = member_of(key, incarnation)
        row = working.find_member(member)
        if row is not None and row.type:
            remove_prefix(working, member, row)
