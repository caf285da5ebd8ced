"""Deliberate bugs in what keeps spaces, versions of rules and repetitions apart."""

from __future__ import annotations

from tests.simulation import control
from tests.simulation.mutant import Mutant
from tests.simulation.mutant_spaces import (
    AgesEverybody,
    AsksNobody,
    ComparesOneSpace,
    FollowsNoNames,
    ForgetsConfirmed,
    ForgetsEarly,
    HoldsOnlyOwn,
    PassesTheTurnOn,
    PromotesSomeAgain,
    RulesOfAll,
    StoresBesideWhatIsHeld,
    WaitsForOneBefore,
    adopts_from_events_only,
    any_merges,
    backward_window,
    forgotten_when_replaced,
    founder_stays,
    founds_for_history,
    late_is_new,
    locate_in_any_space,
    no_void,
    one_more,
    one_secret,
    stamp_of_the_repetition,
    the_last_before,
)
from tests.simulation.racing import draw_racing
from tests.simulation.world import Parts
from unify_grpc.identity import resolution
from unify_grpc.machines import append_run, merge_machine, shard_machine, shard_reader

_RUN = append_run.AppendRun

SPACE_MUTANTS = (
    Mutant(
        name="earlier_anchors_not_asked",
        breaks="a message takes effect once though rules moved its anchor",
        seed=37,
        parts=Parts(gateway=AsksNobody),
    ),
    Mutant(
        name="questions_adopt_nothing",
        breaks="a shard that is asked stores nothing promoted under earlier rules afterwards",
        seed=169,
        patches=((_RUN, "_adopt_rules", adopts_from_events_only),),
    ),
    Mutant(
        name="replaced_rules_forgotten",
        breaks="earlier anchors are asked for as long as messages are recognised",
        seed=37,
        patches=((control, "earlier_rules", forgotten_when_replaced),),
    ),
    Mutant(
        name="lease_not_added",
        breaks="messages of a gateway that missed a change are found as long as any",
        seed=37,
        patches=((control, "KNOWN_LONGER_US", 0),),
    ),
    Mutant(
        name="last_rules_only",
        breaks="anchors under all earlier versions are asked",
        seed=59,
        patches=((control, "earlier_rules", the_last_before),),
    ),
    Mutant(
        name="refused_waits_for_one_before",
        breaks="what is promoted again comes behind all that was sent before it",
        seed=11,
        parts=Parts(gateway=WaitsForOneBefore),
        plan=draw_racing,
    ),
    Mutant(
        name="some_promoted_again",
        breaks="an event whose batch waited for a refused question is stored",
        seed=8,
        parts=Parts(gateway=PromotesSomeAgain),
    ),
    Mutant(
        name="accounts_before_refused",
        breaks="of a batch, an account's side comes behind those of the events before it",
        seed=1029274,
        parts=Parts(gateway=HoldsOnlyOwn),
    ),
    Mutant(
        name="account_turn_passed_on",
        breaks="accounts' sides of what was refused are not overtaken",
        seed=13,
        parts=Parts(gateway=PassesTheTurnOn),
        plan=draw_racing,
    ),
    Mutant(
        name="stored_beside_what_is_held",
        breaks="of a message that an earlier anchor holds nothing else is stored",
        seed=1631,
        parts=Parts(gateway=StoresBesideWhatIsHeld),
        plan=draw_racing,
    ),
    Mutant(
        name="rules_of_one_space_compared",
        breaks="of a batch of several spaces the rules of each are compared",
        seed=27,
        parts=Parts(shard_machine=ComparesOneSpace),
    ),
    Mutant(
        name="found_from_any_space",
        breaks="nothing of one space is reached from another",
        seed=19,
        patches=((shard_reader.ShardReader, "_locate", locate_in_any_space),),
    ),
    Mutant(
        name="one_secret_for_all",
        breaks="equal identifiers of two spaces are two",
        seed=19,
        patches=((control, "_secret", one_secret),),
    ),
    Mutant(
        name="rules_of_another_space",
        breaks="links are decided by the rules of their space",
        seed=81,
        parts=Parts(merge_machine=RulesOfAll),
    ),
    Mutant(
        name="everybody_ages",
        breaks="a deletion ages the members of its profile only",
        seed=3,
        patches=((merge_machine, "Deletions", AgesEverybody),),
    ),
    Mutant(
        name="window_too_short",
        breaks="a message is recognised till the end of the window",
        seed=1,
        parts=Parts(shard_node=ForgetsEarly),
    ),
    Mutant(
        name="late_is_new",
        breaks="what was received before what is stored, and comes after it, is no news",
        seed=6,
        patches=((_RUN, "_find_duplicate", late_is_new),),
    ),
    Mutant(
        name="decided_forgotten_when_confirmed",
        breaks="decided links are remembered for as long as messages are recognised",
        seed=1,
        parts=Parts(merge_machine=ForgetsConfirmed),
    ),
    Mutant(
        name="history_founds",
        breaks="an alias that links nothing founds nothing",
        seed=6,
        patches=((_RUN, "_keep_history", founds_for_history),),
    ),
    Mutant(
        name="stamp_of_the_repetition",
        breaks="a duplicate's link is decided as it was stored",
        seed=0,
        patches=((_RUN, "_list_pending", stamp_of_the_repetition),),
    ),
    Mutant(
        name="names_not_followed",
        breaks="what is sent after a deletion is stored in the next life of its anchor",
        seed=3,
        parts=Parts(shard_machine=FollowsNoNames),
    ),
    Mutant(
        name="void_founder_stays",
        breaks="a member that founded a profile unknown to its link is bound like any other",
        seed=1,
        patches=((shard_machine, "apply_binding", founder_stays),),
    ),
    Mutant(
        name="void_not_reported",
        breaks="a push reports the foundings that no decision knew of",
        seed=45,
        patches=((shard_machine, "apply_binding", no_void),),
    ),
    Mutant(
        name="limit_unchecked_at_the_edge",
        breaks="no decision exceeds a limit, by one either",
        seed=0,
        patches=((merge_machine, "resolve", one_more),),
    ),
    Mutant(
        name="windows_look_back_only",
        breaks="a limit's window reaches to both sides of the event",
        seed=3,
        patches=((resolution._Counting, "_in_window", backward_window),),
    ),
    Mutant(
        name="merges_unbounded",
        breaks="no profile absorbs more than its cap",
        seed=0,
        patches=((merge_machine, "resolve", any_merges),),
    ),
)
