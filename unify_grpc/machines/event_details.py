"""What a shard's log says of single events: those of links, and those that founded a profile."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unify_grpc.machines import rows
from unify_grpc.machines.append_run import batch_in
from unify_grpc.machines.links import Founding
from unify_grpc.machines.reads import FoundedMember, ToldEvent
from unify_grpc.machines.rows import MemberRow

if TYPE_CHECKING:
    from unify_grpc.machines.readable_store import ReadableStore

ROWS_AT_ONCE = 256
"""Read in one while, for the writer's publishing waits meanwhile."""


def tell_events(store: ReadableStore, positions: list[int]) -> list[ToldEvent]:
    """Returns the kind and name of the events at these positions of the log."""
    told = []
    for position in positions:
        batch, at = batch_in(store.record(position >> 16)), position & 0xFFFF
        frame = batch.frame(at)
        told.append(ToldEvent(frame.type, batch.body(at, frame).name))
    return told


def find_foundings(store: ReadableStore, space: int, members: list[bytes]) -> list[FoundedMember]:
    """Returns those of these members that an event founded a profile for by itself.

    The event is looked up in the log, for a member's row says by which event it joined the
    profile that it is on now.
    """
    founded = []
    for row, member in _rows_of(store, members):
        if row.founded and row.space == space:
            batch, at = batch_in(store.record(row.founding_pos >> 16)), row.founding_pos & 0xFFFF
            frame = batch.frame(at)
            founding = Founding(
                row.founding_stamp_us,
                row.founding_stream,
                row.founding_us,
                frame.source,
                batch.body(at, frame).message_id,
            )
            founded.append(FoundedMember(member, founding))
    return founded


def _rows_of(store: ReadableStore, members: list[bytes]) -> list[tuple[MemberRow, bytes]]:
    found = []
    for start in range(0, len(members), ROWS_AT_ONCE):
        with store.reading() as view:
            for member in members[start : start + ROWS_AT_ONCE]:
                data = view.get(rows.MEMBER + member)
                if data is not None:
                    found.append((MemberRow.unpack(data), member))
    return found
