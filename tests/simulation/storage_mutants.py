"""Deliberate bugs in how stores and their processes keep what they promised."""

from __future__ import annotations

from tests.simulation.mutant import Mutant
from tests.simulation.mutant_store import (
    AcksRefused,
    AnswersOutdated,
    CheckpointsInTwo,
    DedupeApart,
    DropsFailedCheckpoint,
    FailedCheckpointWins,
    FrozenHidden,
    GivesUpOnFull,
    KeepsRefusedRows,
    OverlayAfterTransaction,
    PositionFirst,
    PositionOfNow,
    PublishesBeforeCommit,
    RowsUnfenced,
    SettlesOnOldSnapshot,
    SkipsFirst,
    TakesUnknownForDone,
    Unsynced,
    any_position,
    late_epoch,
    no_position,
    unchecked,
)
from tests.simulation.world import Parts
from unify_grpc.storage import store as store_module
from unify_grpc.storage.fence import Fence

STORAGE_MUTANTS = (
    Mutant(
        name="no_fence",
        breaks="whoever opened a store before another writes nothing more",
        seed=46,
        patches=((Fence, "check", unchecked),),
    ),
    Mutant(
        name="epoch_raised_late",
        breaks="an opening keeps the process before it from writing",
        seed=50,
        patches=((store_module, "_raise_epoch", late_epoch),),
    ),
    Mutant(
        name="checkpoints_unfenced",
        breaks="no checkpoint of an earlier process comes over those of a later one",
        seed=23,
        parts=Parts(disk_store=RowsUnfenced),
        patches=((store_module, "check_later", any_position),),
    ),
    Mutant(
        name="earlier_process_answers",
        breaks="two processes never serve one store: the lock on its directory",
        seed=1617,
        parts=Parts(shard_node=AnswersOutdated),
    ),
    Mutant(
        name="position_not_written",
        breaks="a checkpoint stands for a log position",
        seed=0,
        patches=((store_module, "write_position", no_position),),
    ),
    Mutant(
        name="position_of_now",
        breaks="a checkpoint stands for what was published when it was begun",
        seed=24,
        parts=Parts(disk_store=PositionOfNow),
    ),
    Mutant(
        name="checkpoint_in_two_commits",
        breaks="a checkpoint is one transaction",
        seed=11,
        parts=Parts(disk_store=CheckpointsInTwo),
    ),
    Mutant(
        name="position_before_rows",
        breaks="a checkpoint's position is durable with its rows, not before",
        seed=11,
        parts=Parts(disk_store=PositionFirst),
    ),
    Mutant(
        name="dedupe_in_another_commit",
        breaks="which messages are known is written with what they did",
        seed=34,
        parts=Parts(disk_store=DedupeApart),
    ),
    Mutant(
        name="overlay_after_transaction",
        breaks="a reader takes the overlays first and then its transaction",
        seed=89,
        parts=Parts(disk_store=OverlayAfterTransaction),
    ),
    Mutant(
        name="frozen_rows_hidden",
        breaks="readers see the rows of a checkpoint that is under way",
        seed=0,
        parts=Parts(disk_store=FrozenHidden),
    ),
    Mutant(
        name="settled_on_old_snapshot",
        breaks="the writer drops the frozen rows together with the snapshot before them",
        seed=0,
        parts=Parts(disk_store=SettlesOnOldSnapshot),
    ),
    Mutant(
        name="failed_checkpoint_dropped",
        breaks="the rows of a checkpoint without room stay",
        seed=20,
        parts=Parts(disk_store=DropsFailedCheckpoint),
    ),
    Mutant(
        name="failed_checkpoint_wins",
        breaks="the rows of a checkpoint without room go below newer ones",
        seed=612,
        parts=Parts(disk_store=FailedCheckpointWins),
    ),
    Mutant(
        name="replay_skips_a_record",
        breaks="a start replays the whole tail",
        seed=0,
        parts=Parts(disk_store=SkipsFirst),
    ),
    Mutant(
        name="published_before_commit",
        breaks="nobody sees what is not durable",
        seed=0,
        parts=Parts(shard_node=PublishesBeforeCommit),
    ),
    Mutant(
        name="refused_rows_kept",
        breaks="a record that found no room leaves nothing behind",
        seed=1,
        parts=Parts(shard_node=KeepsRefusedRows),
    ),
    Mutant(
        name="refusal_acked",
        breaks="what found no room is refused",
        seed=0,
        parts=Parts(shard_node=AcksRefused),
    ),
    Mutant(
        name="unknown_commit_taken_for_done",
        breaks="a process ends after a commit of unknown outcome",
        seed=0,
        parts=Parts(disk_store=TakesUnknownForDone),
    ),
    Mutant(
        name="commit_not_synced",
        breaks="a commit waits for the disk",
        seed=0,
        parts=Parts(disk_store=Unsynced),
    ),
    Mutant(
        name="merge_gives_up_without_room",
        breaks="the merge actor waits for room with what it decided",
        seed=115,
        parts=Parts(merge_node=GivesUpOnFull),
    ),
)
