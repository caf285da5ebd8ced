"""Whatever goes wrong below the protocol: disks, power, processes that live on, cables, clocks.

All of it is drawn from a stream of its own; a plan whose hardware is sound draws nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar, cast

from tests.simulation.cuts import Cuts
from tests.simulation.disk import Disk, Environment, Fate, Trouble
from tests.simulation.disk_store import DiskStore
from tests.simulation.hardware_plan import SOUND
from tests.simulation.nodes import MergeNode, ShardNode
from tests.simulation.readers import Reader
from tests.simulation.violation import Violation
from tests.simulation.zombies import Zombie
from unify_grpc.storage.memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.simulation.gateway import Gateway
    from tests.simulation.nodes import Node
    from tests.simulation.stores import WorldStore
    from tests.simulation.world import Message, World

T = TypeVar("T")
DAY_US = 86_400_000_000
ZOMBIES_MAX = 3
TO_ZOMBIE = (0.1, 0.4, 0.8)
"""Chance that a message reaches the earlier of two processes, one of these."""
LEFT_BEHIND = 0.01
"""Chance, per step, that a process is taken for dead which goes on."""
ZOMBIE_STIRS = 0.05
"""Chance, per step, that one does something by itself."""
THREAD_RUNS = 0.15
"""Chance, per step, that a checkpoint does its work."""
LOST_IN_CUT = 0.3
"""Chance that a message which meets a cut is lost; else it waits for the end of the cut."""
CHECKPOINT_FAILS = 4
"""How many times as often as the write of a record: there are fewer."""
FULL_STEPS = (10, 40, 150)
PUTS_TRIED = 12
"""Before one of so many puts a transaction may fail."""
_TROUBLES = (Trouble.MAP_FULL, Trouble.DISK_FULL, Trouble.ERROR, Trouble.END, Trouble.END)


class Hardware:
    """The hardware of a world."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.plan = world.plan.hardware
        self.rng = world.stream(f"disks {world.plan.seed}")
        self.cuts = Cuts(self.rng)
        self.zombies: list[Zombie] = []
        self.is_faulty = False
        """From the first step until everything is healed."""
        self.has_jumped = False
        self._full: dict[Environment, int] = {}
        """Until which step an environment has no room."""

    # -- what the world asks ------------------------------------------------------------------

    def new_store(self, node: ShardNode | MergeNode) -> WorldStore:
        """Returns an empty store for a node."""
        parts = self.world.parts
        if not self.plan.has_disks or parts.disk_store is None or parts.store is not MemoryStore:
            return parts.store()
        disk = parts.disk_store.disk_type(self, node)
        return parts.disk_store(disk, self.plan.checkpoint_bytes)

    def step(self) -> None:
        """Lets happen what happens by itself."""
        plan = self.plan
        if plan == SOUND:
            return
        self.is_faulty = True
        self._stir_disks()
        for zombie in list(self.zombies):
            if self._happens(ZOMBIE_STIRS):
                self._stir(zombie)
        if self._happens(plan.power):
            self._lose_power()
        if self._happens(plan.all_end):
            self._end_all("all processes end")
        if self._happens(plan.lives_on * LEFT_BEHIND):
            self._leave_behind()
        if self._happens(plan.cut):
            names = [each.name for each in self._on_cables()]
            self.world.note(self.cuts.draw(names, self.world.step))
        if self._happens(plan.clock_jump):
            self._jump()

    def heal(self) -> None:
        """Mends everything."""
        if not self.is_faulty:
            return
        self.is_faulty = False
        self.cuts.cuts.clear()
        self.zombies.clear()
        self._full.clear()
        world = self.world
        for gateway in world.gateways:
            gateway.clock_error_us = 0
        if self.has_jumped:
            # Until what was stamped too early is past, and nobody is too young for a sweep.
            world.now_us += 2 * DAY_US
        durable: list[ShardNode | MergeNode] = [*world.shards, world.merge]
        for node in durable:
            if node.up and isinstance(node.store, DiskStore):
                node.run(node.store.run_thread)
        if world.merge.up:
            world.merge.run(world.merge.write_again)

    @staticmethod
    def checkpoint(node: ShardNode | MergeNode) -> None:
        """Begins a checkpoint; where the store is in memory, it is also done."""
        store = node.store
        if not isinstance(store, DiskStore):
            store.checkpoint()
        elif node.up:
            node.run(store.begin_checkpoint)

    def seems_to_end(self, node: Node) -> None:
        """Decides whether a process that the world takes for dead is."""
        if self.is_faulty and self._happens(self.plan.lives_on):
            self._let_live_on(node)

    def holds_up(self, message: Message) -> bool:
        """Whether a message does not get through now; it may get lost, then."""
        if message.to is self.world.merge and self.world.merge.unwritten is not None:
            return True
        sender = message.sender.name if message.sender is not None else None
        step = self.world.step
        if not self.cuts.cuts or not self.cuts.is_cut(sender, message.to.name, step):
            return False
        if self._happens(LOST_IN_CUT):
            self.world.note(f"cut off: {message.label} to {message.to.name}")
            self.world.pool.remove(message)
        return True

    def takes_over(self, message: Message) -> bool:
        """Whether an earlier process of its receiver gets a message, and not the present one."""
        for zombie in self.zombies:
            if zombie.node is not message.to or zombie.process.get("unwritten") is not None:
                continue
            is_its_own = zombie.life == message.life
            if is_its_own or (message.life is None and self._happens(zombie.reached)):
                self.world.note(f"{message.label} to old {message.to.name}")
                self._run_zombie(zombie, cast("Callable[[], None]", message.action))
                return True
        return False

    # -- what disks ask -----------------------------------------------------------------------

    def fate_of(self, environment: Environment) -> Fate | None:
        """Decides what happens to a write transaction that begins."""
        if not self.is_faulty:
            return None
        is_first = environment.disk.is_opening and not any(
            zombie.store.disk is environment.disk for zombie in self.zombies
        )
        # An opening that has no room to raise its epoch keeps no earlier process from writing.
        may_be_full = is_first or not environment.disk.is_opening
        if self._full.get(environment, -1) > self.world.step:
            return Fate(Trouble.MAP_FULL, None, False, False) if may_be_full else None
        often = CHECKPOINT_FAILS if environment is environment.disk.state else 1
        if not self._happens(often * self.plan.write_fails):
            return None
        rng = self.rng
        trouble = rng.choice(_TROUBLES if may_be_full else _TROUBLES[2:])
        at_put = rng.choice((None, None, 0, rng.randrange(PUTS_TRIED)))
        is_found = rng.random() < 0.7
        return Fate(trouble, at_put, is_found, trouble is Trouble.ERROR or rng.random() < 0.5)

    def is_running(self, disk: Disk) -> bool:
        """Whether a process that has it open is what runs now; else somebody only looks."""
        return self.world.running is disk.node and not disk.is_opening

    def before_read(self, environment: Environment) -> None:
        """Lets a checkpoint go on before a reader begins its transaction."""
        disk = environment.disk
        if environment is disk.state and self.is_running(disk) and self._happens(self.plan.beside):
            cast("DiskStore", disk.node.store).run_thread()

    def meanwhile(self, store: DiskStore) -> None:
        """Lets a checkpoint go on beside the writer, who may be starting; healed, it does."""
        if store.has_thread and (not self.is_faulty or self._happens(THREAD_RUNS)):
            store.run_thread()

    def around_commit(self, environment: Environment) -> None:
        """Lets a checkpoint go on, or a reader come in, while a record is committed."""
        store = environment.disk.writer
        if environment is not environment.disk.log or store is None:
            return
        if not self.is_faulty or not self._happens(self.plan.beside):
            return
        if store.has_thread and self.rng.random() < 0.5:
            store.run_thread()
        elif environment.disk.opened is store:
            self._read_beside(environment.disk.node)

    # -- what happens -------------------------------------------------------------------------

    def _happens(self, chance: float) -> bool:
        return chance > 0 and self.rng.random() < chance

    def _on_cables(self) -> list[Node]:
        world = self.world
        return [*world.shards, world.merge, *world.gateways]

    def _stir_disks(self) -> None:
        world, step = self.world, self.world.step
        durable: list[ShardNode | MergeNode] = [*world.shards, world.merge]
        for node in durable:
            store = node.store
            if not isinstance(store, DiskStore):
                return
            if node.up and store.has_thread and self._happens(THREAD_RUNS):
                node.run(store.run_thread)
            if self._happens(self.plan.fills_up):
                environment = self.rng.choice((store.disk.log, store.disk.log, store.disk.state))
                self._full[environment] = step + self.rng.choice(FULL_STEPS)
                world.note(f"{node.name}: no room for its {environment.name}")
        merge = world.merge
        if merge.up and merge.unwritten is not None and self._happens(0.2):
            merge.run(merge.write_again)

    def _stir(self, zombie: Zombie) -> None:
        """Lets an earlier process do what it does without being asked."""
        node, world = zombie.node, self.world
        store = zombie.store
        if store.has_thread:
            self._run_zombie(zombie, store.run_thread)
        elif self._happens(0.3):
            self._run_zombie(zombie, store.begin_checkpoint)
        elif node is world.merge:
            merge = world.merge
            doing = (merge.ask_again, merge.write_again, lambda: merge.sweep(world.now_us + 1))
            self._run_zombie(zombie, self.rng.choice(doing))

    def _run_zombie(self, zombie: Zombie, action: Callable[[], None]) -> None:
        try:
            zombie.run(action)
        except Violation:
            raise
        except Exception:  # what it does not know of makes no sense to it
            # A shard refuses then, and a merge actor ends.
            if not zombie.process["is_outdated"]:
                raise
            self.world.note(f"old {zombie.node.name} is at a loss")
            if zombie.node is self.world.merge:
                zombie.process["up"] = False
        if not zombie.is_up:
            self.zombies.remove(zombie)

    def _leave_behind(self) -> None:
        """Has a process be taken for dead, which it is not."""
        node = self.rng.choice((*self.world.shards, self.world.merge))
        if node.up:
            self._let_live_on(node)
            node.crash()
            if self.rng.random() < 0.5:
                node.run(node.start)

    def _let_live_on(self, node: Node) -> None:
        world = self.world
        if not isinstance(node, ShardNode | MergeNode):
            return
        if isinstance(node.store, DiskStore) and len(self.zombies) < ZOMBIES_MAX:
            world.note(f"{node.name} only seems to end")
            self.zombies.append(Zombie(node, self.rng.choice(TO_ZOMBIE)))

    def _lose_power(self) -> None:
        """Ends all machines, or one of them; disks keep what they have synced."""
        world = self.world
        durable: list[ShardNode | MergeNode] = [*world.shards, world.merge]
        if self._happens(0.5):
            self._end_all("the power fails")
            lost = durable
        else:
            node = self.rng.choice(durable)
            lost = [node]
            world.note(f"the power of {node.name} fails")
            self.zombies = [each for each in self.zombies if each.node is not node]
            if node.up:
                node.crash()
        for node in lost:
            if isinstance(node.store, DiskStore):
                node.store.disk.lose_power()

    def _end_all(self, why: str) -> None:
        self.world.note(why)
        self.zombies.clear()
        for node in self._on_cables():
            if node.up:
                node.crash()

    def _jump(self) -> None:
        gateway: Gateway = self.rng.choice(self.world.gateways)
        gateway.clock_error_us = self.rng.choice((-DAY_US, 0, DAY_US))
        self.has_jumped = True
        self.world.note(f"{gateway.name}: its clock is off by {gateway.clock_error_us // DAY_US} d")

    def _read_beside(self, node: ShardNode | MergeNode) -> None:
        """Answers a reader in the middle of what the writer does."""
        world = self.world
        waiting = [
            message
            for message in world.pool
            if message.to is node and isinstance(message.sender, Reader)
        ]
        if waiting:
            message = self.rng.choice(waiting)
            world.pool.remove(message)
            world.note(f"{message.label} to {node.name}, beside a commit")
            message.action()
