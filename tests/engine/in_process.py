"""All machines of a service in one thread: every message is delivered at once, in order.

It is the shortest way from an event to a profile, and the first of the tiers that run the same
test bodies. The simulation (`tests/simulation`) delivers the same messages late, twice or never.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import msgspec

from tests.engine.messages import body_of
from tests.engine.reading import SpaceReads, merges_in
from unify_grpc.identity.deletion import DeletionRefusal
from unify_grpc.identity.events import from_segment_message
from unify_grpc.identity.identifiers import ACCOUNTS, USERS, Identifier, KeyMaker
from unify_grpc.identity.outcomes import DropReason, EventRejected, Outcome
from unify_grpc.identity.rules import Rules
from unify_grpc.machines.assembly import look_up_names
from unify_grpc.machines.batch import FRAME_BYTES, pack_batch
from unify_grpc.machines.deletions import DeleteCommand, Deleted
from unify_grpc.machines.framing import Framed, MarkMaker, Side, SpaceView, frame_event
from unify_grpc.machines.links import DUPLICATE, Decided, PendingLink, Push, decoder, encode
from unify_grpc.machines.merge_machine import MergeMachine
from unify_grpc.machines.merge_messages import Answer, AskRules, DeleteAnswer, LookUp, SendPush
from unify_grpc.machines.owed_sides import ClearedSide, OwedSide, set_life
from unify_grpc.machines.rows import NO_MEMBER
from unify_grpc.machines.shard_machine import ShardMachine
from unify_grpc.machines.shard_reader import ShardReader
from unify_grpc.placement.members import KEY_BYTES, member_of, segment_id_of
from unify_grpc.placement.slots import ShardMap
from unify_grpc.storage.memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Sequence

    from unify_grpc.machines.tables import Decision

T = TypeVar("T")
_PUSH = decoder(Push)
FIRST_RECEIVED_US = 1_800_000_000_000_000
"""2027: later than every time in the cases; of messages that state no moment of receipt."""


def stated_receipt_us(message: dict[str, Any]) -> int:
    """Returns when a message says it was received, microseconds since 1970."""
    if "received_at" in message:
        return int(message["received_at"])
    if "receivedAt" in message:
        moment = datetime.fromisoformat(message["receivedAt"])
        return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    return FIRST_RECEIVED_US


class Shard:
    """One shard machine and its store."""

    def __init__(self, number: int, shard_map: ShardMap, store: MemoryStore) -> None:
        self.store = store
        self.machine = ShardMachine(number, store, dedupe_window_days=30)
        self.machine.load()
        for record_number, record in store.tail():
            changes = self.machine.replay(record_number, record)
            store.publish(changes, record_number)
            self.machine.committed(changes)
        self.reader = ShardReader(number, shard_map, store, self.machine.incarnations)

    def execute(self, decision: Decision[Any, T]) -> T:
        """Makes a decision durable and lets it take effect."""
        if decision.record is not None:
            number = self.store.append(decision.record)
            self.store.publish(decision.changes, number)
            self.machine.committed(decision.changes)
        return decision.reply


class Result(NamedTuple):
    """What became of one event; names as in `tests/conformance/expectations.py`."""

    status: str
    reason: str | None
    outcome: str | None
    drops: list[tuple[str, str, str, str]]
    segment_id: str | None


class InProcessService(SpaceReads):
    """A space on N shards and a merge actor, synchronous."""

    def __init__(self, rules: dict[str, Any], *, shards: int = 2, space: int = 1) -> None:
        self.shard_map = ShardMap(shards)
        self.shards: list[Shard] = [
            Shard(each, self.shard_map, MemoryStore()) for each in range(shards)
        ]
        self.merge_store = MemoryStore()
        self.merge = MergeMachine(self.merge_store, self.shard_map)
        self.documents = {space: [rules]}
        known = Rules.from_document(rules, 1).meeting(())
        self.space = SpaceView(space, known, KeyMaker(b"k" * 32), MarkMaker(b"m" * 32))
        self.received_us = 0
        self.calls = 0
        self.answers: dict[int, list[Decided]] = {}
        self.deleted: list[Deleted] = []

    # -- ingest -----------------------------------------------------------------------------

    def send(self, message: dict[str, Any]) -> Result:
        """Sends one Segment message, acknowledged RESOLVED."""
        return self.send_batch([message])[0]

    def send_batch(self, messages: Sequence[dict[str, Any]]) -> list[Result]:
        """Sends messages as one request, acknowledged RESOLVED."""
        self.calls += 1
        results: dict[int, Result] = {}
        framed: dict[int, Framed] = {}
        for index, message in enumerate(messages):
            self.received_us = max(stated_receipt_us(message), self.received_us + 1)
            try:
                event = from_segment_message(message)
                body = body_of(event, message, self.calls, index)
                event.message_id = body.message_id
                each = frame_event(
                    event,
                    body,
                    space=self.space,
                    source=1,
                    received_us=self.received_us,
                    stream=self.calls,
                )
            except EventRejected as rejected:
                results[index] = Result("REJECTED", rejected.reason.name, None, [], None)
                continue
            self._meet(each.new_types)
            if each.sides:
                framed[index] = each
            else:
                drops = [(d.collection, d.type, d.value, d.reason.name) for d in each.drops]
                results[index] = Result("REJECTED", "NO_IDENTIFIER", None, drops, None)
        for index, sides in self._store(framed).items():
            results[index] = self._result(framed[index], sides)
        return [results[index] for index in range(len(messages))]

    def _meet(self, types: Sequence[str]) -> None:
        """Has the space meet types; an event brings no more of them than there is room for."""
        if types:
            rules = self.space.rules
            self.space = replace(
                self.space, rules=rules.meeting((rules.met_types or frozenset()).union(types))
            )

    def _store(self, framed: dict[int, Framed]) -> dict[int, list[_SideResult]]:
        """Appends all sides, users' first, then hands the links over in batch order."""
        stored: dict[int, list[_SideResult]] = {index: [] for index in framed}
        links: list[tuple[int, PendingLink, _SideResult]] = []
        owed: dict[int, tuple[int, OwedSide]] = {}
        users = {index: each.sides[0] for index, each in framed.items() if _is_about_users(each)}
        self._append(users, 0, stored, links, owed)
        accounts = {
            index: account_side(each, owed[index][1]) if index in owed else each.sides[0]
            for index, each in framed.items()
            if index in owed or index not in users
        }
        lives = self._append(accounts, 1, stored, links, {})
        for index, (number, side) in owed.items():
            shard = self.shards[number]
            member = member_of(accounts[index].key, lives.get(index, 0))
            cleared = encode([ClearedSide(side.position, member)])
            shard.execute(shard.machine.clear_owed(cleared))
        links.sort(key=lambda each: each[0])
        if links:
            self.run_merge(self.merge.link(self.calls, [e[1] for e in links], self._next()))
            answers = self.answers.pop(self.calls)
            for (_, link, result), decided in zip(links, answers, strict=True):
                result.status = (result.status & DUPLICATE) | decided.outcome
                result.root = decided.root
                result.drops = [(*link.ids[at][1:], reason) for at, reason in decided.drops]
        return stored

    def _append(
        self,
        sides: dict[int, Side],
        round_: int,
        stored: dict[int, list[_SideResult]],
        links: list[tuple[int, PendingLink, _SideResult]],
        owed: dict[int, tuple[int, OwedSide]],
    ) -> dict[int, int]:
        """Appends one side of each event; returns incarnations of accounts, but for the first."""
        by_shard: dict[int, list[tuple[int, Side]]] = {}
        for index, side in sides.items():
            by_shard.setdefault(self.shard_map.shard_of(side.key), []).append((index, side))
        call_id = (2 * self.calls + round_).to_bytes(16, "big")
        lives = {}
        for number, placed in by_shard.items():
            shard = self.shards[number]
            rules = [(self.space.number, self.space.rules.version)]
            names = {self.space.number: self.space.rules.searchable_traits}
            data = pack_batch(call_id, rules, [side.frame for _, side in placed], names)
            reply = shard.execute(shard.machine.append(data, shard.store.next_number))
            assert not reply.stale
            pending = {link.index: link for link in reply.pending}
            for at, (index, side) in enumerate(placed):
                result = _SideResult(side, reply.statuses[at], reply.roots[20 * at : 20 * at + 20])
                result.drops = reply.drops.get(at, [])
                stored[index].append(result)
                if at in pending:
                    links.append((index, pending[at], result))
            owed.update({placed[each.index][0]: (number, each) for each in reply.owed})
            lives.update({placed[at][0]: life for at, life in reply.lives.items()})
        return lives

    def _next(self) -> int:
        return self.merge_store.next_number

    def run_merge(self, decision: Decision[Any, None]) -> None:
        """Executes the merge machine until it is idle."""
        self._deliver(self._execute_merge(decision))

    def _deliver(self, messages: list[Any]) -> None:
        """Delivers the merge machine's messages, and those that follow from their answers."""
        while messages:
            message = messages.pop(0)
            match message:
                case Answer(request, decided):
                    self.answers[request] = decided
                    continue
                case DeleteAnswer(_, deleted):
                    self.deleted.append(deleted)
                    continue
                case LookUp(number, round_, keys):
                    found = self.shards[number].machine.look_up(keys)
                    following = self.merge.looked_up(round_, number, found, self._next())
                case SendPush(number, push_number, push):
                    shard = self.shards[number]
                    voids = shard.execute(shard.machine.push(push))
                    following = self.merge.pushed(number, push_number, voids, self._next())
                case AskRules(space, _):
                    documents = self.documents[space]
                    document = msgspec.json.encode(documents[-1])
                    following = self.merge.adopt_rules(
                        space, len(documents), document, self._next()
                    )
            messages.extend(self._execute_merge(following))

    def _execute_merge(self, decision: Decision[Any, None]) -> list[Any]:
        messages = list(decision.messages)
        while decision.record is not None:
            number = self.merge_store.append(decision.record)
            self.merge_store.publish(decision.changes, number)
            messages.extend(self.merge.committed(decision, number))
            decision = self.merge.go_on(self._next())
            messages.extend(decision.messages)
        return messages

    def _result(self, framed: Framed, sides: list[_SideResult]) -> Result:
        drops = [(d.collection, d.type, d.value, d.reason.name) for d in framed.drops]
        for side in sides:
            collection = side.side.identifiers[0].collection
            drops.extend((collection, t, v, DropReason(reason).name) for t, v, reason in side.drops)
        first = sides[0]
        collection = first.side.identifiers[0].collection
        known = first.root != NO_MEMBER
        outcome = first.status & ~DUPLICATE
        return Result(
            "DUPLICATE" if all(each.status & DUPLICATE for each in sides) else "STORED",
            None,
            Outcome(outcome).name if outcome else None,
            drops,
            segment_id_of(collection, first.root) if known else None,
        )

    def delete(self, lookup: str, identifiers: Sequence[str], collection: str = "users") -> str:
        """Deletes identifiers from the profile of another; returns a code of `DELETION_CODES`."""
        if len(identifiers) != 1:
            return "not_one"
        named, key = self.key(collection, lookup), self.key(collection, identifiers[0])
        looked_up = self.read(look_up_names(self.shard_map, [key, named]))
        type_, _, value = identifiers[0].partition(":")
        self.calls += 1
        command = DeleteCommand(
            self.calls.to_bytes(16, "big"),
            self.space.number,
            int(collection == "accounts"),
            named,
            key,
            type_,
            self.normalised(type_, value),
            *looked_up,
        )
        self.run_merge(self.merge.delete(self.calls, command, self._next()))
        refusal = self.deleted.pop().refusal
        if not refusal:
            return "deleted"
        if refusal == DeletionRefusal.NOT_ON_PROFILE:
            return "not_on_profile" if self.segment_id(lookup, collection) else "no_profile"
        return DeletionRefusal(refusal).name.lower()

    def set_rules(self, rules: dict[str, Any]) -> None:
        """Changes the rules for every later event."""
        documents = self.documents[self.space.number]
        documents.append(rules)
        changed = Rules.from_document(rules, len(documents))
        met_types = self.space.rules.met_types or frozenset()
        self.space = replace(self.space, rules=changed.meeting(met_types))

    def checkpoint(self) -> None:
        """Has every store keep its rows, so that a restart replays only what comes after."""
        for store in (*(shard.store for shard in self.shards), self.merge_store):
            store.checkpoint()

    def restart(self) -> None:
        """Ends every machine and starts it again from what its store had made durable."""
        self.shards = [
            Shard(number, self.shard_map, shard.store.crashed())
            for number, shard in enumerate(self.shards)
        ]
        self.merge_store = self.merge_store.crashed()
        self.merge = MergeMachine(self.merge_store, self.shard_map)
        self.merge.load()
        for number, record in self.merge_store.tail():
            self.merge_store.publish(self.merge.replay(number, record), number)
        self._deliver(self.merge.recover(self._next() - 1))

    def state(self) -> list[dict[bytes, bytes]]:
        """Returns the rows of every shard, then those of the merge machine."""
        stores = (*(shard.store for shard in self.shards), self.merge_store)
        return [dict(store.rows) for store in stores]

    def merges(self) -> int:
        """Returns how many profiles were absorbed."""
        return merges_in(self.merge_store)


def _is_about_users(framed: Framed) -> bool:
    return framed.sides[0].identifiers[0].collection == USERS


def account_side(framed: Framed, owed: OwedSide) -> Side:
    """Returns the account's side of an event whose user's side is stored, as that one says."""
    if not owed.frame:
        side = framed.sides[1]
        return side._replace(frame=set_life(side.frame, owed.member))
    key = owed.frame[FRAME_BYTES : FRAME_BYTES + KEY_BYTES]
    return Side((Identifier(ACCOUNTS, "", ""),), key, owed.frame)


class _SideResult:
    """How one side of an event was stored."""

    def __init__(self, side: Side, status: int, root: bytes) -> None:
        self.side = side
        self.status = status
        self.root = root
        self.drops: list[tuple[str, str, int]] = []
