"""Deletions with one rule missing; which one, `mutants.py` says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from unify_grpc.machines import append_run, deleting, journal, pushed_rows
from unify_grpc.machines.deleting import Deletions
from unify_grpc.machines.links import partner_of
from unify_grpc.machines.merge_machine import MergeMachine
from unify_grpc.machines.push_phases import PushPhases

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from unify_grpc.machines.append_run import AppendRun
    from unify_grpc.machines.deletions import Ageing, OpenRow
    from unify_grpc.machines.journal import Decision as LinkDecision
    from unify_grpc.machines.links import MemoryPush, Push
    from unify_grpc.machines.merge_messages import Message
    from unify_grpc.machines.rows import MemberRow
    from unify_grpc.machines.shard_rows import ShardRows
    from unify_grpc.machines.tables import Decision, Working

_apply_decision = journal.apply_decision
_apply_memory = pushed_rows.apply_memory
_knows_partners = append_run.AppendRun._knows_partners
_find_duplicate = append_run.AppendRun._find_duplicate


class ActsAtOnce(Deletions):
    """Deletes as soon as the ageing is durable, whoever has aged."""

    def committed(self, record: bytes, number: int) -> int | None:
        """Takes the ageing for done."""
        seq = super().committed(record, number)
        self._is_aged = self._open is not None
        return seq


class LeavesOneOut(Deletions):
    """Ages all members of a profile but the last."""

    def _ages(self, ageing: Ageing) -> dict[int, Push]:
        phase = super()._ages(ageing)
        ages = [(push, age) for push in phase.values() for age in push.ages]
        if len(ages) > 1:
            push, age = max(ages, key=lambda each: each[1].member)
            push.ages.remove(age)
        return phase


def late_memory_taken(working: ShardRows, push: MemoryPush) -> None:
    """Remembers whatever comes, however often its anchor has aged since it was decided."""
    row = working.find_member(push.anchor)
    assert row is not None
    _apply_memory(working, replace(push, link_epoch=row.link_epoch))


def old_memory_used(run: AppendRun, row: MemberRow, at: int, count: int) -> bool:
    """Takes for known what was remembered before the anchor aged."""
    before, row.memory_epoch = row.memory_epoch, row.link_epoch
    is_known = _knows_partners(run, row, at, count)
    row.memory_epoch = before
    return is_known


class RemembersWhileItAges(Deletions):
    """Lets decisions leave memory while their profile ages."""

    def is_ageing(self, working: Working, root: bytes) -> bool:
        """Says no."""
        del working, root
        return False


def merge_takes_epoch(working: Working, decision: LinkDecision, record: int, at: int) -> None:
    """Gives absorbed members the link epoch of the profile that survives."""
    before = journal.find_member(working, decision.root)
    _apply_decision(working, decision, record, at)
    if before is None or not decision.absorbed:
        return
    for member, *_ in journal.read_profile(working, decision.root).members:
        row = journal.find_member(working, member)
        assert row is not None
        lowered = replace(row, link_epoch=before.link_epoch)
        working.put(journal.MEMBER + member, journal.encode(lowered))


def merge_keeps_memory(working: Working, decision: LinkDecision, record: int, at: int) -> None:
    """Lets absorbed members remember their partners, who may not have moved yet."""
    profiles = [journal.read_profile(working, each) for each in decision.absorbed]
    before = {
        each[0]: journal.find_member(working, each[0]) for row in profiles for each in row.members
    }
    _apply_decision(working, decision, record, at)
    for member, old in before.items():
        row = journal.find_member(working, member)
        assert row is not None
        assert old is not None
        kept = replace(row, link_epoch=old.link_epoch)
        working.put(journal.MEMBER + member, journal.encode(kept))


class RemembersOldDecisions(PushPhases):
    """Pushes memory of decisions older than the anchor's last ageing."""

    def add(self, decision: LinkDecision) -> None:
        """Adds it."""
        super().add(decision)
        row = journal.find_member(self.working, decision.ids[0][0])
        assert row is not None
        if decision.is_remembered and decision.seq < row.link_epoch:
            partners = [partner_of(decision.ids[index][0]) for index in decision.kept if index]
            _, known = self.memories.setdefault(decision.ids[0][0], (row.link_epoch, {}))
            known.update(dict.fromkeys(partners))


class PushesNoProfile(Deletions):
    """Moves the name on, and leaves the profile at its home as it is."""

    def phases(self, record: bytes) -> list[dict[int, Push]]:
        """Leaves the profile out."""
        phases = super().phases(record)
        if record[:1] == deleting.DELETE_RECORD:
            for push in phases[0].values():
                push.profiles.clear()
        return phases


class ForgetsTheOpen(Deletions):
    """Does not know after a start what was being aged."""

    def recover(self, last_record: int) -> OpenRow | None:
        """Takes nothing up."""
        super().recover(last_record)
        self._open = None
        return None


class AnswersAlone(Deletions):
    """Answers when its own record is everywhere, whatever is under way before it."""

    def landed(self, record: int, flights: Collection[int]) -> Iterator[Message]:
        """Overlooks the others."""
        del flights
        return super().landed(record, ())


class ForgetsWhatItRecovered(Deletions):
    """Answers when what was there before a deletion is everywhere, after a restart too."""

    def recover(self, last_record: int) -> OpenRow | None:
        """Takes it that nothing was pushed again."""
        del last_record
        return super().recover(0)


class AnswersDeletionsAtOnce(MergeMachine):
    """Answers when the deletion is durable, whoever knows of it."""

    def committed(self, decision: Decision[Message, None], number: int) -> list[Message]:
        """Lets nobody wait."""
        messages = super().committed(decision, number)
        return [*messages, *self.deletions.landed(0, ())]


def not_found(working: Working, request_id: bytes) -> None:
    """Finds no request that was done."""
    del working, request_id


def duplicates_in_this_life(
    run: AppendRun, index: int, member: bytes, row: Any, mark: bytes, stamp_us: int
) -> Any:
    """Looks for a message in the present life of its anchor only."""
    found = _find_duplicate(run, index, member, row, mark, stamp_us)
    return found if found is not None and found[1] == member else None
