"""What backups meet in the simulation, and that a restored world is looked at."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

import pytest

from tests.simulation.backups import Backup, cut_of
from tests.simulation.plan import draw
from tests.simulation.restored import check_backup
from tests.simulation.run import bounds, run_seed
from tests.simulation.violation import Violation
from unify_grpc.storage.memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.simulation.world import World

pytestmark = pytest.mark.simulation
WORLDS = 18


def seeds_with_backups() -> Iterator[int]:
    """Yields the seeds in which somebody asks for a backup."""
    return (seed for seed in range(10_000) if draw(seed).backup is not None)


def world_with_a_backup() -> tuple[World, Backup]:
    """Returns a world in which one was made, after somebody had been told of something."""
    for seed in seeds_with_backups():
        world = run_seed(seed)
        backup = world.backups.made
        if backup is not None and backup.picture.ledger["shown"]:
            return world, backup
    raise AssertionError("no seed has such a backup")


def test_backups_are_made_and_fail_as_they_are_made_to() -> None:
    """Some are made under faults and some when all is well; some end for each reason there is."""
    worlds = [run_seed(seed) for seed in islice(seeds_with_backups(), WORLDS)]
    traces = "\n".join(line for world in worlds for line in world.trace)
    made = [(world, world.backups.made) for world in worlds if world.backups.made is not None]

    assert len(made) > WORLDS / 3
    assert any(backup.picture.step < world.plan.steps for world, backup in made)
    assert any(backup.picture.step > world.plan.steps for world, backup in made)
    assert any(backup.picture.ledger["told"] for _, backup in made)
    for sign in ("UNAVAILABLE", "RUNNING", "loses its coordinator", "is held for", "restored:"):
        assert sign in traces


def test_a_world_without_a_backup_draws_nothing_for_it() -> None:
    """Nobody is held, nothing travels, and no second world is begun."""
    seed = next(seed for seed in range(100) if draw(seed).backup is None)
    world = run_seed(seed)

    assert world.backups.made is None
    assert not any(world.backups.holds(node) for node in (*world.shards, world.merge))
    assert "restored:" not in world.trace


def test_a_store_that_is_missing_in_a_backup_is_found() -> None:
    """What somebody was told before the cut has to show in the world that begins from it."""
    world, backup = world_with_a_backup()
    shown = next(iter(backup.picture.ledger["shown"]))
    shard = world.shards[world.shard_map.shard_of(world.control.key(shown))]
    world.backups.made = backup._replace(stores={**backup.stores, shard.name: MemoryStore()})

    with bounds(small=world.plan.small_bounds), pytest.raises(Violation):
        check_backup(world)


def test_a_cut_is_a_store_of_its_own() -> None:
    """What is written and checkpointed after it is not in it; its checkpoint is the store's."""
    store = MemoryStore()
    for number in range(1, 4):
        store.publish({b"row": bytes([number])}, store.append(b"record"))
        if number == 2:
            store.checkpoint()
    cut = cut_of(store)
    store.publish({b"row": b"later"}, store.append(b"record"))
    store.checkpoint()

    assert {b"row": b"\3"} == cut.rows
    assert [3] == [number for number, _ in cut.tail()]
    assert 4 == cut.next_number
