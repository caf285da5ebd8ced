"""In which life of its identifier an event was stored."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unify_grpc.machines import rows
from unify_grpc.machines.rows import MemberRow
from unify_grpc.placement.members import member_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from unify_grpc.machines.readable_store import RowView


def member_holding(
    view: RowView, incarnations: Mapping[bytes, int], key: bytes, position: int
) -> tuple[bytes, MemberRow] | None:
    """Returns the member of a key that holds the event at a position, and its row.

    Lives follow one another, so an event lies between the first and the last of exactly one.
    """
    for life in range(incarnations.get(key, 0), -1, -1):
        member = member_of(key, life)
        data = view.get(rows.MEMBER + member)
        if data is not None:
            row = MemberRow.unpack(data)
            if row.event_count and row.first_pos <= position <= row.last_pos:
                return member, row
    return None
