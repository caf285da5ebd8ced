"""The simulated world as a backend of the conformance cases.

Its one caller sends a case's messages one after another, each until it is acked RESOLVED, while
everything goes wrong that the world's plan has. What is read afterwards is read in the instant of
the ack, whatever is still under way.
"""

from __future__ import annotations

from dataclasses import replace
from hashlib import blake2b
from itertools import count
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from tests.engine.in_process import Result, stated_receipt_us
from tests.engine.messages import body_of
from tests.engine.reading import SpaceReads, merges_in
from tests.reference.conformance_rules import with_limit
from tests.simulation.clients import Caller
from tests.simulation.deleters import DeletingCaller
from tests.simulation.deleting import DeleteRequest, told_request
from tests.simulation.gateway import Attempt, Gateway
from tests.simulation.hardware_plan import SOUND, calmer
from tests.simulation.ledger import Kept
from tests.simulation.plan import CALM, CLIENT_PATIENCE_STEPS, Plan, draw_plain
from tests.simulation.violation import require
from tests.simulation.world import Parts, World
from unify_grpc.identity.deletion import DeletionRefusal
from unify_grpc.identity.events import from_segment_message
from unify_grpc.identity.identifiers import ACCOUNTS, USERS, Identifier
from unify_grpc.identity.outcomes import DropReason, EventRejected, Outcome
from unify_grpc.machines.framing import Framed, frame_event
from unify_grpc.machines.rows import MEMBER, NO_MEMBER, MemberRow
from unify_grpc.placement.members import segment_id_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.simulation.calls import Call
    from tests.simulation.gateway import AckedSide
    from tests.simulation.nodes import Node
    from unify_grpc.machines.deletions import Deleted
    from unify_grpc.machines.framing import Side

IMPATIENCE = 0.02
"""Chance that a caller whose turn it is sends again what is not overdue yet."""
REPEATS_ACKED = 0.05
"""Chance that it sends again what was acked before."""
DEADLINE_STEPS = 4 * CLIENT_PATIENCE_STEPS
"""After which a gateway gives a request up; its caller has long sent it again."""
DUPLICATE = "DUPLICATE"
REJECTED = "REJECTED"
_NOTHING = Framed((), (), 0)


def plan_for(case_id: str, number: int) -> Plan:
    """Returns the plan of a case's seed of that number; it always has faults."""
    first = int.from_bytes(blake2b(f"{case_id} {number}".encode(), digest_size=4).digest())
    plan = next(plan for plan in map(draw_plain, count(first)) if plan.faults is not CALM)
    # Faults go on until a case is through, which may take hundreds of messages.
    ends_often = plan.faults.crash_at_point > 0.05
    return replace(plan, hardware=SOUND if ends_often else calmer(plan.hardware, 10))


class CaseEvent(NamedTuple):
    """A message of a case as its caller sends it, the same with every attempt."""

    message_id: str
    message: dict[str, Any]


class CaseGateway(Gateway):
    """A gateway that takes a case's messages, refuses some, and answers as the service does."""

    def __init__(self, world: World, name: str) -> None:
        super().__init__(world, name)
        self._begun: dict[int, int] = {}
        """The steps in which requests came, by the caller's stream."""
        self._refused: dict[int, str] = {}
        """Reasons, by request; the same in every life, as they follow from message and rules."""

    def frame(self, attempt: Attempt, index: int, stream: int, stamp_us: int) -> Framed:
        """Frames a message; of one that is refused the reason is kept."""
        sent: CaseEvent = attempt.events[index]
        self._begun[attempt.stream] = self.world.step
        try:
            event = from_segment_message(sent.message)
            event.message_id = sent.message_id
            framed = frame_event(
                event,
                body_of(event, sent.message, attempt.request, index),
                space=self.world.control.view(self.version),
                source=1,
                received_us=stamp_us,
                stream=stream,
            )
        except EventRejected as rejected:
            self._refused[attempt.request] = rejected.reason.name
            return _NOTHING
        if not framed.sides:
            self._refused[attempt.request] = "NO_IDENTIFIER"
        return framed

    def ask_again(self) -> None:
        """Forgets what is past its deadline, and repeats what else was not answered."""
        late = self.world.step - DEADLINE_STEPS
        for stream in [each for each in self.streams if self._begun[each] < late]:
            del self.streams[stream]
        self.deletions.give_up(late)
        super().ask_again()

    def answer(self, call: Call, sides: list[list[AckedSide]]) -> None:
        """Answers the caller with the result of its message."""
        attempt = call.attempt
        client = cast("CaseClient", attempt.client)
        sent: CaseEvent = attempt.events[0]
        result = self._result(attempt.request, call.framed[0], sides[0])
        for side in sides[0]:
            framed = _framed_as(call.framed[0], side)
            # Of a late answer nobody knows what was deleted since.
            if framed is not None and client.awaits(attempt.request):
                self._note_shown(sent.message_id, framed, side)
        self.world.note(f"acked {attempt.request} {result}")
        self.world.send(
            f"ack {attempt.request}", client, lambda: client.on_answered(attempt.request, result)
        )

    def _result(self, request: int, framed: Framed, sides: list[AckedSide]) -> Result:
        drops = [(d.collection, d.type, d.value, d.reason.name) for d in framed.drops]
        if not sides:
            return Result(REJECTED, self._refused[request], None, drops, None)
        for side in sides:
            collection = side.anchor.collection
            drops.extend((collection, t, v, DropReason(reason).name) for t, v, reason in side.drops)
        # The user's side, if there is one: a message is told what became of its person.
        first = next(each for each in sides if each.anchor == framed.sides[0].identifiers[0])
        known = first.root != NO_MEMBER
        return Result(
            DUPLICATE if all(each.is_duplicate for each in sides) else "STORED",
            None,
            Outcome(first.outcome).name if first.outcome else None,
            drops,
            segment_id_of(first.anchor.collection, first.root) if known else None,
        )

    def _note_shown(self, message_id: str, framed: Side, side: AckedSide) -> None:
        """Has the world's readers watch the profile from now on; nothing of it may disappear."""
        ledger = self.world.ledger
        if side.root == NO_MEMBER:
            return
        ledger.roots[side.root] = None
        if side.is_duplicate:
            return  # Stored with other identifiers perhaps.
        dropped = {(type_, value) for type_, value, _ in side.drops}
        kept = [each for each in framed.identifiers if (each.type, each.value) not in dropped]
        shown = Kept(kept, {each: ledger.deletions.life(each) for each in kept}, side.root)
        for each in kept:
            ledger.shown.setdefault(each, {})[side.anchor, message_id] = shown


class CaseClient(Caller):
    """Sends one message after another, each until it is answered, and some of them once more."""

    def __init__(self, world: World) -> None:
        super().__init__(world, "c0")
        self.sent: list[CaseEvent] = []
        """By request."""
        self.result: Result | None = None
        """Of the newest request; None until it is answered."""
        self._sent_step = 0

    @property
    def is_done(self) -> bool:
        """Whether the newest message is answered."""
        return self.result is not None or not self.sent

    def begin(self, message: dict[str, Any]) -> None:
        """Sends a message; one without an id is given one, as client libraries do."""
        message_id = message.get("messageId") or f"given-{len(self.sent)}"
        self.sent.append(CaseEvent(message_id, message))
        self.result = None
        self._send(len(self.sent) - 1)

    def go_on(self, *, impatient: bool = False) -> None:
        """Sends again what is not answered, and sometimes what was answered long ago."""
        world = self.world
        if not self.is_done:
            overdue = world.step - self._sent_step > CLIENT_PATIENCE_STEPS
            if impatient or overdue or world.happens(IMPATIENCE):
                self._send(len(self.sent) - 1)
        if self.sent and world.happens(REPEATS_ACKED):
            self._send(world.rng.randrange(len(self.sent)))

    def on_answered(self, request: int, result: Result) -> None:
        """Takes an answer; the first one to the newest request is what its caller goes by."""
        if self.awaits(request):
            self.result = result

    def awaits(self, request: int) -> bool:
        """Whether a request is the newest and was not answered yet."""
        return request == len(self.sent) - 1 and self.result is None

    def _send(self, request: int) -> None:
        world = self.world
        if request == len(self.sent) - 1:
            self._sent_step = world.step
        event = self.sent[request]
        attempt = Attempt(self, request, world.number(), 0, (event,), resolved=True)
        gateway = world.rng.choice(world.gateways)
        world.send(
            f"request {request} [{event.message_id}]", gateway, lambda: gateway.take(attempt)
        )


class CaseDeleter(DeletingCaller):
    """Has one identifier deleted, and asks until it is told what became of that."""

    def __init__(self, world: World, named: Identifier, wanted: Identifier) -> None:
        super().__init__(world, "d")
        request_id = world.number().to_bytes(16, "big")
        self.request = DeleteRequest(self, request_id, named, wanted)
        self.deleted: Deleted | None = None
        self._sent_step = 0
        world.ledger.deletions.ask(self.request)
        self._send()

    @property
    def is_done(self) -> bool:
        """Whether it was told."""
        return self.deleted is not None

    def go_on(self, *, impatient: bool = False) -> None:
        """Asks again for what was not answered, and sometimes for what was."""
        world = self.world
        overdue = not self.is_done and world.step - self._sent_step > CLIENT_PATIENCE_STEPS
        if overdue or (impatient and not self.is_done) or world.happens(IMPATIENCE):
            self._send()

    def on_deleted(self, request: DeleteRequest, deleted: Deleted) -> None:
        """Takes an answer; the first one is what its caller goes by."""
        if request == self.request and self.deleted is None:
            self.deleted = deleted

    def _send(self) -> None:
        world, request = self.world, self.request
        self._sent_step = world.step
        gateway = world.rng.choice(world.gateways)
        world.send(
            f"deletion [{told_request(request)}]", gateway, lambda: gateway.deletions.take(request)
        )


class RulesChange(Caller):
    """A change of the rules, shown to every node until each has answered: then it has returned."""

    def __init__(self, world: World, document: dict[str, Any]) -> None:
        super().__init__(world, "rules change")
        world.control.add_rules(document)
        world.control.change_rules()
        self.waiting: set[str] = {node.name for node, _ in world.control.showings()}
        """Names of the nodes that have not answered yet."""

    @property
    def is_done(self) -> bool:
        """Whether every node has the new rules."""
        return not self.waiting

    def go_on(self, *, impatient: bool = False) -> None:
        """Shows the rules once more to the nodes that have not answered."""
        if impatient or self.world.rng.random() < 0.1:
            for node, show in self.world.control.showings():
                if node.name in self.waiting:
                    self.world.call(self, node, "rules", show, self._answered_by(node))

    def _answered_by(self, node: Node) -> Callable[[object], None]:
        return lambda _: self.waiting.discard(node.name)


class SimulatedBackend(SpaceReads):
    """A space in a world with faults, as a backend of the cases."""

    def __init__(self, rules: dict[str, Any], plan: Plan) -> None:
        plan = replace(plan, clients=0, streaming=(), rules=(rules,), deletions=0)
        self.world = World(plan, Parts(gateway=CaseGateway))
        # The clock begins with the first receipt that a case states, or when those without begin.
        self.world.now_us = 0
        self.shard_map = self.world.shard_map
        self.shards = self.world.shards
        self.space = self.world.control.view(1)
        self._client = CaseClient(self.world)
        self.world.clients = [self._client]
        self._rules = rules
        self._stored = 0

    def send(self, message: dict[str, Any]) -> Result:
        """Sends one Segment message under faults until it is acknowledged RESOLVED.

        Raises:
            Violation: it never is, or the answer is not what the shards' rows show.
        """
        world, client = self.world, self._client
        world.now_us = max(stated_receipt_us(message), world.now_us)
        client.begin(message)
        world.run_until(lambda: client.is_done)
        result = client.result
        assert result is not None
        before, self._stored = self._stored, self._count_stored()
        stored = self._stored - before
        if result.status == DUPLICATE and stored:
            # Of its own earlier attempt, whose ack was late or lost.
            return result._replace(status="STORED")
        require((result.status == "STORED") == bool(stored), f"{result}, and {stored} are stored")
        return result

    def delete(self, lookup: str, identifiers: Sequence[str], collection: str = "users") -> str:
        """Deletes under faults; returns a code of `DELETION_CODES` when it was told."""
        if len(identifiers) != 1:
            return "not_one"
        named, wanted = (self._identifier(each, collection) for each in (lookup, *identifiers))
        deleter = CaseDeleter(self.world, named, wanted)
        self.world.clients = [deleter, self._client]
        self.world.run_until(lambda: deleter.is_done)
        self.world.clients = [self._client]
        assert deleter.deleted is not None
        refusal = deleter.deleted.refusal
        if not refusal:
            return "deleted"
        if refusal == DeletionRefusal.NOT_ON_PROFILE:
            return "not_on_profile" if self.segment_id(lookup, collection) else "no_profile"
        return DeletionRefusal(refusal).name.lower()

    def set_limit(self, type_: str, limit: int | None) -> None:
        """Changes one type's limit, counted for ever; returns when every node has it."""
        self._rules = with_limit(self._rules, type_, limit)
        change = RulesChange(self.world, self._rules)
        self.world.clients = [change]
        self.world.run_until(lambda: change.is_done)
        self.world.clients = [self._client]
        self.space = self.world.control.view(self.world.control.version)

    def merges(self) -> int:
        """Returns how many profiles were absorbed."""
        return merges_in(self.world.merge.store)

    def settle(self) -> None:
        """Ends all faults; what is still under way arrives, and all comes to rest."""
        self.world.settle()
        require(self._count_stored() == self._stored, "something was stored after its ack")

    def profiles(self) -> dict[tuple[str, frozenset[str]], Any]:
        """Returns everything that can be read of every profile, by collection and identifiers."""
        found: dict[tuple[str, frozenset[str]], Any] = {}
        for collection in (USERS, ACCOUNTS):
            for identifiers in self.partition(collection):
                name = min(identifiers)
                found[collection, identifiers] = (
                    self.segment_id(name, collection),
                    self.traits(name, collection),
                    self.events(name, collection),
                )
        return found

    def _identifier(self, text: str, collection: str) -> Identifier:
        type_, _, value = text.partition(":")
        return Identifier(collection, type_, self.normalised(type_, value))

    def _count_stored(self) -> int:
        """Returns how many sides of events there are in all histories."""
        return sum(
            MemberRow.unpack(data).event_count
            for shard in self.world.shards
            for _, data in shard.store.scan(MEMBER)
        )


def _framed_as(framed: Framed, side: AckedSide) -> Side | None:
    """Returns the side as it was framed now; None if it is that of an earlier attempt."""
    return next((each for each in framed.sides if each.identifiers[0] == side.anchor), None)
