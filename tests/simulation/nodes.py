"""What runs in the simulated world and can end at any moment: shards and the merge actor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from tests.simulation.violation import require
from unify_grpc.machines.merge_messages import Answer, AskRules, LookUp, SendPush
from unify_grpc.machines.shard_reader import ShardReader

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.simulation.world import World
    from unify_grpc.machines.links import Append, Decided, LookedUp, PendingLink, Void
    from unify_grpc.machines.reads import Answer as ReadAnswer
    from unify_grpc.machines.reads import Question
    from unify_grpc.machines.tables import Decision
    from unify_grpc.storage.memory import MemoryStore

T = TypeVar("T")
SWEPT_LINKS_MAX = 50


class Crashed(Exception):  # noqa: N818  not an error: it is what was asked for
    """The node that is running ends here."""


class Node:
    """Something with a name that lives, ends and starts again."""

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.name = name
        self.up = True
        self.life = 0

    def run(self, action: Callable[[], None]) -> None:
        """Lets the node do something, which it may not survive."""
        try:
            action()
        except Crashed:
            self.crash()

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

    def __init__(self, world: World, number: int) -> None:
        super().__init__(world, f"s{number}")
        self.number = number
        self.store: MemoryStore = world.parts.store()
        self._load()

    def start(self) -> None:
        """Starts again from the checkpoint and the log, and compares what comes of it."""
        super().start()
        before = self.store.rows
        self.store = self.store.crashed()
        self._load()
        for number, record in self.store.tail():
            if self.world.happens(self.world.faults.crash_at_start):
                self.store.rows = before
                raise Crashed
            changes = self.machine.replay(number, record)
            self.store.publish(changes, number)
            self.machine.committed(changes)
        require(before == self.store.rows, f"{self.name}: replay gives other rows")

    def append(self, data: bytes) -> Append:
        """Stores a batch."""
        return self._execute(self.machine.append(data, self.store.next_number))

    def push(self, data: bytes) -> list[Void]:
        """Applies rows of the merge actor."""
        return self._execute(self.machine.push(data))

    def look_up(self, keys: Sequence[bytes]) -> list[LookedUp]:
        """Answers the merge actor's look-up."""
        return self.machine.look_up(keys)

    def list_pending(self, before_us: int) -> list[PendingLink]:
        """Answers a sweep."""
        return self.machine.list_pending(before_us=before_us, links_max=SWEPT_LINKS_MAX)

    def read(self, questions: list[Question]) -> list[ReadAnswer]:
        """Answers a reader."""
        return self.reader.answer(questions)

    def _load(self) -> None:
        world = self.world
        self.machine = world.parts.shard_machine(self.number, self.store, dedupe_window_days=30)
        self.machine.load()
        self.reader = ShardReader(
            self.number, world.shard_map, self.store, self.machine.incarnations
        )

    def _execute(self, decision: Decision[Any, T]) -> T:
        self.crash_point()
        if decision.record is not None:
            number = self.store.append(decision.record)
            self.store.publish(decision.changes, number)
            self.machine.committed(decision.changes)
        self.crash_point()
        return decision.reply


class MergeNode(Node):
    """The merge actor: executes what its machine decides, one command at a time."""

    def __init__(self, world: World) -> None:
        super().__init__(world, "m")
        self.store: MemoryStore = world.parts.store()
        self.callers: dict[int, tuple[Node, int]] = {}
        self.strays: set[tuple[int, int]] = set()
        """Links that a sweep handed over, or another stream than that which stored them: nothing
        is promised about their order."""
        self._load()

    def start(self) -> None:
        """Starts again from the checkpoint and the journal, pushes again and sweeps."""
        super().start()
        before = self.store.rows
        self.store = self.store.crashed()
        self.callers = {}
        self._load()
        for number, record in self.store.tail():
            if self.world.happens(self.world.faults.crash_at_start):
                self.store.rows = before
                raise Crashed
            self.store.publish(self.machine.replay(number, record), number)
        require(before == self.store.rows, f"{self.name}: replay gives other rows")
        self.send(self.machine.recover(self.store.next_number - 1))
        if self.world.parts.sweeps_at_start:
            self.sweep(self.world.now_us + 1)

    def link(self, caller: Node, life: int, request: int, links: Sequence[PendingLink]) -> None:
        """Takes links over from a gateway."""
        self.callers[request] = (caller, life)
        self.execute(self.machine.link(request, links, self.store.next_number))

    def sweep(self, before_us: int) -> None:
        """Asks every shard for the links that nobody handed over."""
        for shard in self.world.shards:
            self.world.call(
                self,
                shard,
                "sweep",
                lambda shard=shard: shard.list_pending(before_us),  # type: ignore[misc]  # bound early
                self._take_swept,
            )

    def ask_again(self) -> None:
        """Sends every message again that got no answer."""
        self.send(self.machine.unanswered())

    def execute(self, decision: Decision[Any, None]) -> None:
        """Journal, then rows, then messages, then the next decision."""
        while decision.record is not None:
            self.crash_point()
            number = self.store.append(decision.record)
            self.store.publish(decision.changes, number)
            self.crash_point()
            self.send([*decision.messages, *self.machine.committed(decision, number)])
            decision = self.machine.go_on(self.store.next_number)
        self.send(decision.messages)

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
            case AskRules(_, version):
                world.call(
                    self,
                    world.control,
                    f"rules {version}",
                    world.control.newest,
                    lambda newest: self.adopt_rules(*newest),
                )
            case Answer(request, decided):
                self._answer(request, decided)

    def adopt_rules(self, version: int, document: bytes) -> None:
        """Takes rules over."""
        space = self.world.control.space
        number = self.store.next_number
        self.execute(self.machine.adopt_rules(space, version, document, number))

    def _answer(self, request: int, decided: list[Decided]) -> None:
        gateway, life = self.callers[request]
        self.world.send(
            f"decided {request}", gateway, lambda: self.world.decided(gateway, decided), life
        )

    def _take_swept(self, links: list[PendingLink]) -> None:
        self.strays.update((link.shard, link.position) for link in links)
        self.execute(self.machine.link(None, links, self.store.next_number))

    def _on_looked_up(self, round_: int, shard: int, found: list[LookedUp]) -> None:
        self.execute(self.machine.looked_up(round_, shard, found, self.store.next_number))

    def _on_pushed(self, shard: int, push_number: int, voids: list[Void]) -> None:
        self.execute(self.machine.pushed(shard, push_number, voids))

    def _load(self) -> None:
        world = self.world
        self.machine = world.parts.merge_machine(self.store, world.shard_map)
        self.machine.load()
