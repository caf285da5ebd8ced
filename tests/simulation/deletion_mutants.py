"""Deliberate bugs in how identifiers are deleted."""

from __future__ import annotations

from tests.simulation.mutant import Mutant
from tests.simulation.mutant_deletion import (
    ActsAtOnce,
    AnswersAlone,
    AnswersDeletionsAtOnce,
    ForgetsTheOpen,
    ForgetsWhatItRecovered,
    LeavesOneOut,
    PushesNoProfile,
    RemembersOldDecisions,
    RemembersWhileItAges,
    duplicates_in_this_life,
    late_memory_taken,
    merge_keeps_memory,
    merge_takes_epoch,
    not_found,
    old_memory_used,
)
from tests.simulation.world import Parts
from unify_grpc.machines import append_run, deletions, journal, merge_machine, shard_machine

DELETION_MUTANTS = (
    Mutant(
        name="acts_before_it_aged",
        breaks="all shards age before anything is deleted",
        seed=47,
        patches=((merge_machine, "Deletions", ActsAtOnce),),
    ),
    Mutant(
        name="one_member_not_aged",
        breaks="every member of the profile ages",
        seed=3,
        patches=((merge_machine, "Deletions", LeavesOneOut),),
    ),
    Mutant(
        name="old_memory_used",
        breaks="memory from before the last ageing is not used",
        seed=7,
        patches=((append_run.AppendRun, "_knows_partners", old_memory_used),),
    ),
    Mutant(
        name="late_memory_taken",
        breaks="memory that comes after an ageing it was decided before is not taken",
        seed=108,
        patches=((shard_machine, "apply_memory", late_memory_taken),),
    ),
    Mutant(
        name="remembered_while_ageing",
        breaks="a decision on the ageing profile leaves no memory",
        seed=76,
        patches=((merge_machine, "Deletions", RemembersWhileItAges),),
    ),
    Mutant(
        name="merge_keeps_memory",
        breaks="a partner that was remembered shows what joins the profile it moved to",
        seed=1173230,
        patches=((journal, "apply_decision", merge_keeps_memory),),
    ),
    Mutant(
        name="merge_takes_epoch",
        breaks="no merge lowers a link epoch",
        seed=56,
        patches=((journal, "apply_decision", merge_takes_epoch),),
    ),
    Mutant(
        name="old_memory_pushed_again",
        breaks="a restart pushes no memory of decisions older than the last ageing",
        seed=173,
        patches=((merge_machine, "PushPhases", RemembersOldDecisions),),
    ),
    Mutant(
        name="profile_not_hidden",
        breaks="what was deleted is listed no more",
        seed=3,
        patches=((merge_machine, "Deletions", PushesNoProfile),),
    ),
    Mutant(
        name="open_ageing_forgotten",
        breaks="an ageing cut by a crash is followed by its deletion",
        seed=47,
        patches=((merge_machine, "Deletions", ForgetsTheOpen),),
    ),
    Mutant(
        name="deletion_answered_at_once",
        breaks="a deletion is answered when every shard has it",
        seed=3,
        parts=Parts(merge_machine=AnswersDeletionsAtOnce),
    ),
    Mutant(
        name="deletion_answered_alone",
        breaks="a deletion is answered when the merges before it are everywhere",
        seed=3,
        patches=((merge_machine, "Deletions", AnswersAlone),),
    ),
    Mutant(
        name="deletion_answered_before_later_merges",
        breaks="a deletion pushed again is answered when the merges behind it are everywhere",
        seed=1360653,
        patches=((merge_machine, "Deletions", ForgetsWhatItRecovered),),
    ),
    Mutant(
        name="deletion_not_known_again",
        breaks="a request that is repeated deletes once",
        seed=12,
        patches=((deletions, "find_done", not_found),),
    ),
    Mutant(
        name="duplicates_of_this_life_only",
        breaks="a message stays known over a deletion",
        seed=3,
        patches=((append_run.AppendRun, "_find_duplicate", duplicates_in_this_life),),
    ),
)
