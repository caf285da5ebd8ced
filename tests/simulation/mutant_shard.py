"""Shards, stores, nodes and gateways with one rule missing; which one, `mutants.py` says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from msgspec.structs import replace

from tests.simulation.gateway import Gateway
from tests.simulation.nodes import Crashed, MergeNode, ShardNode
from unify_grpc.identity.outcomes import Outcome
from unify_grpc.machines import append_run, pushed_rows, rows
from unify_grpc.machines.batch import Batch
from unify_grpc.machines.links import DUPLICATE
from unify_grpc.machines.pushed_rows import PARTNER_BYTES
from unify_grpc.machines.shard_machine import ShardMachine
from unify_grpc.placement.members import KEY_BYTES
from unify_grpc.storage.memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Callable

    from unify_grpc.machines.append_run import AppendRun
    from unify_grpc.machines.links import Append, BindingPush, ClearPush, PendingLink, ProfilePush
    from unify_grpc.machines.shard_rows import ShardRows
    from unify_grpc.machines.tables import Decision

CHANCES_BETWEEN = 8
"""To end between the sending and the commit, for one that is named after just that."""
_answer_duplicate = append_run.AppendRun._answer_duplicate
_list_pending = append_run.AppendRun._list_pending
_apply_binding = pushed_rows.apply_binding
_apply_profile = pushed_rows.apply_profile
_apply_clear = pushed_rows.apply_clear


def no_dedupe(run: AppendRun, *arguments: Any) -> None:
    """Finds no duplicate."""
    del run, arguments


def duplicates_finished(run: AppendRun, index: int, position: int, member: bytes, row: Any) -> None:
    """Answers every duplicate as if it were finished."""
    if run.working.get(rows.pending_key(position)) is None:
        _answer_duplicate(run, index, position, member, row)
        return
    run.statuses.append(int(Outcome.ATTACHED) | DUPLICATE)
    run.roots.append(row.root or member)


def no_outcome(working: ShardRows, push: ClearPush) -> None:
    """Ends a pending link without keeping how."""
    working.put(rows.pending_key(push.position), None)


def no_clear(working: ShardRows, push: ClearPush) -> None:
    """Leaves the link pending."""
    del working, push


def bundled_clear(working: ShardRows, push: ClearPush) -> None:
    """Ends a pending link unless something newer is known of its anchor."""
    mark = working.get(rows.pending_key(push.position))
    row = working.find_member(rows.anchor_in(mark)) if mark is not None else None
    if row is None or row.seq <= push.seq:
        _apply_clear(working, push)


def unversioned_binding(working: ShardRows, push: BindingPush) -> Any:
    """Applies any binding that comes."""
    working.member(push.member, push.space, push.collection).seq = 0
    return _apply_binding(working, push)


def unversioned_profile(working: ShardRows, push: ProfilePush) -> None:
    """Applies any profile row that comes."""
    working.put(rows.PROFILE + push.root, None)
    _apply_profile(working, push)


def profile_without_founder(working: ShardRows, push: ProfilePush) -> None:
    """Writes a profile row and leaves its founding member as it is."""
    row = working.member(push.root, push.space, push.collection)
    before = (row.root, row.seq)
    _apply_profile(working, push)
    row.root, row.seq = before


def founder_with_seq(working: ShardRows, push: ProfilePush) -> None:
    """Binds the founding member at the profile row's seq, above that of its own binding."""
    row = working.member(push.root, push.space, push.collection)
    _apply_profile(working, push)
    if push.seq >= row.seq:
        row.root, row.seq, row.dirty = push.root, push.seq, True


def some_partner(run: AppendRun, row: Any, at: int, count: int) -> bool:
    """Takes an event for known if one of its identifiers is a partner."""
    known = {
        row.partners[each : each + PARTNER_BYTES]
        for each in range(0, len(row.partners), PARTNER_BYTES)
    }
    data = run.batch.data
    return row.memory_epoch == row.link_epoch and any(
        data[start : start + PARTNER_BYTES] in known
        for start in range(at + 8, at + 8 + KEY_BYTES * count, KEY_BYTES)
    )


def no_pending_mark(
    run: AppendRun, index: int, position: int, anchor: bytes, batch: Batch, flag: int = 0
) -> None:
    """Lists a novel link and leaves no mark of it."""
    _list_pending(run, index, position, anchor, batch, flag)
    run.working.changes.pop(rows.pending_key(position), None)


class ReplaysDuplicates(ShardMachine):
    """Does not know on replay which events were duplicates."""

    def replay(self, number: int, record: bytes) -> dict[bytes, bytes | None]:
        """Takes every event of the record for new."""
        if record[:1] != append_run.APPEND_RECORD:
            return super().replay(number, record)
        batch = append_run.batch_in(record)
        return append_run.AppendRun(self, batch, number, {}).run().changes


class FoundingNotPassedOn(ShardMachine):
    """Says nothing of the founding of a pending link's anchor."""

    def pending_link(self, *arguments: Any) -> PendingLink:
        """Leaves the founding out."""
        return replace(super().pending_link(*arguments), founding=None)


class AdoptsStaleRules(ShardMachine):
    """Stores a batch whatever rules it was promoted under."""

    def append(self, data: bytes, number: int) -> Decision[None, Append]:
        """Compares no versions."""
        known, self.spaces = self.spaces, {}
        decision = super().append(data, number)
        self.spaces = known
        return decision


class CheckpointWithoutPosition(MemoryStore):
    """Keeps rows and forgets for which part of the log they stand."""

    def checkpoint(self) -> None:
        """Keeps the position that was."""
        self._checkpoint = (self._checkpoint[0], dict(self.rows))


class AnswersBeforeCommit(ShardNode):
    """Sometimes ends after the answer and before the commit."""

    is_doomed = False

    def run(self, action: Callable[[], None]) -> None:
        """Ends the node after an answer that came too early."""
        super().run(action)
        if self.is_doomed:
            self.is_doomed = False
            self.crash()

    def _execute(self, decision: Decision[Any, Any]) -> Any:
        if decision.record is not None and self.world.happens(self.world.faults.crash_at_point):
            self.is_doomed = True
            return decision.reply
        return super()._execute(decision)


class PushesBeforeCommit(MergeNode):
    """Sends what it decided, and then makes it durable."""

    def execute(self, decision: Decision[Any, None]) -> None:
        """Sends first."""
        while decision.record is not None:
            before = dict(self.store.rows)
            number = self.store.next_number
            for key, value in decision.changes.items():
                if value is None:
                    self.store.rows.pop(key, None)
                else:
                    self.store.rows[key] = value
            try:
                self.send([*decision.messages, *self.machine.committed(decision, number)])
                for _ in range(CHANCES_BETWEEN):
                    self.crash_point()
            except Crashed:
                cast("MemoryStore", self.store).rows = before
                raise
            self.store.append(decision.record)
            decision = self.machine.go_on(self.store.next_number)
        self.send(decision.messages)


class SendsAllAtOnce(Gateway):
    """Sends a stream's appends to a shard without waiting for the one before."""

    queues_appends = False


class HandsOverAlone(Gateway):
    """Hands over the links of one batch, whatever became of those before."""

    repeats_earlier_links = False
