"""The decisions of the merge actor, the only writer of links.

Links are handed over in batches and decided in *rounds*: look up at the shards what the tables do
not say, decide all of the round in order, make the journal record durable, then push rows in
three phases (profiles; bindings; link memory and the clearing of marks). A caller is told after
the second, when its link shows through every kept identifier. Rows are absolute and carry the seq
of the last decision on their profile, so rounds may be pushed concurrently, repeatedly and out of
order, and a restart pushes the present rows of whatever was not confirmed.

Phases are kept per round, not per decision: it is the same promise with a tenth of the messages.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

import msgspec

from unify_grpc.identity.resolution import Candidate, Owned, ProfileView, resolve
from unify_grpc.identity.rules import Rules
from unify_grpc.machines import journal
from unify_grpc.machines.deciding import Parts, view_of, write_down
from unify_grpc.machines.flights import Flight, Outbox, Request, Told
from unify_grpc.machines.journal import Decision as LinkDecision
from unify_grpc.machines.journal import Round
from unify_grpc.machines.links import (
    Decided,
    Founding,
    LookedUp,
    PendingLink,
    Push,
    Void,
    encode,
)
from unify_grpc.machines.merge_messages import Answer, AskRules, LookUp, Message, SendPush
from unify_grpc.machines.push_phases import PushPhases
from unify_grpc.machines.tables import Decision, View, Working
from unify_grpc.placement.members import KEY_BYTES, incarnation_of, member_of

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator, Sequence

    from unify_grpc.placement.slots import ShardMap

ROUND_RECORD: Final = b"D"
VOID_RECORD: Final = b"V"
RULES_RECORD: Final = b"R"
ROUND_LINKS_MAX: Final = 2000
MACHINE_VERSION: Final = 1
VISIBLE_PHASES: Final = 2
"""After these, profiles and bindings, a link shows through every kept identifier."""

_decode_voids = msgspec.msgpack.Decoder(list[Void]).decode
_RULES_RECORD_BODY = msgspec.msgpack.Decoder(tuple[int, int, bytes])


class MergeMachine:
    """Decides links. Volatile state is rebuilt from the store by `load` and `recover`."""

    def __init__(self, view: View, shard_map: ShardMap) -> None:
        self.view = view
        self.shard_map = shard_map
        self.rules: dict[int, Rules] = {}
        self.incarnations: dict[bytes, int] = {}
        self.seq = 0
        """Of the last decision."""
        self.confirmed = 0
        self._inbox: deque[Request] = deque()
        self._queued: set[tuple[int, int]] = set()
        """(shard, position) of the links in the inbox and in the present round."""
        self._round: list[Request] | None = None
        self._round_number = 0
        self._looked_up: dict[bytes, LookedUp] = {}
        self._awaited_look_ups: dict[int, LookUp] = {}
        self._awaited_rules: dict[int, AskRules] = {}
        self._staged: tuple[int, list[LinkDecision], list[Told]] | None = None
        self._flights: dict[int, Flight] = {}
        self._landed = 0
        """The newest record whose flight is through."""
        self._outboxes: dict[int, Outbox] = {}
        self._push_number = 0

    # -- start-up ---------------------------------------------------------------------------

    def load(self) -> None:
        """Reads what the machine keeps in memory from a checkpointed view."""
        for key, value in self.view.scan(journal.RULES):
            self._adopt(int.from_bytes(key[1:], "big"), journal.decode_rules(value))
        for key, value in self.view.scan(journal.NAME):
            self.incarnations[key[1:]] = int.from_bytes(value, "big")
        meta = self.view.get(journal.META)
        if meta is not None:
            self.seq, self.confirmed = msgspec.msgpack.decode(meta, type=tuple[int, int])

    def replay(self, number: int, record: bytes) -> dict[bytes, bytes | None]:
        """Returns the changes that a journal record stands for."""
        working = Working(self.view)
        kind, body = record[:1], record[1:]
        if kind == ROUND_RECORD:
            round_ = journal.decode_round(body)
            for decision in round_.decisions:
                journal.apply_decision(working, decision, number)
            self._put_meta(working, round_)
            self.seq = round_.decisions[-1].seq
            self.confirmed = round_.confirmed
        elif kind == RULES_RECORD:
            space, version, document = _RULES_RECORD_BODY.decode(body)
            row = journal.RulesRow(journal.FORMAT, version, document)
            working.put(journal.rules_key(space), journal.encode(row))
            self._adopt(space, row)
        elif kind != VOID_RECORD:
            message = f"journal record {number} is of no known kind"
            raise ValueError(message)
        return working.changes

    def recover(self, last_record: int) -> list[Message]:
        """Pushes again what was not confirmed before the start; call once, after the replay."""
        messages: list[Message] = []
        for number in range(self.confirmed + 1, last_record + 1):
            record = self.view.record(number)
            if record[:1] == ROUND_RECORD:
                decisions = journal.decode_round(record[1:]).decisions
                messages.extend(self._take_off(number, decisions, []))
        return messages

    # -- commands ---------------------------------------------------------------------------

    def link(
        self, request: int | None, links: Sequence[PendingLink], number: int
    ) -> Decision[Message, None]:
        """Takes links over, in the order in which they are to be decided.

        Args:
            request: named in the `Answer`; None if nobody waits.
            links: of one stream's batch or of a sweep; of a sweep, those under way are left out.
            number: of the journal record that a decision may become.
        """
        if request is None:
            links = [link for link in links if not self._is_under_way(link)]
        if links:
            self._queued.update((link.shard, link.position) for link in links)
            request_ = Request(request, list(links), [None] * len(links), len(links))
            self._inbox.append(request_)
        return self.go_on(number)

    def looked_up(
        self, round_: int, shard: int, found: Sequence[LookedUp], number: int
    ) -> Decision[Message, None]:
        """Takes a shard's answer to a `LookUp`; one of an earlier round is ignored."""
        asked = self._awaited_look_ups.get(shard)
        if asked is None or asked.round != round_:
            return Decision(None)
        del self._awaited_look_ups[shard]
        self._looked_up.update(zip(asked.keys, found, strict=True))
        return self.go_on(number)

    def adopt_rules(
        self, space: int, version: int, document: bytes, number: int
    ) -> Decision[Message, None]:
        """Takes a space's rules over; an older version than the one known is ignored."""
        known = self.rules.get(space)
        if known is not None and known.version >= version:
            return Decision(None)
        body = journal.encode((space, version, document))
        decision: Decision[Message, None] = Decision(None, record=RULES_RECORD + body)
        decision.changes = self.replay(number, RULES_RECORD + body)
        return decision

    def pushed(
        self, shard: int, push_number: int, voids: Sequence[Void]
    ) -> Decision[Message, None]:
        """Takes a shard's ack of a push; one of an earlier push is ignored."""
        outbox = self._outboxes.get(shard)
        if outbox is None or outbox.message is None or outbox.message.number != push_number:
            return Decision(None)
        flights, outbox.sent, outbox.message = outbox.sent, [], None
        decision: Decision[Message, None] = Decision(None)
        if voids:
            decision.record = VOID_RECORD + journal.encode(list(voids))
        for flight in flights:
            flight.awaited.discard(shard)
            if not flight.awaited:
                decision.messages.extend(self._next_phase(flight))
        decision.messages.extend(self._send(shard))
        return decision

    def committed(self, decision: Decision[Message, None], number: int) -> list[Message]:
        """Sends what a durable round decided, and begins the next one.

        Call it after the rows of a decision with a record were published; what it returns is sent
        after the decision's own messages.
        """
        messages: list[Message] = []
        if self._staged is not None and self._staged[0] == number:
            _, decisions, answers = self._staged
            self._staged, self._round = None, None
            if decision.record is not None:
                self.seq = decisions[-1].seq
                messages.extend(self._take_off(number, decisions, answers))
        return messages

    def unanswered(self) -> list[Message]:
        """Returns every message that awaits an answer, to be sent again after a silence."""
        pushes = [box.message for box in self._outboxes.values() if box.message]
        return [*self._awaited_look_ups.values(), *self._awaited_rules.values(), *pushes]

    @property
    def is_idle(self) -> bool:
        """Whether nothing is queued, being decided or on its way."""
        return not (self._inbox or self._round or self._flights)

    # -- rounds -----------------------------------------------------------------------------

    def go_on(self, number: int) -> Decision[Message, None]:
        """Begins or finishes a round if that is possible now; call it after `committed`."""
        decision: Decision[Message, None] = Decision(None)
        while self._staged is None:
            if self._round is None:
                if not self._inbox:
                    break
                decision.messages.extend(self._begin_round())
            self._awaited_rules = {
                space: ask
                for space, ask in self._awaited_rules.items()
                if space not in self.rules or self.rules[space].version < ask.version
            }
            if self._awaited_look_ups or self._awaited_rules:
                break
            self._decide_round(number, decision)
        return decision

    def _begin_round(self) -> list[Message]:
        """Takes what waits, and asks what the tables do not say."""
        self._round = []
        count = 0
        while self._inbox and count < ROUND_LINKS_MAX:
            request = self._inbox.popleft()
            self._round.append(request)
            count += len(request.links)
        self._round_number += 1
        self._looked_up = {}
        working = Working(self.view)
        asked: dict[int, dict[bytes, None]] = {}
        self._awaited_rules = {}
        for request in self._round:
            for link in request.links:
                rules = self.rules.get(link.space)
                if rules is None or rules.version < link.rules_version:
                    self._awaited_rules[link.space] = AskRules(link.space, link.rules_version)
                for key, _, _ in link.ids[1:]:
                    if not self._is_linked(working, key):
                        asked.setdefault(self.shard_map.shard_of(key), {})[key] = None
        self._awaited_look_ups = {
            shard: LookUp(shard, self._round_number, tuple(keys)) for shard, keys in asked.items()
        }
        return [*self._awaited_look_ups.values(), *self._awaited_rules.values()]

    def _is_under_way(self, link: PendingLink) -> bool:
        """Whether a link is queued, or decided and on its way: a sweep need not bring it again."""
        if (link.shard, link.position) in self._queued:
            return True
        decided = self.view.get(journal.decided_key(link.shard, link.position))
        return decided is not None and journal.decode_decided(decided).record in self._flights

    def _is_linked(self, working: Working, key: bytes) -> bool:
        member = member_of(key, self.incarnations.get(key, 0))
        return working.get(journal.MEMBER + member) is not None

    def _decide_round(self, number: int, decision: Decision[Message, None]) -> None:
        assert self._round is not None
        working = Working(self.view)
        decisions: list[LinkDecision] = []
        answers: list[Told] = []
        seq = self.seq
        for request in self._round:
            for index, link in enumerate(request.links):
                self._queued.discard((link.shard, link.position))
                known = working.get(journal.decided_key(link.shard, link.position))
                if known is None:
                    seq += 1
                    decided = self._decide(working, link, seq)
                    journal.apply_decision(working, decided, number)
                    decisions.append(decided)
                    known = working.get(journal.decided_key(link.shard, link.position))
                    assert known is not None
                row = journal.decode_decided(known)
                answer = Decided(link.shard, link.position, row.outcome, row.root, row.drops)
                answers.append((request, index, answer, row.record))
        if not decisions:
            self._round = None
            for answer_ in answers:
                decision.messages.extend(self._await_record(*answer_))
            return
        round_ = Round(journal.FORMAT, self.confirmed, decisions)
        self._put_meta(working, round_)
        decision.record = ROUND_RECORD + journal.encode(round_)
        decision.changes = working.changes
        self._staged = (number, decisions, answers)

    def _decide(self, working: Working, link: PendingLink, seq: int) -> LinkDecision:
        """Decides one link by the rules of identity, on the identifiers and order stored."""
        members = [link.anchor, *(self._member(key) for key, _, _ in link.ids[1:])]
        owners: dict[Hashable, ProfileView] = {}
        linked: dict[bytes, ProfileView] = {}
        foundings: dict[int, Founding] = {}
        for index, member in enumerate(members):
            type_ = link.ids[index][1]
            bound = journal.find_member(working, member)
            if bound is not None:
                if bound.root not in linked:
                    linked[bound.root] = view_of(working, bound.root)
                owners[member] = linked[bound.root]
                continue
            founding = link.founding if not index else self._founding(member)
            if founding is not None and _existed_before(founding, link):
                foundings[index] = founding
                created = (founding.stamp_us, 0, member)
                owned = [Owned(member, type_, founding.time_us)]
                owners[member] = ProfileView(member, created, 0, owned)
        candidates = [
            Candidate(member, type_)
            for member, (_, type_, _) in zip(members, link.ids, strict=True)
        ]
        rules = self.rules[link.space]
        resolution = resolve(candidates, owners, rules, link.time_us)
        parts = Parts(working, link, seq, members, owners, linked, foundings)
        return write_down(parts, rules.version, resolution)

    def _member(self, key: bytes) -> bytes:
        """Returns a key's present member; the tables outrank a look-up."""
        incarnation = self.incarnations.get(key)
        if incarnation is None:
            found = self._looked_up.get(key)
            incarnation = found.incarnation if found else 0
        return member_of(key, incarnation)

    def _founding(self, member: bytes) -> Founding | None:
        found = self._looked_up.get(member[:KEY_BYTES])
        if found is None or found.incarnation != incarnation_of(member):
            return None
        return found.founding

    # -- pushes -----------------------------------------------------------------------------

    def _take_off(
        self,
        record: int,
        decisions: list[LinkDecision],
        answers: list[Told],
    ) -> list[Message]:
        """Starts the three phases of a durable round, with the rows as they are now."""
        phases = PushPhases(Working(self.view), self.shard_map)
        for decided in decisions:
            phases.add(decided)
        flight = Flight(record, phases.finish())
        self._flights[record] = flight
        messages: list[Message] = []
        for answer in answers:
            messages.extend(self._await_record(*answer))
        messages.extend(self._next_phase(flight))
        return messages

    def _await_record(
        self, request: Request, index: int, answer: Decided, record: int
    ) -> Iterator[Message]:
        """Answers a link when the round that decided it is visible."""
        if request.number is None:
            return
        flight = self._flights.get(record)
        if flight is None or flight.visible:
            yield from _answer(request, index, answer)
        else:
            flight.waiting.append((request, index, answer))

    def _next_phase(self, flight: Flight) -> list[Message]:
        """Starts a flight's next phase that has rows; only the phases of one flight are ordered."""
        messages: list[Message] = []
        while not flight.awaited:
            if flight.phase == VISIBLE_PHASES and not flight.visible:
                flight.visible = True
                for waiting in flight.waiting:
                    messages.extend(_answer(*waiting))
                flight.waiting.clear()
            if flight.phase == len(flight.phases):
                self._flights.pop(flight.record, None)
                self._confirm(flight.record)
                return messages
            rows = flight.phases[flight.phase]
            flight.phase += 1
            flight.awaited = set(rows)
            for shard, push in sorted(rows.items()):
                self._outboxes.setdefault(shard, Outbox()).queue.append((flight, push))
            for shard in sorted(rows):
                messages.extend(self._send(shard))
        return messages

    def _confirm(self, record: int) -> None:
        """Moves the confirmed record up to the oldest flight still under way."""
        self._landed = max(self._landed, record)
        self.confirmed = min(self._flights, default=self._landed + 1) - 1

    def _send(self, shard: int) -> Iterator[SendPush]:
        """Sends all that is queued for a shard, if nothing is under way to it."""
        outbox = self._outboxes[shard]
        if outbox.message is not None or not outbox.queue:
            return
        joined = Push([], [], [], [])
        for _, push in outbox.queue:
            joined.profiles.extend(push.profiles)
            joined.bindings.extend(push.bindings)
            joined.memories.extend(push.memories)
            joined.clears.extend(push.clears)
        outbox.sent = [flight for flight, _ in outbox.queue]
        outbox.queue = []
        self._push_number += 1
        outbox.message = SendPush(shard, self._push_number, encode(joined))
        yield outbox.message

    def _put_meta(self, working: Working, round_: Round) -> None:
        seq = round_.decisions[-1].seq
        working.put(journal.META, journal.encode((seq, round_.confirmed)))

    def _adopt(self, space: int, row: journal.RulesRow) -> None:
        document = msgspec.json.decode(row.document)
        self.rules[space] = Rules.from_document(document, row.version)


def _existed_before(founding: Founding, link: PendingLink) -> bool:
    """Whether a founding that a look-up shows came before the link; later in its stream: no."""
    return founding.stream != link.stream or founding.stamp_us < link.stamp_us


def _answer(request: Request, index: int, answer: Decided) -> Iterator[Answer]:
    if request.answers[index] is None:
        request.answers[index] = answer
        request.missing -= 1
        if not request.missing and request.number is not None:
            yield Answer(request.number, [each for each in request.answers if each])
