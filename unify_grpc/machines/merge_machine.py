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

from unify_grpc.identity.outcomes import Outcome
from unify_grpc.identity.resolution import Candidate, Owned, ProfileView, resolve
from unify_grpc.identity.rules import Rules
from unify_grpc.machines import journal
from unify_grpc.machines.deciding import Parts, existed_before, view_of, write_down
from unify_grpc.machines.deleting import AGE_RECORD, DELETE_RECORD, Deletions
from unify_grpc.machines.flights import Flight, Request, Told
from unify_grpc.machines.journal import Decision as LinkDecision
from unify_grpc.machines.journal import Round
from unify_grpc.machines.links import (
    Decided,
    Founding,
    LookedUp,
    PendingLink,
    Void,
)
from unify_grpc.machines.merge_messages import AskRules, LookUp, Message
from unify_grpc.machines.push_phases import PushPhases
from unify_grpc.machines.pushing import Pushing
from unify_grpc.machines.rows import NO_MEMBER
from unify_grpc.machines.tables import DamagedError, Decision, View, Working
from unify_grpc.placement.members import KEY_BYTES, incarnation_of, member_of

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator, Sequence

    from unify_grpc.machines.deletions import DeleteCommand
    from unify_grpc.placement.slots import ShardMap

ROUND_RECORD: Final = b"D"
VOID_RECORD: Final = b"V"
RULES_RECORD: Final = b"R"
ROUND_LINKS_MAX: Final = 2000
MACHINE_VERSION: Final = 3

_decode_voids = msgspec.msgpack.Decoder(list[Void]).decode
_RULES_RECORD_BODY = msgspec.msgpack.Decoder(tuple[int, int, bytes])


class _UndecidableError(Exception):
    """A link of a round meets a damaged value."""

    def __init__(self, link: tuple[int, int]) -> None:
        """Takes the link's shard and position."""
        super().__init__(link)
        self.link = link


class MergeMachine(Pushing):
    """Decides links. Volatile state is rebuilt from the store by `load` and `recover`."""

    def __init__(self, view: View, shard_map: ShardMap) -> None:
        super().__init__()
        self.view = view
        self.shard_map = shard_map
        self.rules: dict[int, Rules] = {}
        self.deletions = Deletions(view, shard_map)
        self.incarnations = self.deletions.incarnations
        self.seq = 0
        """Of the last decision."""
        self._inbox: deque[Request] = deque()
        self._queued: set[tuple[int, int]] = set()
        """(shard, position) of the links in the inbox and in the present round."""
        self._round: list[Request] | None = None
        self._round_number = 0
        self._looked_up: dict[bytes, LookedUp] = {}
        self._awaited_look_ups: dict[int, LookUp] = {}
        self._awaited_rules: dict[int, AskRules] = {}
        self._damaged: set[bytes] = set()
        """Keys of the present round of which somebody's rows cannot be read."""
        self._left: set[tuple[int, int]] = set()
        """(shard, position) of its links that cannot be decided: they stay pending."""
        self._staged: tuple[int, list[LinkDecision], list[Told]] | None = None

    # -- start-up ---------------------------------------------------------------------------

    def load(self) -> None:
        """Reads what the machine keeps in memory from a checkpointed view."""
        for key, value in self.view.scan(journal.RULES):
            self._adopt(int.from_bytes(key[1:], "big"), journal.decode_rules(value))
        self.deletions.load()
        meta = self.view.get(journal.META)
        if meta is not None:
            self.seq, self.confirmed = journal.decode_meta(meta)

    def replay(self, number: int, record: bytes) -> dict[bytes, bytes | None]:
        """Returns the changes that a journal record stands for."""
        working = Working(self.view)
        kind, body = record[:1], record[1:]
        if kind == ROUND_RECORD:
            round_ = journal.decode_round(body)
            for index, decision in enumerate(round_.decisions):
                journal.apply_decision(working, decision, number, index)
            journal.put_meta(working, round_.decisions[-1].seq, round_.confirmed)
            self.seq = round_.decisions[-1].seq
            self.confirmed = round_.confirmed
        elif kind in {AGE_RECORD, DELETE_RECORD}:
            self.seq = self.deletions.replay(working, record, number)
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
        opened = self.deletions.recover(last_record)
        for number in range(self.confirmed + 1, last_record + 1):
            record = self.view.record(number)
            if record[:1] == ROUND_RECORD:
                decisions = journal.decode_round(record[1:]).decisions
                messages.extend(self._take_off(number, decisions, []))
            elif record[:1] == DELETE_RECORD:
                messages.extend(self._fly(number, self.deletions.phases(record)))
        if opened is not None:
            record = self.view.record(opened.record)
            messages.extend(self._fly(opened.record, self.deletions.phases(record)))
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

    def delete(self, request: int, command: DeleteCommand, number: int) -> Decision[Message, None]:
        """Takes a deletion over; it is answered with a `DeleteAnswer` when every shard has it."""
        self.deletions.ask(request, command)
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
        self._damaged.update(
            key for key, each in zip(asked.keys, found, strict=True) if each.is_damaged
        )
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
        self, shard: int, push_number: int, voids: Sequence[Void], number: int
    ) -> Decision[Message, None]:
        """Takes a shard's ack of a push; one of an earlier push is ignored."""
        messages = self._acked(shard, push_number)
        if messages is None:
            return Decision(None)
        decision: Decision[Message, None] = Decision(None, messages=messages)
        if voids:
            decision.record = VOID_RECORD + journal.encode(list(voids))
        if decision.record is None:
            following = self.go_on(number)
            following.messages[:0] = decision.messages
            return following
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
        elif decision.record is not None:
            seq = self.deletions.committed(decision.record, number)
            if seq is not None:
                self.seq = seq
                phases = self.deletions.phases(decision.record)
                messages.extend(self._fly(number, phases))
        return messages

    def unanswered(self) -> list[Message]:
        """Returns every message that awaits an answer, to be sent again after a silence."""
        pushes = self._unacked()
        return [*self._awaited_look_ups.values(), *self._awaited_rules.values(), *pushes]

    @property
    def rounds_unconfirmed(self) -> int:
        """How many records of the journal not every shard has confirmed."""
        return len(self._flights)

    @property
    def is_idle(self) -> bool:
        """Whether nothing is queued, being decided or on its way."""
        return not (self._inbox or self._round or self._flights or not self.deletions.is_idle)

    # -- rounds -----------------------------------------------------------------------------

    def go_on(self, number: int) -> Decision[Message, None]:
        """Begins or finishes a round if that is possible now; call it after `committed`."""
        decision: Decision[Message, None] = Decision(None)
        while self._staged is None:
            step = self.deletions.step(self.seq + 1, number, self._flights)
            if step is not None:
                step.messages[:0] = decision.messages
                decision = step
                if decision.record is not None:
                    break
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
        self._looked_up, self._damaged, self._left = {}, set(), set()
        working = Working(self.view)
        asked: dict[int, dict[bytes, None]] = {}
        self._awaited_rules = {}
        for request in self._round:
            for link in request.links:
                rules = self.rules.get(link.space)
                if rules is None or rules.version < link.rules_version:
                    self._awaited_rules[link.space] = AskRules(link.space, link.rules_version)
                for key, _, _ in link.ids[1:]:
                    try:
                        is_linked = self._is_linked(working, key)
                    except DamagedError:
                        self._damaged.add(key)
                        continue
                    if not is_linked:
                        asked.setdefault(self.shard_map.shard_of(key), {})[key] = None
        self._awaited_look_ups = {
            shard: LookUp(shard, self._round_number, tuple(keys)) for shard, keys in asked.items()
        }
        return [*self._awaited_look_ups.values(), *self._awaited_rules.values()]

    def _is_under_way(self, link: PendingLink) -> bool:
        """Whether a link is queued, or decided and on its way: a sweep need not bring it again."""
        if (link.shard, link.position) in self._queued:
            return True
        try:
            decided = self.view.get(journal.decided_key(link.shard, link.position))
        except DamagedError:
            return True
        return decided is not None and journal.decode_decided(decided).record in self._flights

    def _is_linked(self, working: Working, key: bytes) -> bool:
        member = member_of(key, self.incarnations.get(key, 0))
        return working.get(journal.MEMBER + member) is not None

    def _decide_round(self, number: int, decision: Decision[Message, None]) -> None:
        """Decides a round; links that meet damaged values stay pending, as if not handed over."""
        while True:
            try:
                self._try_round(number, decision)
            except _UndecidableError as error:
                self._left.add(error.link)
            else:
                return

    def _try_round(self, number: int, decision: Decision[Message, None]) -> None:
        assert self._round is not None
        working = Working(self.view)
        decisions: list[LinkDecision] = []
        answers: list[Told] = []
        left: list[tuple[Request, int]] = []
        seq = self.seq
        for request in self._round:
            for index, link in enumerate(request.links):
                self._queued.discard((link.shard, link.position))
                if self._is_left(link):
                    left.append((request, index))
                    continue
                try:
                    row = journal.find_decided(working, link.shard, link.position)
                    if row is None:
                        decided = self._decide(working, link, seq + 1)
                        journal.apply_decision(working, decided, number, len(decisions))
                        if self.deletions.is_ageing(working, decided.root):
                            decided = msgspec.structs.replace(decided, is_remembered=False)
                        row = journal.find_decided(working, link.shard, link.position)
                        assert row is not None
                        decisions.append(decided)
                        seq += 1
                except DamagedError as error:
                    raise _UndecidableError((link.shard, link.position)) from error
                answer = Decided(link.shard, link.position, row.outcome, row.root, row.drops)
                answers.append((request, index, answer, row.record))
        for request, index in left:
            shard, position = request.links[index].shard, request.links[index].position
            pending = Decided(shard, position, Outcome.PENDING, NO_MEMBER, [])
            decision.messages.extend(request.tell(index, pending))
        if not decisions:
            self._round = None
            for answer_ in answers:
                decision.messages.extend(self._await_record(*answer_))
            return
        round_ = Round(journal.FORMAT, self.confirmed, decisions)
        journal.put_meta(working, seq, self.confirmed)
        decision.record = ROUND_RECORD + journal.encode(round_)
        decision.changes = working.changes
        self._staged = (number, decisions, answers)

    def _is_left(self, link: PendingLink) -> bool:
        """Whether a link of the present round cannot be decided."""
        if not self._damaged and not self._left:
            return False
        return (link.shard, link.position) in self._left or any(
            key in self._damaged for key, _, _ in link.ids[1:]
        )

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
                    linked[bound.root] = view_of(working, bound.root, link.anchor)
                owners[member] = linked[bound.root]
                continue
            founding = link.founding if not index else self._founding(member)
            if founding is not None and existed_before(founding, link):
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

    def _landed(self, record: int) -> Iterator[Message]:
        return self.deletions.landed(record, self._flights)

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
        waiting = phases.finish()
        flight = self._flights[record] = Flight(record, waiting)
        messages: list[Message] = []
        for answer in answers:
            messages.extend(self._await_record(*answer))
        messages.extend(self._next_phase(flight))
        return messages

    def _adopt(self, space: int, row: journal.RulesRow) -> None:
        document = msgspec.json.decode(row.document)
        self.rules[space] = Rules.from_document(document, row.version)
