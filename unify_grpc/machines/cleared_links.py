"""What is listed when a link is decided and its mark cleared."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unify_grpc.machines import rows
from unify_grpc.machines.append_run import batch_in
from unify_grpc.machines.violations import note_decided_drops

if TYPE_CHECKING:
    from unify_grpc.machines.links import ClearPush
    from unify_grpc.machines.shard_rows import ShardRows


def note_cleared(working: ShardRows, push: ClearPush) -> None:
    """Lists what a decided link left out, when its mark is cleared for the first time."""
    if push.drops and working.get(rows.pending_key(push.position)) is not None:
        batch = batch_in(working.view.record(push.position >> 16))
        note_decided_drops(working, push.position, batch, push.drops)
