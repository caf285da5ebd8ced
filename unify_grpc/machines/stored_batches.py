"""What is noted of a whole batch once its events are stored: activity and counts, by space."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from unify_grpc.machines.activity import note_activity
from unify_grpc.machines.batch import FLAG_REFUSED

if TYPE_CHECKING:
    from collections.abc import Collection

    from unify_grpc.machines.batch import Batch
    from unify_grpc.machines.shard_rows import ShardRows


def note_stored(
    working: ShardRows,
    batch: Batch,
    number: int,
    *,
    repeated: Collection[int],
    refused_count: int,
) -> None:
    """Notes which spaces a record holds events of, and how many.

    Args:
        working: rows of the command at hand.
        batch: its events are laid over `working` already.
        number: of the record.
        repeated: indexes of what was stored before.
        refused_count: how many records of refused events are new.
    """
    stored_count = len(batch.offsets) - len(repeated) - refused_count
    if not stored_count:
        return
    if len(batch.rules) == 1:
        counted = {batch.rules[0][0]: stored_count}
    else:
        frames = (batch.frame(at) for at in range(len(batch.offsets)) if at not in repeated)
        counted = Counter(frame.space for frame in frames if not frame.flags & FLAG_REFUSED)
    for space, count in counted.items():
        note_activity(working, space, number)
        working.count(space, events=count)
