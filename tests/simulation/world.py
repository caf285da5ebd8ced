"""The simulated world: one thread, one seed, and a network that keeps no promise.

Each step does one thing: it delivers some message of those under way, lets a client send, repeats
what was not answered, ends or starts a node, cuts a checkpoint. Which one, and which message, the
seed's random numbers decide and nothing else does, so a seed repeats its run exactly.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b
from random import Random
from typing import TYPE_CHECKING, Any, TypeVar, cast

from tests.simulation.backups import Backups
from tests.simulation.disk_store import DiskStore
from tests.simulation.gateway import Gateway
from tests.simulation.hardware import Hardware
from tests.simulation.joined import Post
from tests.simulation.nodes import MergeNode, Node, ShardNode
from tests.simulation.plan import CALM, Plan
from tests.simulation.replays import replay_input
from tests.simulation.spaces import divide
from tests.simulation.violation import Violation, require
from unify_grpc.machines.backup_part import BackupPart
from unify_grpc.machines.merge_machine import MergeMachine
from unify_grpc.machines.shard_machine import ShardMachine
from unify_grpc.placement.slots import ShardMap
from unify_grpc.storage.memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Generator

    from tests.simulation.clients import Caller
    from tests.simulation.control import Control
    from tests.simulation.ledger import Ledger, MessageKey
    from tests.simulation.readers import Reader
    from tests.simulation.stores import WorldStore
    from unify_grpc.machines.deletions import Deleted
    from unify_grpc.machines.links import Decided

T = TypeVar("T")
FIRST_NOW_US = 1_800_000_000_000_000
DRAIN_STEPS_MAX = 40_000
FAULTY_STEPS_MAX = 200_000
"""For one event under faults that never stop: where nodes end every thirtieth step it takes long,
and nothing is promised but that it is right when it comes.
"""
QUIET_ROUNDS_MAX = 30
RULES_STIR = 0.01
"""Chance that rules change in a step beyond what happens anyway, where that moves anchors."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What the world is built from; a mutant is a world with another part."""

    store: Callable[[], WorldStore] = MemoryStore
    disk_store: type[DiskStore] | None = DiskStore
    """What plans with disks have instead of the plainest store; None: nothing."""
    shard_machine: type[ShardMachine] = ShardMachine
    merge_machine: type[MergeMachine] = MergeMachine
    shard_node: type[ShardNode] = ShardNode
    merge_node: type[MergeNode] = MergeNode
    gateway: type[Gateway] = Gateway
    sweeps_at_start: bool = True
    sweeps_owed: bool = True
    answers_end_with_caller: bool = True
    """Whether an answer reaches only that life of the merge actor which asked."""
    backup_part: type[BackupPart] = BackupPart
    backups_hold: bool = True
    """Whether a writer stands still from the cut of its store until all stores are cut."""


@dataclass(slots=True)
class Message:
    """Something on its way to a node."""

    label: str
    to: Node
    life: int | None
    """The life of the node that it is meant for; None: any."""
    action: Callable[[], object]
    not_before: int
    sender: Node | None
    """None: a caller."""


class World:
    """Everything there is under one plan.

    What belongs to one space is set by `spaces.divide`: of several it is the first one's, or all
    spaces' together where it lists callers, readers and gateways.
    """

    of_space = ""
    """Ends the names of what belongs to one space of several."""
    ledger: Ledger
    control: Control
    gateways: list[Gateway]
    clients: list[Caller]
    readers: list[Reader]
    strange_sides: set[MessageKey]
    """Accounts' sides that a sweep or another stream sent: no order is promised of them."""

    def __init__(self, plan: Plan, parts: Parts | None = None) -> None:
        self.plan = plan
        self.parts = parts or Parts()
        self.rng = self.stream(f"schedule {plan.seed}")
        self.faults = plan.faults
        self.now_us = FIRST_NOW_US
        self.step = 0
        self.numbers = 0
        self.trace: list[str] = []
        self.pool: list[Message] = []
        self.running: Node | None = None
        """Whose turn it is."""
        self.hardware = Hardware(self)
        self.shard_map = ShardMap(plan.shards)
        self.shards = [self.parts.shard_node(self, number) for number in range(plan.shards)]
        self.slow_shard = self.shards[plan.slow_shard]
        self.merge = self.parts.merge_node(self)
        self.post = Post(self) if plan.further else None
        self.rules_rng = self.stream(f"spaces rules {plan.seed}")
        self.spaces: list[World] = divide(self)
        self.backups = Backups(self)

    # -- what nodes ask of the world ----------------------------------------------------------

    def stream(self, name: str) -> Random:
        """Returns draws of their own; all chance in a run comes from here, to be recorded."""
        return Random(name)

    def note(self, text: str) -> None:
        """Writes a line of the trace."""
        self.trace.append(f"{self.step:5} {text}")

    def happens(self, chance: float) -> bool:
        """Whether something of this chance happens now; nothing that never does costs a draw."""
        return chance > 0 and self.rng.random() < chance

    def number(self) -> int:
        """Returns a number that nothing else got."""
        self.numbers += 1
        return self.numbers

    def send(
        self,
        label: str,
        to: Node,
        action: Callable[[], object],
        life: int | None = None,
        sender: Node | None = None,
    ) -> None:
        """Puts a message on its way; it may arrive late, twice or never."""
        faults = self.faults
        chance = faults.slow if to is self.slow_shard else faults.delay
        held = self.rng.randrange(faults.delay_steps) if self.happens(chance) else 0
        message = Message(label, to, life, action, self.step + held, sender or self.running)
        self.pool.append(message)

    def call(
        self,
        caller: Node,
        callee: Node,
        label: str,
        ask: Callable[[], T],
        answer: Callable[[T], None],
    ) -> None:
        """Asks a node; its answer reaches this life of the caller, or nobody."""
        life: int | None = caller.life
        if caller is self.merge and not self.parts.answers_end_with_caller:
            life = None

        def run() -> None:
            reply = ask()
            self.send(f"answer to {label}", caller, lambda: answer(reply), life)

        self.send(f"{caller.name} {label}", callee, run, sender=caller)

    def decided(self, gateway: Node, decided: list[Decided]) -> None:
        """Hands an answer of the merge actor to the gateway that asked."""
        cast("Gateway", gateway).on_decided(decided)

    def deleted(self, gateway: Node, request: int, deleted: Deleted) -> None:
        """Hands an answer of the merge actor to the gateway that asked for a deletion."""
        cast("Gateway", gateway).deletions.on_deleted(request, deleted)

    def read_now(self, reading: Generator[Any, Any, T]) -> T:
        """Runs a read in an instant on what is published, whoever is up."""
        try:
            questions = next(reading)
            while True:
                questions = reading.send(
                    {number: self.shards[number].read(asked) for number, asked in questions.items()}
                )
        except StopIteration as stop:
            return cast("T", stop.value)

    # -- the schedule -------------------------------------------------------------------------

    def run(self) -> None:
        """Runs both phases: with faults, then healed until everything is answered."""
        for _ in range(self.plan.steps):
            self._pass_time()
            self._any_step()
        self.settle()
        if self.plan.replays:
            replay_input(self)

    def run_until(self, is_done: Callable[[], bool]) -> None:
        """Runs with faults until something holds; `Violation` if it never does."""
        for _ in range(FAULTY_STEPS_MAX):
            if is_done():
                return
            self._pass_time()
            self._any_step()
        raise Violation(f"under faults for ever: {self._unfinished()}")

    def state_hash(self) -> str:
        """Returns a hash of everything durable."""
        state = blake2b(digest_size=16)
        for node in self._durable():
            for row in sorted(node.store.rows.items()):
                state.update(repr(row).encode())
            state.update(repr(sorted(node.store.log.items())).encode())
        return state.hexdigest()

    def trace_hash(self) -> str:
        """Returns a hash of everything that happened."""
        return blake2b("\n".join(self.trace).encode(), digest_size=16).hexdigest()

    def _pass_time(self) -> None:
        self.step += 1
        # More than a batch has events, so that stamps never run ahead of the clock.
        self.now_us += self.rng.randrange(8, 40)
        self.backups.step()

    def _any_step(self) -> None:
        rng, faults = self.rng, self.faults
        self.hardware.step()
        if self.plan.moves_anchors and self.rules_rng.random() < RULES_STIR:
            self._change_rules(self.rules_rng.choice(self.spaces))
        if self.happens(faults.crash):
            self._crash(rng.choice(self._durable()))
        if self.happens(faults.crash_gateway):
            self._crash(rng.choice(self.gateways))
        draw = rng.random()
        if draw < 0.7:
            self._deliver()
        elif draw < 0.84:
            rng.choice(self.clients).go_on()
        elif draw < 0.88:
            rng.choice(self.readers).go_on()
        elif draw < 0.92:
            self._start_one()
        elif draw < 0.97:
            self._repeat_unanswered()
        elif draw < 0.985:
            self.note("checkpoint")
            self.hardware.checkpoint(rng.choice(self._durable()))
        elif draw < 0.99:
            self._change_rules(rng.choice(self.spaces) if self.plan.further else self)
        elif draw < 0.995:
            rng.choice(self.gateways).refresh_rules()
        elif self.plan.sweep_after_us is not None and self.merge.up:
            before_us = self.now_us - self.plan.sweep_after_us
            self.merge.run(lambda: self.merge.sweep(before_us))
            gateway = rng.choice(self.gateways)
            if gateway.up:
                gateway.run(lambda: gateway.sweep(before_us))

    def _change_rules(self, space: World) -> None:
        if not self.backups.holds(space.control):
            space.control.change_rules()

    def _crash(self, node: Node) -> None:
        if node.up:
            self.hardware.seems_to_end(node)
            node.crash()

    def _start_one(self) -> None:
        down = [node for node in self._mortals() if not node.up]
        if down:
            node = self.rng.choice(down)
            node.run(node.start)

    def _repeat_unanswered(self) -> None:
        node = self.rng.choice(self._askers())
        if node.up:
            node.run(node.ask_again)

    def _mortals(self) -> list[Node]:
        return [*self.shards, self.merge, *self.gateways]

    def _durable(self) -> list[ShardNode | MergeNode]:
        return [*self.shards, self.merge]

    def _askers(self) -> list[MergeNode | Gateway | Reader]:
        return [self.merge, *self.gateways, *self.readers]

    def _deliver(self) -> None:
        pool, rng, faults = self.pool, self.rng, self.faults
        if not pool:
            return
        index = rng.randrange(len(pool))
        message = pool[index]
        if message.not_before > self.step and faults is not CALM:
            return
        if self.hardware.holds_up(message) or self.backups.holds(message.to):
            return
        if not self.happens(faults.repeat):
            pool[index] = pool[-1]
            pool.pop()
            if self.happens(faults.loss):
                self.note(f"lost: {message.label} to {message.to.name}")
                return
        if self.hardware.takes_over(message):
            return
        node = message.to
        if not node.up or message.life not in {None, node.life}:
            self.note(f"nobody there: {message.label} to {node.name}")
            return
        self.note(f"{message.label} to {node.name}")
        node.run(cast("Callable[[], None]", message.action))

    def settle(self) -> None:
        """Ends all faults and lets everything come to its end; `Violation` if it does not."""
        self.note("healed")
        self.faults = CALM
        self.hardware.heal()
        quiet_rounds = 0
        for _ in range(DRAIN_STEPS_MAX):
            self._pass_time()
            if any(not node.up for node in self._mortals()):
                self._start_one()
            elif self.pool:
                # It waits for room, and callers that lose patience may leave no silence.
                self.merge.run(self.merge.write_again)
                self._deliver()
                if self.rng.random() < 0.1:
                    callers: list[Caller | Reader] = [*self.clients, *self.readers]
                    self.rng.choice(callers).go_on()
            elif self.backups.are_under_way:
                continue
            elif self._is_done():
                return
            else:
                quiet_rounds += 1
                require(quiet_rounds < QUIET_ROUNDS_MAX, f"never answered: {self._unfinished()}")
                self._wake_all()
        raise Violation(f"never quiet: {self._unfinished()}")

    def _wake_all(self) -> None:
        self.note("silence")
        self.merge.run(self.merge.write_again)
        for client in self.clients:
            client.go_on(impatient=True)
        for node in self._askers():
            node.ask_again()
        for gateway in self.gateways:
            gateway.sweep(self.now_us + 1)
        if self.plan.sweep_after_us is not None:
            self.merge.sweep(self.now_us + 1)
        elif any(shard.machine.pending for shard in self.shards):
            # Without sweeps from time to time there is still the one after each start.
            self.merge.crash()

    def _is_done(self) -> bool:
        return not self._unfinished()

    def _unfinished(self) -> list[str]:
        waiting = [each.name for each in self.clients if not each.is_done]
        waiting += [each.name for each in self.gateways if not each.is_idle]
        waiting += [each.name for each in self.readers if not each.is_idle]
        waiting += [f"{each.name} pending" for each in self.shards if each.machine.pending]
        if self.parts.sweeps_owed:
            waiting += [f"{each.name} owes" for each in self.shards if each.machine.owed]
        return waiting if self.merge.machine.is_idle else [*waiting, "m"]
