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
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, cast

import msgspec

from unify_grpc.identity.resolution import Candidate, Owned, ProfileView, Resolution, resolve
from unify_grpc.identity.rules import Rules
from unify_grpc.machines import journal
from unify_grpc.machines.journal import Decision as LinkDecision
from unify_grpc.machines.journal import Round
from unify_grpc.machines.links import (
    BindingPush,
    ClearPush,
    Decided,
    Founding,
    LookedUp,
    MemoryPush,
    PendingLink,
    ProfilePush,
    Push,
    Void,
    encode,
    partner_of,
)
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


@dataclass(frozen=True, slots=True)
class LookUp:
    """Ask a shard what it knows of identifiers."""

    shard: int
    round: int
    keys: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class SendPush:
    """Have a shard apply rows; answered by `pushed` with the same number."""

    shard: int
    number: int
    push: bytes


@dataclass(frozen=True, slots=True)
class AskRules:
    """Ask control for rules of a space, at least this version; answered by `adopt_rules`."""

    space: int
    version: int


@dataclass(frozen=True, slots=True)
class Answer:
    """Tell who handed links over how they ended, in the order they were handed over."""

    request: int
    decided: list[Decided]


Message = LookUp | SendPush | AskRules | Answer


@dataclass(slots=True)
class _Request:
    """Links handed over together, and the answers that are in."""

    number: int | None
    """None: from a sweep, nobody waits."""
    links: list[PendingLink]
    answers: list[Decided | None] = field(default_factory=list)
    missing: int = 0


@dataclass(slots=True)
class _Flight:
    """A durable round on its way to the shards."""

    record: int
    phases: list[dict[int, Push]]
    """Rows by shard, of each phase."""
    phase: int = 0
    awaited: set[int] = field(default_factory=set)
    """Shards whose ack of the present phase is missing."""
    visible: bool = False
    """Whether phases 1 and 2 are acked."""
    waiting: list[tuple[_Request, int, Decided]] = field(default_factory=list)


@dataclass(slots=True)
class _Outbox:
    """Rows queued for one shard; one push is under way at a time, later rows travel together."""

    queue: list[tuple[_Flight, Push]] = field(default_factory=list)
    sent: list[_Flight] = field(default_factory=list)
    message: SendPush | None = None


_Told = tuple[_Request, int, Decided, int]
"""Who is told, at which place of its links, what, and the record that it waits for."""


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
        self._inbox: deque[_Request] = deque()
        self._round: list[_Request] | None = None
        self._round_number = 0
        self._looked_up: dict[bytes, LookedUp] = {}
        self._awaited_look_ups: dict[int, LookUp] = {}
        self._awaited_rules: dict[int, AskRules] = {}
        self._staged: tuple[int, list[LinkDecision], list[_Told]] | None = None
        self._flights: dict[int, _Flight] = {}
        self._landed = 0
        """The newest record whose flight is through."""
        self._outboxes: dict[int, _Outbox] = {}
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
            links: of one stream's batch or of a sweep.
            number: of the journal record that a decision may become.
        """
        if links:
            request_ = _Request(request, list(links), [None] * len(links), len(links))
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

    def _is_linked(self, working: Working, key: bytes) -> bool:
        member = member_of(key, self.incarnations.get(key, 0))
        return working.get(journal.MEMBER + member) is not None

    def _decide_round(self, number: int, decision: Decision[Message, None]) -> None:
        assert self._round is not None
        working = Working(self.view)
        decisions: list[LinkDecision] = []
        answers: list[_Told] = []
        seq = self.seq
        for request in self._round:
            for index, link in enumerate(request.links):
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
                    linked[bound.root] = _view_of(working, bound.root)
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
        return self._record(working, link, seq, members, owners, linked, foundings, resolution)

    def _record(
        self,
        working: Working,
        link: PendingLink,
        seq: int,
        members: list[bytes],
        owners: dict[Hashable, ProfileView],
        linked: dict[bytes, ProfileView],
        foundings: dict[int, Founding],
        resolution: Resolution,
    ) -> LinkDecision:
        """Writes a resolution down with everything its rows follow from."""
        if resolution.survivor is None:
            root = members[0]
            newest = journal.newest_stamp(working, link.space)
            created_us, order = max(link.stamp_us, newest), seq
        else:
            root = cast("bytes", resolution.survivor)
            created_us, order, _ = next(view.created for view in owners.values() if view.id == root)
        kept = sorted({*resolution.kept, *resolution.unharmed})
        return LinkDecision(
            seq=seq,
            shard=link.shard,
            position=link.position,
            space=link.space,
            collection=link.collection,
            rules_version=self.rules[link.space].version,
            time_us=link.time_us,
            stamp_us=link.stamp_us,
            source=link.source,
            message_id=link.message_id,
            ids=[
                (member, type_, value)
                for member, (_, type_, value) in zip(members, link.ids, strict=True)
            ],
            outcome=int(resolution.outcome),
            root=root,
            created_us=created_us,
            order=order,
            merges=resolution.merges,
            kept=kept,
            drops=[(index, int(reason)) for index, reason in resolution.dropped],
            absorbed=[each for each in linked if each in resolution.absorbed],
            adopted=[(index, foundings[index]) for index in kept if index in foundings],
        )

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
        answers: list[_Told],
    ) -> list[Message]:
        """Starts the three phases of a durable round, with the rows as they are now."""
        phases = _Phases(Working(self.view), self.shard_map)
        for decided in decisions:
            phases.add(decided)
        flight = _Flight(record, phases.finish())
        self._flights[record] = flight
        messages: list[Message] = []
        for answer in answers:
            messages.extend(self._await_record(*answer))
        messages.extend(self._next_phase(flight))
        return messages

    def _await_record(
        self, request: _Request, index: int, answer: Decided, record: int
    ) -> Iterator[Message]:
        """Answers a link when the round that decided it is visible."""
        flight = self._flights.get(record)
        if flight is None or flight.visible:
            yield from _answer(request, index, answer)
        else:
            flight.waiting.append((request, index, answer))

    def _next_phase(self, flight: _Flight) -> list[Message]:
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
                self._outboxes.setdefault(shard, _Outbox()).queue.append((flight, push))
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


def _view_of(working: Working, root: bytes) -> ProfileView:
    row = journal.read_profile(working, root)
    identifiers = [Owned(member, type_, joined_us) for member, type_, joined_us, _ in row.members]
    return ProfileView(root, (row.created_us, row.order, root), row.merges, identifiers)


def _existed_before(founding: Founding, link: PendingLink) -> bool:
    """Whether a founding that a look-up shows came before the link; later in its stream: no."""
    return founding.stream != link.stream or founding.stamp_us < link.stamp_us


def _answer(request: _Request, index: int, answer: Decided) -> Iterator[Answer]:
    if request.answers[index] is None:
        request.answers[index] = answer
        request.missing -= 1
        if not request.missing and request.number is not None:
            yield Answer(request.number, [each for each in request.answers if each])


class _Phases:
    """The rows of a round, by phase and shard, as they are at present."""

    def __init__(self, working: Working, shard_map: ShardMap) -> None:
        self.working = working
        self.shard_map = shard_map
        self.profiles: dict[bytes, journal.ProfileRow] = {}
        self.bound: dict[bytes, bytes] = {}
        """Members to bind, to the profile they belong to now."""
        self.memories: dict[bytes, dict[bytes, None]] = {}
        self.seqs: dict[bytes, int] = {}
        self.clears: list[tuple[int, ClearPush]] = []

    def add(self, decision: LinkDecision) -> None:
        """Adds what one decision has to make visible."""
        anchor = decision.ids[0][0]
        row = journal.find_member(self.working, anchor)
        assert row is not None, "a decided link's anchor is bound"
        root = row.root
        if root not in self.profiles:
            self.profiles[root] = journal.read_profile(self.working, root)
        for index in decision.kept:
            self.bound[decision.ids[index][0]] = root
        if decision.absorbed:
            for member, _, _, since in self.profiles[root].members:
                if since >= decision.seq:
                    self.bound[member] = root
        partners = [partner_of(decision.ids[index][0]) for index in decision.kept if index]
        self.memories.setdefault(anchor, {}).update(dict.fromkeys(partners))
        clear = ClearPush(
            decision.position, decision.outcome, decision.root, decision.seq, decision.drops
        )
        self.clears.append((decision.shard, clear))

    def finish(self) -> list[dict[int, Push]]:
        """Returns the three phases; a binding at its profile's home travels with the profile."""
        first: dict[int, Push] = {}
        second: dict[int, Push] = {}
        third: dict[int, Push] = {}
        for root, row in self.profiles.items():
            self._push(first, self.shard_map.shard_of(root)).profiles.append(
                ProfilePush(
                    root,
                    row.seq,
                    row.space,
                    row.collection,
                    row.created_us,
                    row.merges,
                    [each[0] for each in row.members],
                )
            )
        for member, root in self.bound.items():
            shard = self.shard_map.shard_of(member)
            phase = first if shard == self.shard_map.shard_of(root) else second
            self._push(phase, shard).bindings.append(self._binding(member, root))
        for anchor, partners in self.memories.items():
            seq = self.profiles[self.bound[anchor]].seq
            push = self._push(third, self.shard_map.shard_of(anchor))
            push.memories.append(MemoryPush(anchor, seq, 0, list(partners)))
        for shard, clear in self.clears:
            self._push(third, shard).clears.append(clear)
        return [first, second, third]

    def _binding(self, member: bytes, root: bytes) -> BindingPush:
        row = journal.find_member(self.working, member)
        assert row is not None, "a member to bind has a row"
        profile = self.profiles[root]
        return BindingPush(
            member,
            root,
            profile.seq,
            profile.space,
            profile.collection,
            row.type,
            row.value,
            row.joined_us,
            row.source,
            row.message_id,
            row.founding_known,
        )

    @staticmethod
    def _push(phase: dict[int, Push], shard: int) -> Push:
        return phase.setdefault(shard, Push([], [], [], []))
