"""One batch on its way into a shard's rows, as a command or from the log."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, Protocol

from unify_grpc.identity.outcomes import Outcome
from unify_grpc.identity.traits import merge_traits
from unify_grpc.machines import rows
from unify_grpc.machines.append_pairs import AppendPairs
from unify_grpc.machines.batch import (
    FLAG_ACCOUNT_SIDE,
    FLAG_CONTEXT_TRAITS,
    FLAG_COUNTERPART,
    FLAG_DROPS,
    FLAG_HISTORY,
    FLAG_PROBE,
    FLAG_REFUSED,
    FLAG_TRAITS,
    FRAME,
    FRAME_BYTES,
    Batch,
)
from unify_grpc.machines.event_lists import append_event, find_positions
from unify_grpc.machines.found_by import put_prefix, put_traits
from unify_grpc.machines.links import DUPLICATE, PendingLink
from unify_grpc.machines.probing import NOT_HELD
from unify_grpc.machines.pushed_rows import PARTNER_BYTES
from unify_grpc.machines.rows import MemberRow, SpaceRow
from unify_grpc.machines.search_filling import adopt
from unify_grpc.machines.shard_rows import ShardRows
from unify_grpc.machines.stored_batches import note_stored
from unify_grpc.machines.trait_rows import decode_traits, encode_traits, traits_set
from unify_grpc.machines.violations import (
    listed_refusals,
    note_promotion_drops,
    note_refused,
    promotion_drops,
)
from unify_grpc.placement.members import FIRST_INCARNATION, KEY_BYTES, member_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from unify_grpc.machines.tables import View
    from unify_grpc.machines.violations import Refusal

APPEND_RECORD: Final = b"A"


_DUPLICATE_COUNT = struct.Struct("<BH")
_DUPLICATE = struct.Struct("<HQ")
_CREATED = int(Outcome.CREATED)
_ATTACHED = int(Outcome.ATTACHED)
_PENDING = int(Outcome.PENDING)
_NO_EVENT = FLAG_REFUSED | FLAG_PROBE
NO_POSITION: Final = (1 << 64) - 1
"""In place of where a probe's message is: an anchor that does not hold it."""
_SAYS_MORE = FLAG_TRAITS | FLAG_CONTEXT_TRAITS | FLAG_DROPS


def pack_record(duplicates: Mapping[int, int], batch: bytes) -> bytes:
    """Returns the log record of a batch: it names the duplicates that were found in it.

    Args:
        duplicates: index of an event in the batch to the log position it was stored at before.
        batch: as it was received.
    """
    head = _DUPLICATE_COUNT.pack(APPEND_RECORD[0], len(duplicates))
    pairs = [_DUPLICATE.pack(index, position) for index, position in duplicates.items()]
    return b"".join((head, *pairs, batch))


def duplicates_in(record: bytes | memoryview) -> dict[int, int]:
    """Returns the duplicates that an append record names."""
    _, count = _DUPLICATE_COUNT.unpack_from(record)
    start = _DUPLICATE_COUNT.size
    return dict(
        _DUPLICATE.unpack_from(record, start + each * _DUPLICATE.size) for each in range(count)
    )


def batch_in(record: bytes) -> Batch:
    """Returns the batch inside an append record."""
    _, count = _DUPLICATE_COUNT.unpack_from(record)
    return Batch(record, _DUPLICATE_COUNT.size + count * _DUPLICATE.size)


def batch_start(record: bytes | memoryview) -> int:
    """Returns where the batch inside an append record begins."""
    _, count = _DUPLICATE_COUNT.unpack_from(record)
    return _DUPLICATE_COUNT.size + int(count) * _DUPLICATE.size


class Shard(Protocol):
    """What a run needs of the shard machine."""

    view: View
    dedupe_window_us: int
    spaces: dict[int, SpaceRow]
    incarnations: dict[bytes, int]

    def pending_link(
        self,
        working: ShardRows,
        position: int,
        anchor: bytes,
        index: int,
        batch: Batch | None = None,
    ) -> PendingLink:
        """Lists a stored event as the novel link it was."""


class AppendRun:
    """One batch on its way into the rows, as a command or from the log."""

    def __init__(
        self, machine: Shard, batch: Batch, number: int, known: dict[int, int] | None
    ) -> None:
        """Takes the duplicates found before (`known`) on replay; None looks for them."""
        self.machine = machine
        self.batch = batch
        self.number = number
        self.known = known
        self.working = ShardRows(machine.view)
        self.changes = self.working.changes
        self.duplicates: dict[int, int] = {}
        self.refused_count = 0
        """Records of refused events that are new."""
        self._refused_before: dict[int, dict[Refusal, int]] = {}
        """By space, those listed before; read when the batch has one."""
        self.statuses = bytearray()
        self.roots: list[bytes] = []
        self.pending: list[PendingLink] = []
        self.drops: dict[int, list[tuple[str, str, int]]] = {}
        self.pairs = AppendPairs(self.working, batch)

    def run(self) -> AppendRun:
        """Goes through the batch in its order."""
        machine, batch, working = self.machine, self.batch, self.working
        data, start = batch.data, batch.start
        self._adopt_rules()
        incarnations = machine.incarnations
        base = self.number << 16
        for index, offset in enumerate(batch.offsets):
            at = start + offset
            type_, flags, key_count, space, _, _, time_us, stamp_us, _, mark = FRAME.unpack_from(
                data, at
            )
            if flags & _NO_EVENT:
                if flags & FLAG_REFUSED:
                    self._keep_refused(index, space, stamp_us, mark)
                else:
                    self._answer_probe(index, mark, stamp_us)
                continue
            at += FRAME_BYTES
            key = data[at : at + KEY_BYTES]
            incarnation = incarnations.get(key, 0) if incarnations else 0
            member = (
                key + incarnation.to_bytes(4, "big") if incarnation else key + FIRST_INCARNATION
            )
            row = working.member(member, space, flags & FLAG_ACCOUNT_SIDE)
            if self._is_duplicate(index, member, row, mark, stamp_us):
                position = (self.duplicates if self.known is None else self.known)[index]
                self.pairs.repeat(index, member, mark, position, self._batch_at(position))
                continue
            row.dirty = True
            position = base + index
            append_event(
                working, member, row, time_us=time_us, position=position, mark=mark, type_=type_
            )
            if flags & _SAYS_MORE:
                self._take_in(index, member, row, flags)
            if flags & FLAG_COUNTERPART:
                self.pairs.store(index, member, position)
            if flags & FLAG_HISTORY:
                self._keep_history(member, row)
            elif key_count == 1:
                self._finish_alone(index, member, row, position)
            elif self._knows_partners(row, at + KEY_BYTES, key_count - 1):
                self.statuses.append(_ATTACHED)
                self.roots.append(row.root or member)
            else:
                if not row.type:
                    row.type, row.value = batch.anchor_strings(index, batch.frame(index))
                working.put(rows.pending_key(position), rows.pending_mark(member, stamp_us))
                self._list_pending(index, position, member, batch)
        repeated = self.duplicates if self.known is None else self.known
        note_stored(
            working, batch, self.number, repeated=repeated, refused_count=self.refused_count
        )
        working.finish()
        return self

    def _keep_refused(self, index: int, space: int, stamp_us: int, mark: bytes) -> None:
        """Lists a refused event, unless it was listed when the same call was made before."""
        self.statuses.append(0)
        self.roots.append(rows.NO_MEMBER)
        if self.known is not None:
            if index in self.known:
                return
        else:
            before = self._refused_before.get(space)
            if before is None:
                rest = len(self.batch.offsets) - index
                before = listed_refusals(self.working, space, rest)
                self._refused_before[space] = before
            position = before.get((stamp_us, mark))
            if position is not None:
                self.duplicates[index] = position
                return
        self.refused_count += 1
        note_refused(self.working, (self.number << 16) + index, self.batch, index)

    def _answer_probe(self, index: int, mark: bytes, stamp_us: int) -> None:
        """Answers whether an anchor holds a message: as for a duplicate, which it is, or not."""
        if self.known is not None:
            return
        frame = self.batch.frame(index)
        key = self.batch.keys(index, 1)[0]
        member = member_of(key, self.machine.incarnations.get(key, 0))
        row = self.working.find_member(member) or MemberRow(frame.space, 0)
        found = self._find_duplicate(index, member, row, mark, stamp_us)
        if found is None:
            self.duplicates[index] = NO_POSITION
            self.statuses.append(NOT_HELD)
            self.roots.append(rows.NO_MEMBER)
            return
        position = self.duplicates[index] = found[0]
        self._answer_duplicate(index, *found)
        self.pairs.repeat(index, member, mark, position, self._batch_at(position))

    def _take_in(self, index: int, member: bytes, row: MemberRow, flags: int) -> None:
        """Takes what an event says beyond whose it is: traits, and what was left out of it."""
        if flags & (FLAG_TRAITS | FLAG_CONTEXT_TRAITS):
            self._set_traits(index, member, row)
        if flags & FLAG_DROPS:
            frame = self.batch.frame(index)
            drops = promotion_drops(self.batch, index, frame)
            note_promotion_drops(self.working, (self.number << 16) + index, frame, drops)

    def _adopt_rules(self) -> None:
        """Adopts the newest rules the shard is shown."""
        for space, version in self.batch.rules:
            known = self.machine.spaces.get(space)
            batch = self.batch
            names = batch.searchable(space) if batch.says_searchable(space) else None
            adopted = adopt(known, version, names)
            if adopted is not known:
                self.working.put(rows.space_key(space), rows.encode(adopted))

    def _is_duplicate(
        self, index: int, member: bytes, row: MemberRow, mark: bytes, stamp_us: int
    ) -> bool:
        if self.known is not None:
            return index in self.known
        found = self._find_duplicate(index, member, row, mark, stamp_us)
        if found is None:
            return False
        self.duplicates[index] = found[0]
        self._answer_duplicate(index, *found)
        return True

    def _find_duplicate(
        self, index: int, member: bytes, row: MemberRow, mark: bytes, stamp_us: int
    ) -> tuple[int, bytes, MemberRow] | None:
        """Returns where this anchor holds the message id already, and in which of its lives."""
        # Most messages are new, and most lists fit their tail: one search says so.
        if (
            mark not in row.tail_fingerprints
            and not row.chunk_count
            and member.endswith(FIRST_INCARNATION)
        ):
            return None
        lives: list[tuple[bytes, MemberRow]] = [(member, row)]
        for life in range(int.from_bytes(member[KEY_BYTES:], "big")):
            earlier = member_of(member[:KEY_BYTES], life)
            earlier_row = self.working.find_member(earlier)
            if earlier_row:
                lives.append((earlier, earlier_row))
        message_id: str | None = None
        for life_member, life_row in lives:
            for position in find_positions(self.working, life_member, life_row, mark):
                if message_id is None:
                    message_id = self.batch.body(index, self.batch.frame(index)).message_id
                batch, at = self._batch_at(position), position & 0xFFFF
                stored = batch.frame(at)
                if stamp_us - stored.stamp_us > self.machine.dedupe_window_us:
                    continue
                if batch.body(at, stored).message_id == message_id:
                    return position, life_member, life_row
        return None

    def _batch_at(self, position: int) -> Batch:
        if position >> 16 == self.number:
            return self.batch
        return batch_in(self.machine.view.record(position >> 16))

    def _answer_duplicate(self, index: int, position: int, member: bytes, row: MemberRow) -> None:
        """Answers with the state the stored event is in; never acked on "seen" alone."""
        stored = self._batch_at(position)
        same_call = (
            stored is not self.batch
            and stored.call_id == self.batch.call_id
            and position & 0xFFFF == index
        )
        flag = 0 if same_call else DUPLICATE
        mark = self.working.get(rows.pending_key(position))
        if mark is not None:
            self._list_pending(index, position, rows.anchor_in(mark), stored, flag)
            return
        outcome = self.working.get(rows.outcome_key(position))
        if outcome is not None:
            decided = rows.decode_outcome(outcome)
            self.statuses.append(decided.outcome | flag)
            self.roots.append(decided.root)
            if decided.drops:
                ids = stored.identifiers(position & 0xFFFF)
                self.drops[index] = [(*ids[at][1:], reason) for at, reason in decided.drops]
            return
        if stored.frame(position & 0xFFFF).flags & FLAG_HISTORY:
            self._keep_history(member, row, flag)
            return
        founded_it = row.founded and row.founding_pos == position
        self.statuses.append((_CREATED if founded_it else _ATTACHED) | flag)
        self.roots.append(row.root or member)

    def _list_pending(
        self, index: int, position: int, anchor: bytes, batch: Batch, flag: int = 0
    ) -> None:
        self.statuses.append(_PENDING | flag)
        self.roots.append(rows.NO_MEMBER)
        if self.known is None:
            link = self.machine.pending_link(self.working, position, anchor, index, batch)
            self.pending.append(link)

    def _keep_history(self, member: bytes, row: MemberRow, flag: int = 0) -> None:
        """Answers an event that links nothing with its anchor's profile, if there is one."""
        self.statuses.append(flag)
        self.roots.append(row.root or (member if row.founded else rows.NO_MEMBER))

    def _finish_alone(self, index: int, member: bytes, row: MemberRow, position: int) -> None:
        """An event with one identifier founds its profile here and now, if it has none."""
        if row.root is not None or row.founded:
            self.statuses.append(_ATTACHED)
            self.roots.append(row.root or member)
            return
        frame = self.batch.frame(index)
        row.founded = True
        row.founding_stamp_us, row.founding_stream = frame.stamp_us, frame.stream
        row.founding_us, row.founding_pos = frame.time_us, position
        row.joined_us, row.joined_source = frame.time_us, frame.source
        row.joined_message_id = self.batch.body(index, frame).message_id
        row.type, row.value = self.batch.anchor_strings(index, frame)
        put_prefix(self.working, member, row)
        self.working.count(row.space, identifiers=1, profiles=1)
        self.statuses.append(_CREATED)
        self.roots.append(member)

    def _knows_partners(self, row: MemberRow, at: int, count: int) -> bool:
        """Whether each other identifier is remembered to be in the anchor's profile."""
        partners = row.partners
        if not partners or row.memory_epoch != row.link_epoch:
            return False
        data = self.batch.data
        for start in range(at + 8, at + 8 + KEY_BYTES * count, KEY_BYTES):
            found = partners.find(data[start : start + PARTNER_BYTES])
            while found % PARTNER_BYTES and found > 0:
                found = partners.find(data[start : start + PARTNER_BYTES], found + 1)
            if found < 0:
                return False
        return True

    def _set_traits(self, index: int, member: bytes, row: MemberRow) -> None:
        batch = self.batch
        frame = batch.frame(index)
        update = traits_set(frame, batch.body(index, frame))
        key = rows.TRAITS + member
        stored = self.working.get(key)
        cells = decode_traits(stored) if stored else {}
        names = batch.searchable(frame.space) & update.keys()
        before = {name: cells[name] for name in names if name in cells}
        merge_traits(cells, update)
        if names:
            put_traits(self.working, member, row, before, cells, names)
        self.working.put(key, encode_traits(cells))
