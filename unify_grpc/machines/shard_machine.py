"""The decisions of one shard.

`ShardMachine` stores events under their anchors, tells which of them link identifiers that were
not known to belong together, and applies what the merge actor decided about those. It decides no
link. Everything that changes state becomes one log record; `replay` of the log gives the same
rows as the commands did, because the record of a batch carries the duplicates found in it.

Rejected: looking for duplicates again on replay. After a checkpoint cut between two ranges a
replayed event would find its own message id and what it should have changed would be lost.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final

from unify_grpc.machines import rows
from unify_grpc.machines.append_run import (
    APPEND_RECORD,
    AppendRun,
    batch_in,
    duplicates_in,
    pack_record,
)
from unify_grpc.machines.batch import FLAG_ACCOUNT_SIDE, Batch
from unify_grpc.machines.cleared_links import note_cleared
from unify_grpc.machines.damaged_pushes import without_damaged
from unify_grpc.machines.links import Append, LookedUp, PendingLink, Push, Void, decoder
from unify_grpc.machines.owed_sides import ClearedSide, OwedSide, clear_sides, list_owed
from unify_grpc.machines.pushed_rows import (
    apply_age,
    apply_binding,
    apply_clear,
    apply_memory,
    apply_name,
    apply_profile,
    founding_of,
)
from unify_grpc.machines.search_filling import (
    Slice,
    apply_slice,
    decode_slice,
    encode_slice,
    next_slice,
)
from unify_grpc.machines.shard_rows import ShardRows
from unify_grpc.machines.tables import DamagedError, Decision, View
from unify_grpc.placement.members import member_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from unify_grpc.machines.rows import SpaceRow

MACHINE_VERSION: Final = 3
"""Of what `replay` makes of a record; a log tail of another version is refused."""
PUSH_RECORD: Final = b"P"
SLICE_RECORD: Final = b"F"
CLEAR_RECORD: Final = b"W"

_PUSH = decoder(Push)
_CLEARED = decoder(list[ClearedSide])
_US_PER_DAY = 86_400_000_000


class ShardMachine:
    """Decides for one shard. Only `load`, `committed` and `replay` change it."""

    def __init__(self, shard: int, view: View, *, dedupe_window_days: int) -> None:
        self.shard = shard
        self.view = view
        self.dedupe_window_us = dedupe_window_days * _US_PER_DAY
        self.pending: dict[int, bytes] = {}
        """Log position to the mark, in log order, of every link not yet cleared."""
        self.owed: dict[int, bytes] = {}
        """The same of every user's side that owes its account's."""
        self.spaces: dict[int, SpaceRow] = {}
        self.incarnations: dict[bytes, int] = {}
        """Of names past their first life only."""

    def load(self) -> None:
        """Reads what the machine keeps in memory from a checkpointed view."""
        for key, value in self.view.scan(rows.PENDING):
            self.pending[rows.position_in(key)] = value
        for key, value in self.view.scan(rows.OWED):
            self.owed[rows.position_in(key)] = value
        for key, value in self.view.scan(rows.SPACE):
            self.spaces[int.from_bytes(key[1:], "big")] = rows.decode_space(value)
        for key, value in self.view.scan(rows.NAME):
            self.incarnations[key[1:]] = int.from_bytes(value, "big")

    def committed(self, changes: dict[bytes, bytes | None]) -> None:
        """Takes over what the machine keeps in memory from changes just published."""
        for key, value in changes.items():
            table = key[:1]
            if table == rows.PENDING:
                if value is None:
                    self.pending.pop(rows.position_in(key), None)
                else:
                    self.pending[rows.position_in(key)] = value
            elif table == rows.OWED:
                if value is None:
                    self.owed.pop(rows.position_in(key), None)
                else:
                    self.owed[rows.position_in(key)] = value
            elif table == rows.SPACE and value is not None:
                self.spaces[int.from_bytes(key[1:], "big")] = rows.decode_space(value)
            elif table == rows.NAME and value is not None:
                self.incarnations[key[1:]] = int.from_bytes(value, "big")

    def replay(self, number: int, record: bytes) -> dict[bytes, bytes | None]:
        """Returns the changes that a logged record stands for."""
        if record[:1] == APPEND_RECORD:
            return AppendRun(self, batch_in(record), number, duplicates_in(record)).run().changes
        if record[:1] == PUSH_RECORD:
            return self._apply_push(_PUSH.decode(record[1:])).changes
        if record[:1] == CLEAR_RECORD:
            return self._clear_owed(_CLEARED.decode(record[1:])).changes
        if record[:1] == SLICE_RECORD:
            return self._fill(decode_slice(record[1:])).changes
        message = f"log record {number} is of no known kind"
        raise ValueError(message)

    def append(self, data: bytes, number: int) -> Decision[None, Append]:
        """Stores a batch, or refuses it whole because its rules are older than the shard's.

        Args:
            data: a packed `Batch`, logged as it is.
            number: of the log record that this decision will become.
        """
        batch = Batch(data)
        stale = {
            space: known.rules_version
            for space, version in batch.rules
            if (known := self.spaces.get(space)) and version < known.rules_version
        }
        if stale:
            return Decision(Append(stale, b"", b"", [], {}))
        run = AppendRun(self, batch, number, None).run()
        reply = Append(
            {},
            bytes(run.statuses),
            b"".join(run.roots),
            run.pending,
            run.drops,
            run.pairs.owed,
            run.pairs.lives,
        )
        if not run.changes:
            return Decision(reply)
        record = pack_record(run.duplicates, data)
        return Decision(reply, record=record, changes=run.changes)

    def push(self, data: bytes) -> Decision[None, list[Void]]:
        """Applies rows that the merge actor decided; older ones are ignored, which is an ack."""
        return self._apply_push(_PUSH.decode(data), PUSH_RECORD + data)

    def clear_owed(self, data: bytes) -> Decision[None, None]:
        """Ends marks of owed sides, which are durable now; `data` is packed `ClearedSide`s."""
        decision = self._clear_owed(_CLEARED.decode(data))
        if decision.changes:
            decision.record = CLEAR_RECORD + data
        return decision

    def list_owed(self, *, before_us: int, sides_max: int) -> list[OwedSide]:
        """Returns sides received before a moment that owe their account's, oldest first."""
        return list_owed(self.owed, self._batch_at, before_us=before_us, sides_max=sides_max)

    def fill_search(self) -> Decision[None, bool]:
        """Goes through some of what was stored before a trait was searchable.

        Replies whether that was all there is to go through; call it again otherwise.
        """
        slice_ = next_slice(self.view, self.spaces)
        if slice_ is None:
            return Decision(reply=True)
        return self._fill(slice_, SLICE_RECORD + encode_slice(slice_))

    def _fill(self, slice_: Slice, record: bytes | None = None) -> Decision[None, bool]:
        working = ShardRows(self.view)
        apply_slice(working, slice_)
        return Decision(reply=False, record=record, changes=working.finish())

    def look_up(self, keys: Sequence[bytes]) -> list[LookedUp]:
        """Returns the present incarnation of each key and the founding of its member."""
        working = ShardRows(self.view)
        found = []
        for key in keys:
            incarnation = self.incarnations.get(key, 0)
            try:
                row = working.find_member(member_of(key, incarnation))
            except DamagedError:
                found.append(LookedUp(incarnation, None, is_damaged=True))
                continue
            found.append(LookedUp(incarnation, founding_of(row) if row else None))
        return found

    def list_pending(self, *, before_us: int, links_max: int) -> list[PendingLink]:
        """Returns pending links received before a moment, oldest first.

        One that needs a damaged value is left out: nobody could decide it.
        """
        working = ShardRows(self.view)
        # Not in log order: of two gateways, or streams, the later may have been received first.
        waiting = sorted(
            (stamp_us, position, rows.anchor_in(mark))
            for position, mark in self.pending.items()
            if (stamp_us := rows.stamp_in(mark)) < before_us
        )
        listed: list[PendingLink] = []
        for _, position, anchor in waiting:
            if len(listed) == links_max:
                break
            with suppress(DamagedError):
                listed.append(self.pending_link(working, position, anchor, -1))
        return listed

    def pending_link(
        self,
        working: ShardRows,
        position: int,
        anchor: bytes,
        index: int,
        batch: Batch | None = None,
    ) -> PendingLink:
        """Lists a stored event as the novel link it was: same identifiers, order and stamp."""
        if batch is None:
            batch = batch_in(self.view.record(position >> 16))
        at = position & 0xFFFF
        frame = batch.frame(at)
        row = working.find_member(anchor)
        version = next((each for space, each in batch.rules if space == frame.space), 0)
        return PendingLink(
            shard=self.shard,
            position=position,
            index=index,
            space=frame.space,
            collection=frame.flags & FLAG_ACCOUNT_SIDE,
            rules_version=version,
            time_us=frame.time_us,
            stamp_us=frame.stamp_us,
            stream=frame.stream,
            source=frame.source,
            message_id=batch.body(at, frame).message_id,
            anchor=anchor,
            founding=founding_of(row) if row else None,
            ids=[(each.key, each.type, each.value) for each in batch.identifiers(at)],
        )

    def _apply_push(self, push: Push, record: bytes | None = None) -> Decision[None, list[Void]]:
        try:
            return self._apply_rows(push, record)
        except DamagedError:
            return self._apply_rows(without_damaged(push, self._apply_rows), record)

    def _apply_rows(self, push: Push, record: bytes | None = None) -> Decision[None, list[Void]]:
        working = ShardRows(self.view)
        voids: list[Void] = []
        for age in push.ages:
            apply_age(working, age)
        for name in push.names:
            apply_name(working, name)
        for profile in push.profiles:
            apply_profile(working, profile)
        for binding in push.bindings:
            void = apply_binding(working, binding)
            if void:
                voids.append(void)
        for memory in push.memories:
            apply_memory(working, memory)
        for clear in push.clears:
            note_cleared(working, clear)
            apply_clear(working, clear)
        return Decision(voids, record=record, changes=working.finish())

    def _clear_owed(self, sides: list[ClearedSide]) -> Decision[None, None]:
        working = ShardRows(self.view)
        clear_sides(working, self._batch_at, sides)
        return Decision(None, changes=working.finish())

    def _batch_at(self, position: int) -> Batch:
        return batch_in(self.view.record(position >> 16))
