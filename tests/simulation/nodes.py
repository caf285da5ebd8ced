"""What runs in the simulated world and can end at any moment: shards and the merge actor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from lmdb import DiskError

from tests.simulation.stores import published_of, replay_tail
from tests.simulation.takings import Listed, Taking
from unify_grpc.machines import journal
from unify_grpc.machines.links import encode
from unify_grpc.machines.merge_messages import Answer, AskRules, DeleteAnswer, LookUp, SendPush
from unify_grpc.machines.shard_reader import ShardReader
from unify_grpc.machines.sweeping import in_order
from unify_grpc.storage.errors import CommitUnknownError, StorageFullError, StoreFencedError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.simulation.stored import LinkKey
    from tests.simulation.stores import WorldStore
    from tests.simulation.world import World
    from unify_grpc.machines.deletions import DeleteCommand
    from unify_grpc.machines.links import Append, Decided, LookedUp, PendingLink, Void
    from unify_grpc.machines.merge_machine import MergeMachine
    from unify_grpc.machines.owed_sides import ClearedSide, OwedSide
    from unify_grpc.machines.reads import Answer as ReadAnswer
    from unify_grpc.machines.reads import Question
    from unify_grpc.machines.shard_machine import ShardMachine
    from unify_grpc.machines.tables import Decision

T = TypeVar("T")
SWEPT_LINKS_MAX = 50


class Crashed(Exception):  # noqa: N818  not an error: it is what was asked for
    """The node that is running ends here."""


class Unanswered(Exception):  # noqa: N818  not an error: nobody is told anything
    """The node that is running says nothing about this."""


class Node:
    """Something with a name that lives, ends and starts again."""

    is_outdated = False
    """Whether this is an earlier process of the node, and a later one has opened its store."""

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.name = name
        self.up = True
        self.life = 0

    def run(self, action: Callable[[], None]) -> None:
        """Lets the node do something, which it may not survive."""
        world, before = self.world, self.world.running
        world.running = self
        try:
            action()
        except (Unanswered, StorageFullError):
            world.note(f"{self.name} refuses")
        except (Crashed, CommitUnknownError, StoreFencedError, DiskError):
            self.crash()
        finally:
            world.running = before

    def crash(self) -> None:
        """Ends the node; what it kept in memory is gone."""
        self.world.note(f"{self.name} ends")
        self.up = False
        self.life += 1

    def start(self) -> None:
        """Starts the node with what is durable."""
        self.world.note(f"{self.name} starts")
        self.up = True

    def crash_point(self) -> None:
        """Ends the node here, sometimes."""
        if self.world.happens(self.world.faults.crash_at_point):
            raise Crashed


class ShardNode(Node):
    """A shard actor: executes what its machine decides."""

    machine: ShardMachine
    reader: ShardReader

    def __init__(self, world: World, number: int) -> None:
        super().__init__(world, f"s{number}")
        self.number = number
        self.reported: set[bytes] = set()
        """Members that founded a profile no decision knew of, as answers to pushes said."""
        self.store: WorldStore = world.hardware.new_store(self)
        self._load()

    def start(self) -> None:
        """Starts again from the checkpoint and the log, and compares what comes of it."""
        super().start()
        before, earlier = published_of(self.store), (self.store, self.machine, self.reader)
        try:
            self.store = self.store.crashed()
            self._load()
            replay_tail(self.name, self.store, before, self._replay)
        except Exception:
            # Whoever looks at what is published still sees it as it was.
            self.store, self.machine, self.reader = earlier
            raise

    def append(self, data: bytes) -> Append:
        """Stores a batch."""
        return self._execute(self.machine.append(data, self.store.next_number))

    def push(self, data: bytes) -> list[Void]:
        """Applies rows of the merge actor."""
        voids = self._execute(self.machine.push(data))
        self.reported.update(void.member for void in voids)
        return voids

    def look_up(self, keys: Sequence[bytes]) -> list[LookedUp]:
        """Answers the merge actor's look-up."""
        self._refuse_outdated()
        return self.machine.look_up(keys)

    def list_pending(self, before_us: int) -> Listed:
        """Answers a sweep, and says how far its log goes."""
        links = self.machine.list_pending(before_us=before_us, links_max=SWEPT_LINKS_MAX)
        return Listed(links, self.store.next_number)

    def clear_owed(self, sides: list[ClearedSide]) -> None:
        """Ends marks of users' sides whose accounts' are durable."""
        self._execute(self.machine.clear_owed(encode(sides)))

    def list_owed(self, before_us: int) -> list[OwedSide]:
        """Answers a gateway's sweep."""
        return self.machine.list_owed(before_us=before_us, sides_max=SWEPT_LINKS_MAX)

    def read(self, questions: list[Question]) -> list[ReadAnswer]:
        """Answers a reader."""
        self._refuse_outdated()
        return self.reader.answer(questions)

    def _replay(self, number: int, record: bytes) -> None:
        if self.world.happens(self.world.faults.crash_at_start):
            raise Crashed
        changes = self.machine.replay(number, record)
        self.store.publish(changes, number)
        self.machine.committed(changes)

    def _load(self) -> None:
        world = self.world
        self.machine = world.parts.shard_machine(self.number, self.store, dedupe_window_days=30)
        self.machine.dedupe_window_us = world.plan.dedupe_us
        self.machine.load()
        self.reader = ShardReader(
            self.number, world.shard_map, self.store, self.machine.incarnations
        )

    def _refuse_outdated(self) -> None:
        """Says nothing that only the process after this one knows; see the README."""
        if self.is_outdated:
            raise Unanswered

    def _execute(self, decision: Decision[Any, T]) -> T:
        self.crash_point()
        if decision.record is not None:
            number = self.store.append(decision.record)
            self.store.publish(decision.changes, number)
            self.machine.committed(decision.changes)
        else:
            self._refuse_outdated()
        self.crash_point()
        return decision.reply


class Sweep(NamedTuple):
    """A sweep that waits for shards."""

    number: int
    before_us: int
    listed: dict[int, Listed]
    """What the shards have answered so far."""


class MergeNode(Node):
    """The merge actor: executes what its machine decides, one command at a time."""

    machine: MergeMachine
    unwritten: Decision[Any, None] | None = None
    """What it decided and has no room to make durable; till then it handles nothing."""

    def __init__(self, world: World) -> None:
        super().__init__(world, "m")
        self.store: WorldStore = world.hardware.new_store(self)
        self.callers: dict[int, tuple[Node, int]] = {}
        self.deleting: dict[int, bytes] = {}
        """Which deletion a gateway asked for."""
        self.takings: dict[LinkKey, Taking | None] = {}
        """By link, who had it taken up first in this life, or before it was decided in an earlier
        one; None: the stream that stored it."""
        self.strays: set[LinkKey] = set()
        """Links that strangers had taken up; at rest `checkers.check` leaves those for which that
        was before all that precedes them in their stream was stored."""
        self.sweep_under_way: Sweep | None = None
        self._load()

    def start(self) -> None:
        """Starts again from the checkpoint and the journal, pushes again and sweeps."""
        super().start()
        before, earlier = published_of(self.store), (self.store, self.machine)
        self.unwritten = None
        self.callers = {}
        self.sweep_under_way = None
        try:
            self.store = self.store.crashed()
            self._load()
            replay_tail(self.name, self.store, before, self._replay)
        except Exception:
            # Whoever looks at what is published still sees it as it was.
            self.store, self.machine = earlier
            raise
        self.takings = {
            at: taking
            for at, taking in self.takings.items()
            if self.store.get(journal.decided_key(*at)) is not None
        }
        self.strays = set(self.strangers)
        self.send(self.machine.recover(self.store.next_number - 1))
        if self.world.parts.sweeps_at_start:
            self.sweep(self.world.now_us + 1)

    @property
    def strangers(self) -> dict[LinkKey, Taking]:
        """The links that a sweep, or another stream than theirs, had taken up first."""
        return {at: taking for at, taking in self.takings.items() if taking is not None}

    def link(
        self, caller: Node, life: int, request: int, stream: int, links: Sequence[PendingLink]
    ) -> None:
        """Takes links over from a gateway, which has them from a stream."""
        self.callers[request] = (caller, life)
        order = tuple((link.shard, link.position) for link in links)
        stored = [shard.store.next_number for shard in self.world.shards]
        taking = Taking(order, stored, is_sweep=False)
        for at, link in zip(order, links, strict=True):
            self._note_taking(at, None if link.stream == stream else taking)
        self.execute(self.machine.link(request, links, self.store.next_number))

    def delete(self, caller: Node, life: int, request: int, command: DeleteCommand) -> None:
        """Takes a deletion over from a gateway."""
        self.callers[request] = (caller, life)
        self.deleting[request] = command.request_id
        self.execute(self.machine.delete(request, command, self.store.next_number))

    def sweep(self, before_us: int) -> None:
        """Asks every shard for the links that nobody handed over, unless it is doing so."""
        if self.sweep_under_way is None:
            self.sweep_under_way = Sweep(self.world.number(), before_us, {})
            self._ask_swept(self.sweep_under_way)

    def ask_again(self) -> None:
        """Sends every message again that got no answer."""
        self.send(self.machine.unanswered())
        if self.sweep_under_way is not None:
            self._ask_swept(self.sweep_under_way)

    def execute(self, decision: Decision[Any, None]) -> None:
        """Journal, then rows, then messages, then the next decision."""
        while decision.record is not None:
            self.crash_point()
            try:
                number = self.store.append(decision.record)
            except StorageFullError:
                self.unwritten = decision
                raise
            self.store.publish(decision.changes, number)
            self.crash_point()
            self.send([*decision.messages, *self.machine.committed(decision, number)])
            decision = self.machine.go_on(self.store.next_number)
        self.send(decision.messages)

    def write_again(self) -> None:
        """Tries again to make durable what there was no room for."""
        if self.world.backups.holds(self):
            return
        decision, self.unwritten = self.unwritten, None
        if decision is not None:
            self.execute(decision)

    def send(self, messages: Sequence[Any]) -> None:
        """Sends messages one after another; it may end between two."""
        for message in messages:
            self.crash_point()
            self._send_one(message)

    def _send_one(self, message: Any) -> None:
        world = self.world
        match message:
            case LookUp(number, round_, keys):
                shard = world.shards[number]
                world.call(
                    self,
                    shard,
                    f"look-up {round_}",
                    lambda: shard.look_up(keys),
                    lambda found: self._on_looked_up(round_, number, found),
                )
            case SendPush(number, push_number, push):
                shard = world.shards[number]
                world.call(
                    self,
                    shard,
                    f"push {push_number}",
                    lambda: shard.push(push),
                    lambda voids: self._on_pushed(number, push_number, voids),
                )
            case AskRules(number, version):
                control = next(
                    each.control for each in world.spaces if each.control.space == number
                )
                world.call(
                    self,
                    control,
                    f"rules {version}",
                    control.newest,
                    lambda newest: self.adopt_rules(*newest),
                )
            case Answer(request, decided):
                self._answer(request, decided)
            case DeleteAnswer(request, deleted):
                gateway, life = self.callers[request]
                if not (deleted.refusal and self.is_outdated):
                    gateway.world.ledger.deletions.judged(self.deleting[request], deleted)
                world.send(
                    f"deleted {request}",
                    gateway,
                    lambda: world.deleted(gateway, request, deleted),
                    life,
                )

    def adopt_rules(self, space: int, version: int, document: bytes) -> None:
        """Takes a space's rules over."""
        number = self.store.next_number
        self.execute(self.machine.adopt_rules(space, version, document, number))

    def _answer(self, request: int, decided: list[Decided]) -> None:
        gateway, life = self.callers[request]
        self.world.send(
            f"decided {request}", gateway, lambda: self.world.decided(gateway, decided), life
        )

    def _note_taking(self, at: LinkKey, taking: Taking | None) -> None:
        """Keeps who had a link taken up first."""
        if self.takings.setdefault(at, taking) is not None:
            self.strays.add(at)

    def _ask_swept(self, sweep: Sweep) -> None:
        """Asks the shards that have not answered; the sweep waits for the last of them."""
        for shard in self.world.shards:
            if shard.number not in sweep.listed:
                self.world.call(
                    self,
                    shard,
                    f"sweep {sweep.number}",
                    lambda shard=shard: shard.list_pending(sweep.before_us),  # type: ignore[misc]  # bound early
                    lambda listed, shard=shard: self._on_listed(sweep, shard.number, listed),  # type: ignore[misc]  # bound early
                )

    def _on_listed(self, sweep: Sweep, shard: int, listed: Listed) -> None:
        """Takes a shard's list; with the last one, all links in the order of their stamps."""
        if sweep is not self.sweep_under_way:
            return
        sweep.listed.setdefault(shard, listed)
        if len(sweep.listed) < len(self.world.shards):
            return
        self.sweep_under_way = None
        in_turn = [sweep.listed[each.number] for each in self.world.shards]
        links = in_order([each.links for each in in_turn], SWEPT_LINKS_MAX)
        order = tuple((link.shard, link.position) for link in links)
        taking = Taking(order, [each.next_number for each in in_turn], is_sweep=True)
        for at in order:
            self._note_taking(at, taking)
        self.execute(self.machine.link(None, links, self.store.next_number))

    def _on_looked_up(self, round_: int, shard: int, found: list[LookedUp]) -> None:
        self.execute(self.machine.looked_up(round_, shard, found, self.store.next_number))

    def _on_pushed(self, shard: int, push_number: int, voids: list[Void]) -> None:
        self.execute(self.machine.pushed(shard, push_number, voids, self.store.next_number))

    def _replay(self, number: int, record: bytes) -> None:
        if self.world.happens(self.world.faults.crash_at_start):
            raise Crashed
        self.store.publish(self.machine.replay(number, record), number)

    def _load(self) -> None:
        world = self.world
        self.machine = world.parts.merge_machine(self.store, world.shard_map)
        self.machine.load()
