"""Spaces, rules, windows and limits with one rule missing; which one, `space_mutants.py` says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from tests.simulation.gateway import Gateway
from tests.simulation.nodes import ShardNode
from unify_grpc.identity import resolution
from unify_grpc.machines import append_run, journal, probing, pushed_rows, rows
from unify_grpc.machines.batch import FLAG_PROBE, Batch
from unify_grpc.machines.deleting import Deletions
from unify_grpc.machines.links import AgePush
from unify_grpc.machines.merge_machine import MergeMachine
from unify_grpc.machines.push_phases import push_to
from unify_grpc.machines.shard_machine import ShardMachine
from unify_grpc.machines.shard_reader import ShardReader
from unify_grpc.machines.tables import Working

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from unify_grpc.identity.rules import Limit, Rules
    from unify_grpc.machines.append_run import AppendRun
    from unify_grpc.machines.deletions import Ageing
    from unify_grpc.machines.framing import EarlierRules
    from unify_grpc.machines.links import Append, BindingPush, Push
    from unify_grpc.machines.reads import Locate, Located
    from unify_grpc.machines.shard_rows import ShardRows
    from unify_grpc.machines.tables import Changes, Decision

_locate = ShardReader._locate
_find_duplicate = append_run.AppendRun._find_duplicate
_finish_alone = append_run.AppendRun._finish_alone
_adopt_rules = append_run.AppendRun._adopt_rules
_list_pending = append_run.AppendRun._list_pending
_apply_binding = pushed_rows.apply_binding
_resolve = resolution.resolve
_earlier_rules = probing.earlier_rules


# -- rules that move anchors ----------------------------------------------------------------------


class AsksNobody(Gateway):
    """Stores under the anchor of today, whatever an event had before."""

    asks_earlier_anchors = False


class WaitsForOneBefore(Gateway):
    """Sends what was refused again when the batch right before it is stored."""

    waits_for_all_before = False


class PromotesSomeAgain(Gateway):
    """Promotes again only the events whose own question was refused."""

    promotes_all_again = False


class HoldsOnlyOwn(Gateway):
    """Stores accounts' sides before those of users' sides before them that were refused."""

    holds_accounts_back = False


class PassesTheTurnOn(HoldsOnlyOwn):
    """Lets those of later batches go, too."""

    keeps_account_turn = False


class StoresBesideWhatIsHeld(Gateway):
    """Stores an account's side of a message that a user's anchor holds."""

    keeps_to_what_is_held = False


def adopts_from_events_only(run: AppendRun) -> None:
    """Adopts no rules from a batch that only asks."""
    flags = [run.batch.frame(index).flags for index in range(len(run.batch.offsets))]
    if not flags or not all(each & FLAG_PROBE for each in flags):
        _adopt_rules(run)


def forgotten_when_replaced(
    newest: Rules, before: Iterable[tuple[Rules, int]], *, known_us: int
) -> tuple[EarlierRules, ...]:
    """Takes messages stored under replaced rules for forgotten at once."""
    del known_us
    return _earlier_rules(newest, before, known_us=0)


def the_last_before(
    newest: Rules, before: Iterable[tuple[Rules, int]], *, known_us: int
) -> tuple[EarlierRules, ...]:
    """Knows of the rules right before the present ones only."""
    return _earlier_rules(newest, list(before)[:1], known_us=known_us)


class ComparesOneSpace(ShardMachine):
    """Refuses a batch for the rules of the first space in it only."""

    def append(self, data: bytes, number: int) -> Decision[None, Append]:
        """Overlooks the others."""
        first = Batch(data).rules[:1]
        known = self.spaces
        self.spaces = {space: known[space] for space, _ in first if space in known}
        decision = super().append(data, number)
        self.spaces = known
        return decision


# -- spaces ---------------------------------------------------------------------------------------


def locate_in_any_space(reader: ShardReader, view: Any, question: Locate) -> Located:
    """Finds a profile whoever asks for it."""
    data = view.get(rows.MEMBER + question.key[:20].ljust(20, b"\0"))
    if data is not None:
        space = rows.MemberRow.unpack(data).space
        question = replace(question, space=space)
    return _locate(reader, view, question)


def one_secret(purpose: bytes, space: int) -> bytes:
    """Makes the keys of all spaces with one secret."""
    del space
    return purpose * 32


class RulesOfAll(MergeMachine):
    """Decides all spaces' links by the rules it was shown last."""

    def _adopt(self, space: int, row: journal.RulesRow) -> None:
        super()._adopt(space, row)
        self.rules.update(dict.fromkeys(self.rules, self.rules[space]))


class AgesEverybody(Deletions):
    """Ages all members there are, at their shards and here."""

    def _ages(self, ageing: Ageing) -> dict[int, Push]:
        phase = super()._ages(ageing)
        ages = [age for push in phase.values() for age in push.ages]
        working, shard_of = Working(self.view), self.shard_map.shard_of
        aged = {age.member for age in ages}
        for key, data in list(self.view.scan(journal.MEMBER)):
            member, row = key[1:], journal.decode_member(data)
            if member in aged:
                continue
            profile = journal.read_profile(working, row.root)
            age = AgePush(member, profile.space, profile.collection, ages[0].link_epoch)
            push_to(phase, shard_of(member)).ages.append(age)
        return phase


# -- the dedupe window ----------------------------------------------------------------------------


class ForgetsEarly(ShardNode):
    """Recognises messages for half of the window."""

    def _load(self) -> None:
        super()._load()
        self.machine.dedupe_window_us //= 2


def late_is_new(
    run: AppendRun, index: int, member: bytes, row: Any, mark: bytes, stamp_us: int
) -> Any:
    """Stores what comes late, if what is stored was received that much later."""
    found = _find_duplicate(run, index, member, row, mark, stamp_us)
    if found is None:
        return None
    stored = run._batch_at(found[0]).frame(found[0] & 0xFFFF)
    return None if stored.stamp_us - stamp_us > run.machine.dedupe_window_us else found


class _ForgetsDecisions:
    """A view without the links of rounds that every shard has confirmed."""

    def __init__(self, view: Any, confirmed: int) -> None:
        self.view = view
        self.confirmed = confirmed

    def get(self, key: bytes) -> bytes | None:
        """Reads a row, or hides it."""
        found: bytes | None = self.view.get(key)
        if found is None or key[:1] != journal.DECIDED:
            return found
        return None if journal.decode_decided(found).record <= self.confirmed else found


class ForgetsConfirmed(MergeMachine):
    """Forgets that a link was decided once its mark is cleared."""

    def _decide_round(self, number: int, decision: Any) -> None:
        view = self.view
        self.view = _ForgetsDecisions(view, self.confirmed)  # type: ignore[assignment]  # it answers what is asked
        super()._decide_round(number, decision)
        self.view = view


# -- events ---------------------------------------------------------------------------------------


def founds_for_history(run: AppendRun, member: bytes, row: Any, flag: int = 0) -> None:
    """Founds a profile for an alias that links nothing."""
    if run.known is None and len(run.statuses) in run.duplicates:
        run.statuses.append(flag)
        run.roots.append(row.root or member)
        return
    index = len(run.statuses)
    _finish_alone(run, index, member, row, (run.number << 16) + index)


def stamp_of_the_repetition(
    run: AppendRun, index: int, position: int, anchor: bytes, batch: Any, flag: int = 0
) -> None:
    """Lists a duplicate's link with the stamp of the newest attempt."""
    _list_pending(run, index, position, anchor, batch, flag)
    if run.pending:
        stamp_us = run.batch.frame(index).stamp_us
        run.pending[-1] = replace(run.pending[-1], stamp_us=stamp_us)


class FollowsNoNames(ShardMachine):
    """Stores events under the first life of their anchors."""

    def append(self, data: bytes, number: int) -> Decision[None, Append]:
        """Knows of no later life."""
        known, self.incarnations = self.incarnations, {}
        decision = super().append(data, number)
        self.incarnations = known
        return decision

    def replay(self, number: int, record: bytes) -> Changes:
        """Knows of none."""
        known, self.incarnations = self.incarnations, {}
        changes = super().replay(number, record)
        self.incarnations = known
        return changes


# -- links ----------------------------------------------------------------------------------------


def founder_stays(working: ShardRows, push: BindingPush) -> Any:
    """Leaves a member alone that founded a profile nobody knew of."""
    row = working.find_member(push.member)
    if row is not None and row.founded and row.root is None and not push.founding_known:
        return None
    return _apply_binding(working, push)


def no_void(working: ShardRows, push: BindingPush) -> None:
    """Says nothing of a founding that no decision knew of."""
    _apply_binding(working, push)


class _OneMore:
    """Rules under which every limited type has room for one more."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules

    def __getattr__(self, name: str) -> Any:
        return getattr(self._rules, name)

    def limit(self, type_: str) -> Limit | None:
        """Adds one."""
        limit = self._rules.limit(type_)
        return None if limit is None else limit._replace(count=limit.count + 1)


def one_more(
    candidates: Sequence[Any], owner: Mapping[Any, Any], rules: Rules, event_time_us: int
) -> Any:
    """Lets a profile that is full take one more."""
    return _resolve(candidates, owner, _OneMore(rules), event_time_us)  # type: ignore[arg-type]  # it answers what is asked


def backward_window(counting: Any, owned: Any) -> bool:
    """Counts only what was linked before the event, and not what was later."""
    limit = counting._limit(owned.type)
    if limit is None or limit.window_us is None:
        return True
    return bool(0 <= counting._event_time_us - owned.link_time_us < limit.window_us)


class _AnyMerges:
    """Rules without a bound on merges."""

    merges_max = 1 << 30

    def __init__(self, rules: Rules) -> None:
        self._rules = rules

    def __getattr__(self, name: str) -> Any:
        return getattr(self._rules, name)


def any_merges(
    candidates: Sequence[Any], owner: Mapping[Any, Any], rules: Rules, event_time_us: int
) -> Any:
    """Merges profiles however often they were merged before."""
    return _resolve(candidates, owner, _AnyMerges(rules), event_time_us)  # type: ignore[arg-type]  # it answers what is asked
