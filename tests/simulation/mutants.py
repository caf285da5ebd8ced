"""The deliberate bugs, each of which has to be found: which rule is taken away, and how."""

from __future__ import annotations

from tests.simulation import nodes
from tests.simulation.backup_mutants import BACKUP_MUTANTS
from tests.simulation.deletion_mutants import DELETION_MUTANTS
from tests.simulation.mutant import Mutant
from tests.simulation.mutant_merge import (
    AcksAtOnce,
    AcksRepeatsAtOnce,
    AnyAckCounts,
    AnyLookUpCounts,
    BindingsFirst,
    CachesLookUps,
    ChangedBindingsOnly,
    ClearsEarly,
    ConfirmsEarly,
    DecidesTwice,
    ForgetsAbsorbed,
    LookUpsFirst,
    MemoryEarly,
    ProfilesAlone,
    PushesNothingAgain,
    beyond_cuts,
    created_by_event_time,
    not_raised,
    shard_by_shard,
)
from tests.simulation.mutant_pairs import (
    AccountsOvertake,
    ClearsOwedEarly,
    FollowsThePayload,
    first_come_link,
    no_link_of_duplicates,
    no_owed_mark,
)
from tests.simulation.mutant_shard import (
    AdoptsStaleRules,
    AnswersBeforeCommit,
    CheckpointWithoutPosition,
    FoundingNotPassedOn,
    HandsOverAlone,
    PushesBeforeCommit,
    ReplaysDuplicates,
    SendsAllAtOnce,
    bundled_clear,
    duplicates_finished,
    founder_with_seq,
    no_clear,
    no_dedupe,
    no_outcome,
    no_pending_mark,
    profile_without_founder,
    some_partner,
    unversioned_binding,
    unversioned_profile,
)
from tests.simulation.space_mutants import SPACE_MUTANTS
from tests.simulation.storage_mutants import STORAGE_MUTANTS
from tests.simulation.world import Parts
from unify_grpc.machines import append_pairs, append_run, merge_machine, owed_sides, shard_machine

_RUN = append_run.AppendRun
_PAIRS = append_pairs.AppendPairs

MUTANTS = (
    Mutant(
        name="no_dedupe",
        breaks="a message id takes effect once",
        seed=5,
        patches=((_RUN, "_find_duplicate", no_dedupe),),
    ),
    Mutant(
        name="duplicates_stored_on_replay",
        breaks="replay gives the rows that the commands gave",
        seed=2,
        parts=Parts(shard_machine=ReplaysDuplicates),
    ),
    Mutant(
        name="duplicate_of_pending_acked",
        breaks="a re-send is acked RESOLVED only when the first would be",
        seed=5,
        patches=((_RUN, "_answer_duplicate", duplicates_finished),),
    ),
    Mutant(
        name="outcome_not_kept",
        breaks="a duplicate is answered with the stored outcome",
        seed=0,
        patches=((shard_machine, "apply_clear", no_outcome),),
    ),
    Mutant(
        name="acked_at_decision",
        breaks="RESOLVED is acked after phase 2",
        seed=3,
        parts=Parts(merge_machine=AcksAtOnce),
    ),
    Mutant(
        name="repeat_acked_at_once",
        breaks="a link that was decided waits for that decision's phase 2",
        seed=0,
        parts=Parts(merge_machine=AcksRepeatsAtOnce),
    ),
    Mutant(
        name="answered_before_commit",
        breaks="what was acked is durable",
        seed=6,
        parts=Parts(shard_node=AnswersBeforeCommit),
    ),
    Mutant(
        name="pushed_before_commit",
        breaks="what the merge actor pushes is in its journal",
        seed=642,
        parts=Parts(merge_node=PushesBeforeCommit, disk_store=None),
    ),
    Mutant(
        name="bindings_without_versions",
        breaks="an older binding is ignored",
        seed=0,
        patches=((shard_machine, "apply_binding", unversioned_binding),),
    ),
    Mutant(
        name="profiles_without_versions",
        breaks="an older profile row is ignored",
        seed=245,
        patches=((shard_machine, "apply_profile", unversioned_profile),),
    ),
    Mutant(
        name="bindings_before_profiles",
        breaks="targets before pointers",
        seed=1,
        patches=((merge_machine, "PushPhases", BindingsFirst),),
    ),
    Mutant(
        name="founder_not_bound_with_profile",
        breaks="a profile row binds its founding member in the same commit",
        seed=0,
        patches=(
            (merge_machine, "PushPhases", ProfilesAlone),
            (shard_machine, "apply_profile", profile_without_founder),
        ),
    ),
    Mutant(
        name="founder_outranks_its_binding",
        breaks="how a founding member joined is kept, also when later rows travel with it",
        seed=0,
        patches=((shard_machine, "apply_profile", founder_with_seq),),
    ),
    Mutant(
        name="memory_with_bindings",
        breaks="link memory comes after every ack of phase 2",
        seed=5,
        patches=((merge_machine, "PushPhases", MemoryEarly),),
    ),
    Mutant(
        name="clearing_with_bindings",
        breaks="a pending mark is cleared after every ack of phase 2",
        seed=70,
        patches=((merge_machine, "PushPhases", ClearsEarly),),
    ),
    Mutant(
        name="changed_bindings_only",
        breaks="an ack waits for its own rows, all of which its decision pushes",
        seed=263,
        patches=((merge_machine, "PushPhases", ChangedBindingsOnly),),
    ),
    Mutant(
        name="absorbed_not_rebound",
        breaks="a decision binds every member that it moves",
        seed=9,
        patches=((merge_machine, "PushPhases", ForgetsAbsorbed),),
    ),
    Mutant(
        name="decided_twice",
        breaks="a link is decided once",
        seed=5,
        parts=Parts(merge_machine=DecidesTwice),
    ),
    Mutant(
        name="clearing_tied_to_a_version",
        breaks="a mark is cleared whatever else is newer",
        seed=4,
        patches=((shard_machine, "apply_clear", bundled_clear),),
    ),
    Mutant(
        name="never_cleared",
        breaks="no link stays pending",
        seed=4,
        patches=((shard_machine, "apply_clear", no_clear),),
    ),
    Mutant(
        name="no_pending_mark",
        breaks="a link whose gateway dies is found again",
        seed=5,
        patches=((_RUN, "_list_pending", no_pending_mark),),
    ),
    Mutant(
        name="look_ups_cached",
        breaks="a founding that was acked before an event was sent is seen",
        seed=93,
        parts=Parts(merge_machine=CachesLookUps),
    ),
    Mutant(
        name="look_ups_over_tables",
        breaks="a look-up never overrides the merge actor's own tables",
        seed=9,
        parts=Parts(merge_machine=LookUpsFirst),
    ),
    Mutant(
        name="look_up_of_an_earlier_round",
        breaks="an answer counts for the question it answers",
        seed=256,
        parts=Parts(merge_machine=AnyLookUpCounts),
    ),
    Mutant(
        name="ack_of_an_earlier_push",
        breaks="an ack counts for the push it answers",
        seed=0,
        parts=Parts(merge_machine=AnyAckCounts),
    ),
    Mutant(
        name="answer_to_an_earlier_life",
        breaks="an answer to an earlier life of the merge actor reaches nobody",
        seed=1746,
        parts=Parts(answers_end_with_caller=False),
    ),
    Mutant(
        name="stream_order_ignored",
        breaks="a founding later in the link's stream did not exist before it",
        seed=9,
        patches=((merge_machine, "existed_before", lambda founding, link: True),),  # noqa: ARG005  # named as in the function
    ),
    Mutant(
        name="founding_not_passed_on",
        breaks="a pending link carries its anchor's founding",
        seed=4,
        parts=Parts(shard_machine=FoundingNotPassedOn),
    ),
    Mutant(
        name="nothing_pushed_after_a_start",
        breaks="what was not confirmed is pushed again after a start",
        seed=0,
        parts=Parts(merge_machine=PushesNothingAgain),
    ),
    Mutant(
        name="confirmed_too_early",
        breaks="a round is confirmed when it and all before it are visible",
        seed=143,
        parts=Parts(merge_machine=ConfirmsEarly),
    ),
    Mutant(
        name="no_sweep_at_start",
        breaks="the merge actor sweeps right after its start",
        seed=1,
        parts=Parts(sweeps_at_start=False),
    ),
    Mutant(
        name="swept_shard_by_shard",
        breaks="a sweep takes links up in the order of their stamps",
        seed=11,
        patches=((nodes, "in_order", shard_by_shard),),
    ),
    Mutant(
        name="swept_beyond_a_cut",
        breaks="a sweep leaves what lies beyond the end of a list that was cut",
        seed=304,
        patches=((nodes, "in_order", beyond_cuts),),
    ),
    Mutant(
        name="stale_rules_stored",
        breaks="rules older than the shard has seen are refused",
        seed=0,
        parts=Parts(shard_machine=AdoptsStaleRules),
    ),
    Mutant(
        name="checkpoint_without_position",
        breaks="a checkpoint stands for a log position",
        seed=6,
        parts=Parts(store=CheckpointWithoutPosition),
    ),
    Mutant(
        name="created_by_event_time",
        breaks="created first is decided by stamps",
        seed=9,
        patches=((merge_machine, "write_down", created_by_event_time),),
    ),
    Mutant(
        name="stamp_not_raised",
        breaks="a linked profile's stamp is not below any earlier one in the journal",
        seed=10,
        patches=((merge_machine, "write_down", not_raised),),
    ),
    Mutant(
        name="one_partner_is_enough",
        breaks="known traffic is that whose every identifier is a partner",
        seed=7,
        patches=((_RUN, "_knows_partners", some_partner),),
    ),
    Mutant(
        name="appends_not_queued",
        breaks="a founding earlier in the stream is seen by its links",
        seed=0,
        parts=Parts(gateway=SendsAllAtOnce),
    ),
    Mutant(
        name="links_handed_over_alone",
        breaks="the links of a stream are decided in its order",
        seed=6,
        parts=Parts(gateway=HandsOverAlone),
    ),
    Mutant(
        name="owed_side_not_marked",
        breaks="a user's side is marked as owing its account's in its own commit",
        seed=3,
        patches=((_PAIRS, "store", no_owed_mark),),
    ),
    Mutant(
        name="owed_side_cleared_early",
        breaks="a mark stands until the account's side is durable",
        seed=147,
        parts=Parts(gateway=ClearsOwedEarly),
    ),
    Mutant(
        name="owed_sides_not_swept",
        breaks="what a gateway that ended has begun is finished by another",
        seed=16,
        parts=Parts(sweeps_owed=False),
    ),
    Mutant(
        name="account_of_the_repetition",
        breaks="of a message sent twice with two accounts the first stands",
        seed=81,
        parts=Parts(gateway=FollowsThePayload),
    ),
    Mutant(
        name="accounts_overtake",
        breaks="accounts' sides are stored in the order of their stream",
        seed=197,
        parts=Parts(gateway=AccountsOvertake),
    ),
    Mutant(
        name="duplicates_not_linked",
        breaks="an account's side links its user though the account knows the message",
        seed=941,
        patches=((_PAIRS, "repeat", no_link_of_duplicates),),
    ),
    Mutant(
        name="first_come_link",
        breaks="a link is as old as the oldest event that named both",
        seed=39,
        patches=((owed_sides, "put_link", first_come_link),),
    ),
    *BACKUP_MUTANTS,
    *DELETION_MUTANTS,
    *SPACE_MUTANTS,
    *STORAGE_MUTANTS,
)
