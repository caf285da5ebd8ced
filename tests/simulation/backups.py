"""Backups in the simulated world: the coordinator, the parts at the nodes, and what they keep.

Messages of a backup travel beside all others, and get lost, late and twice as they do; from a
stream of their own, so that worlds without a backup are what they would be without any of this.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.simulation.disk_store import DiskStore
from tests.simulation.violation import require
from unify_grpc.machines.backup_barrier import Ask, BackupBarrier, Phase
from unify_grpc.machines.backup_part import BackupPart, Effect
from unify_grpc.machines.backup_records import (
    COPIED,
    COPYING,
    OVER,
    CopiedFile,
    PartReply,
    StoreFacts,
)
from unify_grpc.storage.fence import EPOCH_KEY
from unify_grpc.storage.memory import MemoryStore
from unify_grpc.storage.positions import POSITION_KEY
from unify_grpc.storage.records import unseal

if TYPE_CHECKING:
    from tests.simulation.control import Control
    from tests.simulation.nodes import MergeNode, Node, ShardNode
    from tests.simulation.stores import WorldStore
    from tests.simulation.world import World
    from unify_grpc.machines.backup_records import AnyBackupCommand

HELD_BACK_STEPS = 60
"""For which a message of a backup is held back at most."""
LEASE_STEPS = 200
PATIENCE_STEPS = 150
"""Before a part's answer is not waited for any more; longer than a hold, as in the service."""
ASKED_AGAIN = 0.03
"""Chance, per step, that what is not answered is sent again."""
FINISHES = 0.2
"""Chance, per step, that a copy is finished."""
FACTS = StoreFacts("simulated", 1, 1, 1)
Cut = MemoryStore | dict[str, Any]
"""What was kept of a node's store; of control, which has none here, what it knew."""


class Picture(NamedTuple):
    """The books at one moment, which a backup is compared with."""

    step: int
    ledger: dict[str, Any]
    deletions: dict[str, Any]
    takings: dict[Any, Any]
    strays: set[Any]
    strange_sides: set[Any]


class Backup(NamedTuple):
    """A finished backup."""

    stores: dict[str, MemoryStore]
    """By node."""
    control: dict[str, Any]
    """What control knew: it has no store in this world."""
    picture: Picture
    """When all held still."""


@dataclass(slots=True)
class _Letter:
    """A message of a backup on its way."""

    label: str
    action: Callable[[], None]
    not_before: int
    is_again: bool = False


@dataclass(slots=True)
class _Part:
    """What a node's process has of backups; gone when it ends."""

    life: int
    """Of the node."""
    machine: BackupPart
    is_held: bool = False
    cut: Cut | None = None
    cut_for: str = ""


@dataclass(slots=True)
class _Attempt:
    """An attempt as its coordinator knows it."""

    backup: str
    barrier: BackupBarrier
    asked: dict[Ask, int] = field(default_factory=dict)
    """To the step in which each was sent first."""
    picture: Picture | None = None


class Backups:
    """All there is about backups in a world."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.plan = world.plan.backup
        self.made: Backup | None = None
        if self.plan is None:
            return
        self.rng = world.stream(f"backup {world.plan.seed}")
        self._attempts_left = self.plan.attempts
        self._next_step = self.plan.first_step
        self._letters: list[_Letter] = []
        self._attempt: _Attempt | None = None
        self._parts: dict[str, _Part] = {}
        self._copies: dict[tuple[str, str], Cut] = {}
        """What lies in a backup's directory: by attempt and node."""

    # -- what the world asks ------------------------------------------------------------------

    def holds(self, node: Node) -> bool:
        """Whether a node's writer stands still, so that nothing reaches it which might write."""
        if self.plan is None or not self.world.parts.backups_hold:
            return False
        part = self._parts.get(node.name)
        return part is not None and part.life == node.life and part.is_held

    def step(self) -> None:
        """Lets happen what happens in a step."""
        if self.plan is None:
            return
        self._pass_time()
        remaining = 2 * self.plan.pace * self.rng.random()
        while remaining > self.rng.random():
            remaining -= 1
            self._deliver()
        attempt = self._attempt
        if attempt is not None:
            self._attend(attempt)
        elif self._attempts_left and self.made is None and self.world.step >= self._next_step:
            self._begin()

    @property
    def are_under_way(self) -> bool:
        """Whether one is being made, or a writer still stands still for one."""
        if self.plan is None:
            return False
        held = any(self.holds(node) for node in self._nodes())
        return held or self._attempt is not None

    # -- the coordinator ----------------------------------------------------------------------

    def _begin(self) -> None:
        self._attempts_left -= 1
        backup = f"b{self.world.number()}"
        nodes = [node.name for node in self._nodes()]
        attempt = self._attempt = _Attempt(backup, BackupBarrier(backup, nodes, f"/{backup}"))
        self.world.note(f"{backup} begins")
        self._ask(attempt, attempt.barrier.begin())

    def _attend(self, attempt: _Attempt) -> None:
        """Repeats, gives up or ends, as the seed says."""
        assert self.plan is not None
        rng, step = self.rng, self.world.step
        if rng.random() < self.plan.vanish:
            self.world.note(f"{attempt.backup} loses its coordinator")
            self._end()
            return
        late = [ask for ask, sent in attempt.asked.items() if step - sent > PATIENCE_STEPS]
        for ask in late:
            del attempt.asked[ask]
            self._ask(attempt, attempt.barrier.unanswered(ask))
        if rng.random() < ASKED_AGAIN:
            for ask in attempt.barrier.asked:
                self._send_ask(attempt, ask)
        self._look_at(attempt)

    def _look_at(self, attempt: _Attempt) -> None:
        """Does what follows from how far the attempt is."""
        barrier = attempt.barrier
        if barrier.phase is Phase.RESERVED:
            self._ask(attempt, barrier.hold(1))
        if barrier.phase is Phase.RELEASING and attempt.picture is None:
            attempt.picture = self._take_picture()
        if not barrier.is_over or attempt is not self._attempt:
            return
        if barrier.phase is Phase.DONE:
            assert attempt.picture is not None
            cuts = {node.name: self._copy_of(attempt, node) for node in self._nodes()}
            control: Any = cuts.pop(self.world.control.name)
            stores: Any = cuts
            self.made = Backup(stores, control, attempt.picture)
        else:
            for at in [at for at in self._copies if at[0] == attempt.backup]:
                del self._copies[at]
        self.world.note(f"{attempt.backup} ends: {barrier.phase.name} {barrier.failure or ''}")
        self._end()

    def _copy_of(self, attempt: _Attempt, node: Node) -> Cut:
        copy = self._copies.get((attempt.backup, node.name))
        require(copy is not None, f"{attempt.backup}: nothing of {node.name} is left")
        assert copy is not None
        return copy

    def _end(self) -> None:
        assert self.plan is not None
        self._attempt = None
        self._next_step = self.world.step + self.plan.pause_steps

    def _ask(self, attempt: _Attempt, asks: list[Ask]) -> None:
        for ask in asks:
            attempt.asked.setdefault(ask, self.world.step)
            self._send_ask(attempt, ask)

    def _send_ask(self, attempt: _Attempt, ask: Ask) -> None:
        label = f"{type(ask.command).__name__} {attempt.backup} to {ask.part}"
        self._send(label, lambda: self._reach(attempt, ask))

    def _reach(self, attempt: _Attempt, ask: Ask) -> None:
        node = next(each for each in self._nodes() if each.name == ask.part)
        if not node.up:
            return
        reply = self._take(node, ask.command)
        self._send(
            f"{reply.state} of {ask.part} to {attempt.backup}",
            lambda: self._on_answer(attempt, ask, reply),
        )

    def _on_answer(self, attempt: _Attempt, ask: Ask, reply: PartReply) -> None:
        if attempt is not self._attempt:
            return
        attempt.asked.pop(ask, None)
        self._ask(attempt, attempt.barrier.answered(ask, reply))
        self._look_at(attempt)

    # -- the parts ----------------------------------------------------------------------------

    def _take(self, node: Node, command: AnyBackupCommand) -> PartReply:
        part = self._part_of(node)
        state, effect = part.machine.take(command, self.world.step)
        self._act(node, part, effect, command.backup)
        files = (CopiedFile(node.name, 0, ""),) if state == COPIED else ()
        return PartReply(state, part.machine.life, 0, FACTS if state != OVER else None, files)

    def _act(self, node: Node, part: _Part, effect: Effect | None, backup: str) -> None:
        match effect:
            case Effect.CUT:
                part.is_held, part.cut, part.cut_for = True, self._cut(node), backup
                self.world.note(f"{node.name} is held for {backup}")
            case Effect.LET_GO:
                part.is_held = False
            case Effect.COPY:
                assert part.cut is not None
                self._copies[backup, node.name] = part.cut
            case Effect.DROP | Effect.LEAVE:
                if effect is Effect.DROP:
                    self._copies.pop((part.cut_for, node.name), None)
                part.is_held, part.cut, part.cut_for = False, None, ""
            case None:
                pass

    def _part_of(self, node: Node) -> _Part:
        assert self.plan is not None
        part = self._parts.get(node.name)
        if part is None or part.life != node.life:
            machine = self.world.parts.backup_part(
                self.world.number(), hold_s=self.plan.hold_steps, lease_s=LEASE_STEPS
            )
            part = self._parts[node.name] = _Part(node.life, machine)
        return part

    def _pass_time(self) -> None:
        """Ends what nobody asks for in time, and finishes copies."""
        for node in self._nodes():
            part = self._parts.get(node.name)
            if part is None:
                continue
            if part.life != node.life:
                part.is_held = False
                continue
            machine = part.machine
            self._act(node, part, machine.expire(self.world.step), machine.backup)
            if machine.state == COPYING and self.rng.random() < FINISHES:
                machine.copied(machine.backup)

    def _nodes(self) -> list[Control | MergeNode | ShardNode]:
        world = self.world
        return [world.control, world.merge, *world.shards]

    def _cut(self, node: Node) -> Cut:
        world = self.world
        if node is world.control:
            return {name: _copied(value) for name, value in vars(node).items() if name != "world"}
        stores: list[MergeNode | ShardNode] = [world.merge, *world.shards]
        return cut_of(next(each for each in stores if each is node).store)

    def _take_picture(self) -> Picture:
        """Notes what all callers know now: everything of it has to be in the backup."""
        world = self.world
        return Picture(
            world.step,
            {name: _copied(value) for name, value in _books(world.ledger).items()},
            {name: _copied(value) for name, value in _books(world.ledger.deletions).items()},
            dict(world.merge.takings),
            set(world.merge.strays),
            set(world.strange_sides),
        )

    # -- letters ------------------------------------------------------------------------------

    def _send(self, label: str, action: Callable[[], None]) -> None:
        assert self.plan is not None
        rng = self.rng
        is_slow = rng.random() < self.plan.slow
        held = rng.randrange(HELD_BACK_STEPS) if is_slow else 0
        self._letters.append(_Letter(label, action, self.world.step + held))

    def _deliver(self) -> None:
        assert self.plan is not None
        faults, rng, letters = self.world.faults, self.rng, self._letters
        step = self.world.step
        due = [at for at, each in enumerate(letters) if each.not_before <= step]
        if not due:
            return
        at = rng.choice(due)
        letter = letters[at]
        if not letter.is_again and rng.random() < self.plan.repeat:
            letter.is_again = True
            letter.not_before = step + rng.randrange(HELD_BACK_STEPS)
        else:
            letters[at] = letters[-1]
            letters.pop()
        if rng.random() < faults.loss:
            return
        self.world.note(letter.label)
        letter.action()


def cut_of(store: WorldStore) -> MemoryStore:
    """Returns a store of its own with what a copy of both environments would have."""
    if isinstance(store, MemoryStore):
        cut = store.crashed()
    else:
        cut = MemoryStore()
        if isinstance(store, DiskStore):
            _keep_checkpoint(cut, store.disk.state.found)
        cut.log = dict(store.log)
        cut.next_number = max(cut.log, default=0) + 1
    cut.rows = dict(store.rows)
    return cut


def _keep_checkpoint(cut: MemoryStore, written: dict[bytes, bytes]) -> None:
    """Gives a store the rows that a checkpoint has written, and their position."""
    position = written.get(POSITION_KEY)
    number = 0 if position is None else int.from_bytes(unseal(position, "a position"), "big")
    cut.rows = {
        key: unseal(data, "a row")
        for key, data in written.items()
        if key not in {POSITION_KEY, EPOCH_KEY}
    }
    cut.next_number = number + 1
    cut.checkpoint()


def _books(books: object) -> dict[str, Any]:
    """Returns what books hold themselves, and not the world that they are about."""
    return {
        name: value
        for name, value in vars(books).items()
        if isinstance(value, dict | list | set | int | bytes)
    }


def _copied(value: Any) -> Any:
    """Returns a copy of books down to what is never changed."""
    if isinstance(value, dict):
        return {key: _copied(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_copied(each) for each in value]
    return set(value) if isinstance(value, set) else value
