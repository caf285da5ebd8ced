"""One event as it is kept, and how it is read from the log."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from unify_grpc.machines import rows
from unify_grpc.machines.append_run import batch_in
from unify_grpc.machines.batch import FLAG_ACCOUNT_SIDE, FLAG_DROPS, encode_body
from unify_grpc.machines.noted_drops import NotedDrop
from unify_grpc.machines.violations import promotion_drops

if TYPE_CHECKING:
    from unify_grpc.machines.readable_store import ReadableStore


class StoredEvent(msgspec.Struct, array_like=True, frozen=True):
    """One event as it is kept."""

    time_us: int
    message_id: str
    member: bytes
    type: int
    stamp_us: int
    source: int
    identifiers: list[tuple[str, str]]
    """(type, value) as promoted, the anchor first."""
    collection: int
    body: bytes
    outcome: int
    drops: list[tuple[int, int]]
    """(index into `identifiers`, drop reason), of what its link left out."""
    noted: list[NotedDrop] = []
    """What promotion left out."""

    @property
    def order(self) -> tuple[int, str, bytes]:
        """Its place among the events of a profile."""
        return self.time_us, self.message_id, self.member


def load_event(store: ReadableStore, member: bytes, position: int) -> StoredEvent:
    """Reads the event at a position of the log, which is stored under a member."""
    batch, at = batch_in(store.record(position >> 16)), position & 0xFFFF
    frame = batch.frame(at)
    body = batch.body(at, frame)
    with store.reading() as view:
        data = view.get(rows.outcome_key(position))
    outcome = rows.decode_outcome(data) if data is not None else None
    return StoredEvent(
        frame.time_us,
        body.message_id,
        member,
        frame.type,
        frame.stamp_us,
        frame.source,
        [(each.type, each.value) for each in batch.identifiers(at)],
        frame.flags & FLAG_ACCOUNT_SIDE,
        encode_body(body),
        outcome.outcome if outcome else 0,
        outcome.drops if outcome else [],
        promotion_drops(batch, at, frame) if frame.flags & FLAG_DROPS else [],
    )
