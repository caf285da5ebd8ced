"""A second world, begun from the backup that was made in a first: nothing else is left of that.

Whoever was told something before the cut finds it there at once; then everything is sent again, by
new callers through new gateways, and in the end all that holds of any world has to hold of it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tests.simulation.checkers import check
from tests.simulation.clients import StreamClient
from tests.simulation.hardware_plan import SOUND
from tests.simulation.plan import CALM
from tests.simulation.world import World
from unify_grpc.storage.memory import MemoryStore

if TYPE_CHECKING:
    from tests.simulation.backups import Backup
    from tests.simulation.nodes import MergeNode, ShardNode


def check_backup(world: World) -> None:
    """Restores the backup that was made, if one was, and checks the world that comes of it."""
    backup = world.backups.made
    if backup is None:
        return
    restored = _restore(world, backup)
    try:
        restored.ledger.check_shown()
        restored.settle()
        check(restored)
    finally:
        world.trace.extend(["restored:", *restored.trace])


def _restore(world: World, backup: Backup) -> World:
    """Returns a world in which the nodes have just started with what the backup holds."""
    plan = replace(world.plan, faults=CALM, hardware=SOUND, backup=None, deletions=0, slow_shard=0)
    restored = World(plan, replace(world.parts, store=MemoryStore, disk_store=None))
    restored.step, restored.now_us = backup.picture.step, world.now_us
    restored.numbers = world.numbers
    _take_over_books(restored, backup)
    vars(restored.control).update(backup.control)
    for node in _stores(restored):
        node.store = backup.stores[node.name]
    restored.merge.takings = dict(backup.picture.takings)
    restored.merge.strays = set(backup.picture.strays)
    for each in (*restored.shards, *restored.gateways, restored.merge):
        each.crash()
        each.run(each.start)
    for client in restored.clients:
        if isinstance(client, StreamClient):
            client.open()
    return restored


def _stores(world: World) -> list[MergeNode | ShardNode]:
    return [world.merge, *world.shards]


def _take_over_books(restored: World, backup: Backup) -> None:
    """Lets the second world's books begin with what the first's said at the cut."""
    vars(restored.ledger).update(backup.picture.ledger)
    vars(restored.ledger.deletions).update(backup.picture.deletions)
    restored.ledger.reads_step = -1
    restored.strange_sides = set(backup.picture.strange_sides)
