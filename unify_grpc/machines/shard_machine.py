"""The decisions of one shard.

`ShardMachine` stores events under their anchors, tells which of them link identifiers that were
not known to belong together, and applies what the merge actor decided about those. It decides no
link. Everything that changes state becomes one log record; `replay` of the log gives the same
rows as the commands did, because the record of a batch carries the duplicates found in it.

Rejected: looking for duplicates again on replay. After a checkpoint cut between two ranges a
replayed event would find its own message id and what it should have changed would be lost.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

import msgspec

from unify_grpc.identity.outcomes import Outcome
from unify_grpc.identity.traits import TraitCell, merge_traits
from unify_grpc.machines import rows
from unify_grpc.machines.batch import (
    FLAG_ACCOUNT_SIDE,
    FLAG_CONTEXT_TRAITS,
    FLAG_HISTORY,
    FLAG_TRAITS,
    FRAME,
    FRAME_BYTES,
    Batch,
)
from unify_grpc.machines.event_lists import append_event, find_positions
from unify_grpc.machines.links import (
    DUPLICATE,
    Append,
    BindingPush,
    ClearPush,
    Founding,
    LookedUp,
    MemoryPush,
    PendingLink,
    ProfilePush,
    Push,
    Void,
    decoder,
    encode,
)
from unify_grpc.machines.rows import MemberRow, OutcomeRow, ProfileRow, SpaceRow
from unify_grpc.machines.tables import Decision, View, Working
from unify_grpc.placement.members import FIRST_INCARNATION, KEY_BYTES, member_of

if TYPE_CHECKING:
    from collections.abc import Sequence

MACHINE_VERSION: Final = 1
"""Of what `replay` makes of a record; a log tail of another version is refused."""
APPEND_RECORD: Final = b"A"
PUSH_RECORD: Final = b"P"
PARTNERS_MAX: Final = 128
"""Remembered per anchor; the oldest are forgotten, which only sends an event to the merge actor."""
PARTNER_BYTES: Final = 8


class _Context(msgspec.Struct):
    """The part of an event's context that can set traits."""

    traits: dict[str, msgspec.Raw]


_DUPLICATE_COUNT = struct.Struct("<BH")
_DUPLICATE = struct.Struct("<HQ")
_TRAITS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_CONTEXT = msgspec.json.Decoder(_Context)
_CELLS = msgspec.msgpack.Decoder(dict[str, TraitCell])
_PUSH = decoder(Push)
_CREATED = int(Outcome.CREATED)
_ATTACHED = int(Outcome.ATTACHED)
_PENDING = int(Outcome.PENDING)
_US_PER_DAY = 86_400_000_000


class _Rows(Working):
    """The rows of one command, with member rows unpacked while it runs."""

    def __init__(self, view: View) -> None:
        super().__init__(view)
        self.members: dict[bytes, MemberRow] = {}

    def find_member(self, member: bytes) -> MemberRow | None:
        """Returns a member's row, or None if it was never seen."""
        row = self.members.get(member)
        if row is None:
            data = self.get(rows.MEMBER + member)
            if data is None:
                return None
            row = self.members[member] = MemberRow.unpack(data)
        return row

    def member(self, member: bytes, space: int, collection: int) -> MemberRow:
        """Returns a member's row, new if it was never seen."""
        row = self.find_member(member)
        if row is None:
            row = self.members[member] = MemberRow(space, collection)
        return row

    def finish(self) -> dict[bytes, bytes | None]:
        """Returns all changes, member rows packed."""
        for member, row in self.members.items():
            if row.dirty:
                self.changes[rows.MEMBER + member] = row.pack()
        return self.changes


class ShardMachine:
    """Decides for one shard. Only `load`, `committed` and `replay` change it."""

    def __init__(self, shard: int, view: View, *, dedupe_window_days: int) -> None:
        self.shard = shard
        self.view = view
        self.dedupe_window_us = dedupe_window_days * _US_PER_DAY
        self.pending: dict[int, bytes] = {}
        """Log position to the anchor's member, in log order, of every link not yet cleared."""
        self.spaces: dict[int, SpaceRow] = {}
        self.incarnations: dict[bytes, int] = {}
        """Of names past their first life only."""

    def load(self) -> None:
        """Reads what the machine keeps in memory from a checkpointed view."""
        for key, value in self.view.scan(rows.PENDING):
            self.pending[rows.position_in(key)] = value
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
            elif table == rows.SPACE and value is not None:
                self.spaces[int.from_bytes(key[1:], "big")] = rows.decode_space(value)
            elif table == rows.NAME and value is not None:
                self.incarnations[key[1:]] = int.from_bytes(value, "big")

    def replay(self, number: int, record: bytes) -> dict[bytes, bytes | None]:
        """Returns the changes that a logged record stands for."""
        if record[:1] == APPEND_RECORD:
            _, count = _DUPLICATE_COUNT.unpack_from(record)
            start = _DUPLICATE_COUNT.size
            duplicates = dict(
                _DUPLICATE.unpack_from(record, start + each * _DUPLICATE.size)
                for each in range(count)
            )
            batch = Batch(record, start + count * _DUPLICATE.size)
            return _AppendRun(self, batch, number, duplicates).run().changes
        if record[:1] == PUSH_RECORD:
            return self._apply_push(_PUSH.decode(record[1:])).changes
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
        run = _AppendRun(self, batch, number, None).run()
        duplicates = run.duplicates
        head = b"".join(
            (
                _DUPLICATE_COUNT.pack(APPEND_RECORD[0], len(duplicates)),
                *(_DUPLICATE.pack(index, position) for index, position in duplicates.items()),
            )
        )
        reply = Append({}, bytes(run.statuses), b"".join(run.roots), run.pending, run.drops)
        if len(duplicates) == len(batch.offsets) and not run.changes:
            return Decision(reply)
        return Decision(reply, record=head + data, changes=run.changes)

    def push(self, data: bytes) -> Decision[None, list[Void]]:
        """Applies rows that the merge actor decided; older ones are ignored, which is an ack."""
        return self._apply_push(_PUSH.decode(data), PUSH_RECORD + data)

    def look_up(self, keys: Sequence[bytes]) -> list[LookedUp]:
        """Returns the present incarnation of each key and the founding of its member."""
        working = _Rows(self.view)
        found = []
        for key in keys:
            incarnation = self.incarnations.get(key, 0)
            row = working.find_member(member_of(key, incarnation))
            found.append(LookedUp(incarnation, founding_of(row) if row else None))
        return found

    def list_pending(self, *, before_us: int, links_max: int) -> list[PendingLink]:
        """Returns pending links received before a moment, oldest first."""
        working = _Rows(self.view)
        listed: list[PendingLink] = []
        for position, anchor in list(self.pending.items()):
            if len(listed) == links_max:
                break
            link = self.pending_link(working, position, anchor, -1)
            # In log order stamps rise, but for what two gateways do at the same moment.
            if link.stamp_us >= before_us:
                break
            listed.append(link)
        return listed

    def pending_link(
        self, working: _Rows, position: int, anchor: bytes, index: int, batch: Batch | None = None
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
        working = _Rows(self.view)
        voids: list[Void] = []
        for profile in push.profiles:
            _apply_profile(working, profile)
        for binding in push.bindings:
            void = _apply_binding(working, binding)
            if void:
                voids.append(void)
        for memory in push.memories:
            _apply_memory(working, memory)
        for clear in push.clears:
            _apply_clear(working, clear)
        return Decision(voids, record=record, changes=working.finish())


def batch_in(record: bytes) -> Batch:
    """Returns the batch inside an append record."""
    _, count = _DUPLICATE_COUNT.unpack_from(record)
    return Batch(record, _DUPLICATE_COUNT.size + count * _DUPLICATE.size)


def founding_of(row: MemberRow) -> Founding | None:
    """Returns how an event with this identifier alone founded a profile, if one did."""
    if not row.founded:
        return None
    return Founding(
        row.founding_stamp_us,
        row.founding_stream,
        row.founding_us,
        row.joined_source,
        row.joined_message_id,
    )


class _AppendRun:
    """One batch on its way into the rows, as a command or from the log."""

    def __init__(
        self, machine: ShardMachine, batch: Batch, number: int, known: dict[int, int] | None
    ) -> None:
        """Takes the duplicates found before (`known`) on replay; None looks for them."""
        self.machine = machine
        self.batch = batch
        self.number = number
        self.known = known
        self.working = _Rows(machine.view)
        self.changes = self.working.changes
        self.duplicates: dict[int, int] = {}
        self.statuses = bytearray()
        self.roots: list[bytes] = []
        self.pending: list[PendingLink] = []
        self.drops: dict[int, list[tuple[str, str, int]]] = {}

    def run(self) -> _AppendRun:
        """Goes through the batch in its order."""
        machine, batch, working = self.machine, self.batch, self.working
        data, start = batch.data, batch.start
        epochs = self._adopt_rules()
        incarnations = machine.incarnations
        base = self.number << 16
        for index, offset in enumerate(batch.offsets):
            at = start + offset
            type_, flags, key_count, space, _, _, time_us, stamp_us, _, mark = FRAME.unpack_from(
                data, at
            )
            at += FRAME_BYTES
            key = data[at : at + KEY_BYTES]
            incarnation = incarnations.get(key, 0) if incarnations else 0
            member = (
                key + incarnation.to_bytes(4, "big") if incarnation else key + FIRST_INCARNATION
            )
            row = working.member(member, space, flags & FLAG_ACCOUNT_SIDE)
            if self._is_duplicate(index, member, row, mark, stamp_us):
                continue
            row.dirty = True
            position = base + index
            append_event(
                working, member, row, time_us=time_us, position=position, mark=mark, type_=type_
            )
            if flags & (FLAG_TRAITS | FLAG_CONTEXT_TRAITS):
                self._set_traits(index, member)
            if flags & FLAG_HISTORY:
                self._keep_history(member, row)
            elif key_count == 1:
                self._finish_alone(index, member, row, position)
            elif self._knows_partners(row, at + KEY_BYTES, key_count - 1, epochs[space]):
                self.statuses.append(_ATTACHED)
                self.roots.append(row.root or member)
            else:
                if not row.type:
                    row.type, row.value = batch.anchor_strings(index, batch.frame(index))
                working.put(rows.pending_key(position), member)
                self._list_pending(index, position, member, batch)
        working.finish()
        return self

    def _adopt_rules(self) -> dict[int, int]:
        """Adopts the newest rules the shard is shown; returns each space's link epoch."""
        epochs = {}
        for space, version in self.batch.rules:
            known = self.machine.spaces.get(space)
            if known is None or known.rules_version < version:
                epoch = known.epoch if known else 0
                known = SpaceRow(rows.FORMAT, version, epoch)
                self.working.put(rows.space_key(space), rows.encode(known))
            epochs[space] = known.epoch
        return epochs

    def _is_duplicate(
        self, index: int, member: bytes, row: MemberRow, mark: bytes, stamp_us: int
    ) -> bool:
        if self.known is not None:
            return index in self.known
        position = self._find_duplicate(index, member, row, mark, stamp_us)
        if position is None:
            return False
        self.duplicates[index] = position
        self._answer_duplicate(index, position, member, row)
        return True

    def _find_duplicate(
        self, index: int, member: bytes, row: MemberRow, mark: bytes, stamp_us: int
    ) -> int | None:
        """Returns where this anchor, in any of its lives, holds the message id already."""
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
                    return position
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
        anchor = self.working.get(rows.pending_key(position))
        if anchor is not None:
            self._list_pending(index, position, anchor, stored, flag)
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
        self.statuses.append(_CREATED)
        self.roots.append(member)

    def _knows_partners(self, row: MemberRow, at: int, count: int, epoch: int) -> bool:
        """Whether each other identifier is remembered to be in the anchor's profile."""
        partners = row.partners
        if not partners or row.memory_epoch != epoch:
            return False
        data = self.batch.data
        for start in range(at + 8, at + 8 + KEY_BYTES * count, KEY_BYTES):
            found = partners.find(data[start : start + PARTNER_BYTES])
            while found % PARTNER_BYTES and found > 0:
                found = partners.find(data[start : start + PARTNER_BYTES], found + 1)
            if found < 0:
                return False
        return True

    def _set_traits(self, index: int, member: bytes) -> None:
        batch = self.batch
        frame = batch.frame(index)
        body = batch.body(index, frame)
        if frame.flags & FLAG_CONTEXT_TRAITS:
            traits = _CONTEXT.decode(body.context).traits
        else:
            traits = _TRAITS.decode(body.traits)
        update = {
            name: TraitCell(bytes(value), frame.time_us, body.message_id, frame.source)
            for name, value in traits.items()
        }
        key = rows.TRAITS + member
        stored = self.working.get(key)
        cells = _CELLS.decode(stored[1:]) if stored else {}
        merge_traits(cells, update)
        self.working.put(key, bytes((rows.FORMAT,)) + encode(cells))


def _apply_profile(working: _Rows, push: ProfilePush) -> None:
    """Writes a profile at its home and binds its founding member, in the same commit.

    The founder is bound here only until its own binding comes, and without a seq: that one says
    how it joined, and may be older than the profile row it travels with.
    """
    key = rows.PROFILE + push.root
    stored = working.get(key)
    if stored is not None and rows.decode_profile(stored).seq > push.seq:
        return
    row = ProfileRow(rows.FORMAT, push.space, push.seq, push.created_us, push.merges, push.members)
    working.put(key, rows.encode(row))
    founder = working.member(push.root, push.space, push.collection)
    if founder.root is None:
        founder.root, founder.dirty = push.root, True


def _apply_binding(working: _Rows, push: BindingPush) -> Void | None:
    row = working.member(push.member, push.space, push.collection)
    if push.seq < row.seq:
        return None
    void = None
    if row.founded and row.root is None and not push.founding_known:
        founding = founding_of(row)
        assert founding is not None
        void = Void(push.member, push.root, push.seq, founding)
    row.root, row.seq = push.root, push.seq
    row.type, row.value = push.type, push.value
    row.joined_us, row.joined_source = push.joined_us, push.source
    row.joined_message_id = push.message_id
    row.dirty = True
    return void


def _apply_memory(working: _Rows, push: MemoryPush) -> None:
    row = working.find_member(push.anchor)
    assert row is not None, "memory for an anchor without a row"
    if push.epoch < row.memory_epoch:
        return
    if push.epoch > row.memory_epoch:
        row.memory_epoch, row.partners = push.epoch, b""
    known = [
        row.partners[at : at + PARTNER_BYTES] for at in range(0, len(row.partners), PARTNER_BYTES)
    ]
    added = [partner for partner in push.partners if partner not in known]
    if added:
        row.partners = b"".join((known + added)[-PARTNERS_MAX:])
        row.dirty = True


def _apply_clear(working: _Rows, push: ClearPush) -> None:
    """Ends a pending link, whatever else is newer; its outcome stays for duplicates."""
    working.put(rows.pending_key(push.position), None)
    outcome = OutcomeRow(rows.FORMAT, push.outcome, push.root, push.seq, push.drops)
    working.put(rows.outcome_key(push.position), rows.encode(outcome))
