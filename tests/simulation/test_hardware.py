"""Faults below the protocol: that plans draw them, that they happen, and what they do."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest

from tests.simulation.cuts import Cut, Cuts
from tests.simulation.disk_store import DiskStore
from tests.simulation.hardware import DAY_US
from tests.simulation.hardware_plan import SOUND, HardwareFaults
from tests.simulation.plan import CALM, Plan, draw
from tests.simulation.run import run_seed
from tests.simulation.world import World
from tests.simulation.zombies import Zombie
from unify_grpc.machines.batch import pack_batch

pytestmark = pytest.mark.simulation

DISKS = replace(SOUND, has_disks=True)
SEEDS = range(40)


def calm(hardware: HardwareFaults) -> Plan:
    """Returns a plan whose only faults are those of its hardware."""
    return replace(draw(3), shards=2, slow_shard=0, faults=CALM, hardware=hardware)


def stores_of(world: World) -> list[DiskStore]:
    """Returns the stores of a world that are on disks."""
    stores = [world.merge.store, *(shard.store for shard in world.shards)]
    return [store for store in stores if isinstance(store, DiskStore)]


def test_schedules_meet_the_faults_of_hardware() -> None:
    """Disks fill up and fail, power and processes go, old ones go on, cables are cut."""
    worlds = [run_seed(seed) for seed in SEEDS]
    traces = "\n".join(line for world in worlds for line in world.trace)
    stores = [store for world in worlds for store in stores_of(world)]

    signs = ["no room for its log", "no room for its state", "m refuses", "beside a commit"]
    signs += ["the power fails", "the power of ", "all processes end", "only seems to end"]
    signs += [" to old s", " to old m", "old s0 ends", "cut from ", "cut around ", " then "]
    signs += ["its clock"]
    assert [] == [sign for sign in signs if sign not in traces]
    assert any(store.checkpoint_position for store in stores)
    assert not all(map(stores_of, worlds)), "no world is spared"


@pytest.mark.parametrize("seed", [seed for seed in range(40) if draw(seed).hardware.has_disks][:3])
def test_hardware_repeats_its_run(seed: int) -> None:
    """The same seed gives the same faults, steps and rows."""
    first, second = run_seed(seed), run_seed(seed)

    assert first.trace_hash() == second.trace_hash()
    assert first.state_hash() == second.state_hash()


def test_sound_hardware_draws_nothing() -> None:
    """A plan without these faults has the schedule that it would have if they were unknown."""
    seed = next(seed for seed in SEEDS if draw(seed).hardware == SOUND)
    world = run_seed(seed)

    assert world.hardware.rng.getstate() == Random(f"disks {seed}").getstate()


def test_disks_that_never_fail_change_no_schedule() -> None:
    """The store of the service gives the rows that the store in memory gives, step by step."""
    for seed in range(12):
        plan = draw(seed)
        # The tails that starts replay are not as long: checkpoints take their time on disks.
        faults = replace(plan.faults, crash_at_start=0)
        plans = [replace(plan, faults=faults, hardware=each) for each in (SOUND, DISKS)]
        memory, disks = (World(plan) for plan in plans)
        for world in (memory, disks):
            world.run()

        assert memory.trace == disks.trace
        assert memory.state_hash() == disks.state_hash()


def test_an_old_process_ends_with_its_first_write() -> None:
    """Beside the process in its place it reads on, and nothing that it writes takes effect."""
    world = World(calm(DISKS))
    shard = world.shards[0]
    zombie = Zombie(shard, 1)
    shard.crash()
    shard.run(shard.start)
    shown = pack_batch(bytes(16), [(world.control.space, 1)], [])
    zombie.run(lambda: None)
    assert zombie.is_up
    zombie.run(lambda: shard.append(shown))  # type: ignore[arg-type]  # nobody waits

    assert not zombie.is_up
    assert shard.up
    assert {} == shard.store.log


def test_an_old_process_writes_until_another_opens_its_store() -> None:
    """Who is taken for dead and is alone has not lost what it stores."""
    world = World(calm(DISKS))
    shard = world.shards[0]
    zombie = Zombie(shard, 1)
    shard.crash()
    shown = pack_batch(bytes(16), [(world.control.space, 1)], [])
    zombie.run(lambda: shard.append(shown))  # type: ignore[arg-type]  # nobody waits
    shard.run(shard.start)

    assert zombie.is_up
    assert [1] == list(shard.store.log)
    assert zombie.store.rows == shard.store.rows


def test_a_merge_actor_without_room_handles_nothing_else() -> None:
    """What it decided stands first, until there is room for it."""
    world = World(calm(DISKS))
    world.control.version = 1
    document = world.control.newest()
    merge, hardware = world.merge, world.hardware
    assert isinstance(merge.store, DiskStore)
    hardware.is_faulty = True
    hardware._full[merge.store.disk.log] = 10
    merge.run(lambda: merge.adopt_rules(*document))
    world.send("anything", merge, lambda: None)

    assert merge.unwritten is not None
    assert hardware.holds_up(world.pool[0])
    world.step = 10
    merge.run(merge.write_again)
    assert merge.unwritten is None
    assert not hardware.holds_up(world.pool[0])
    assert [1] == list(merge.store.log)


def test_a_cable_may_be_cut_one_way() -> None:
    """What does not get from one node to another may still come back."""
    cuts = Cuts(Random(0))
    cuts.cuts = [Cut("s0", "m", 5, 8)]

    assert [False, True, True, True, False] == [cuts.is_cut("s0", "m", at) for at in range(4, 9)]
    assert not cuts.is_cut("m", "s0", 6)
    assert not cuts.is_cut(None, "m", 6)


def test_cables_are_cut_in_one_order_and_mended_in_another() -> None:
    """Series of nodes are left alone one after another, and come back otherwise."""
    met: set[bool] = set()
    for seed in range(40):
        cuts = Cuts(Random(seed))
        told = cuts.draw(["s0", "s1", "s2", "m", "g0"], 0)
        if " then " in told:
            mended = [cut.until_step for cut in cuts.cuts if cut.receiver is None]
            met.add(mended == sorted(mended))

    assert {False, True} == met


def test_stamps_rise_though_a_clock_goes_back() -> None:
    """A gateway whose clock loses a day stamps on behind its last stamp."""
    world = World(calm(SOUND))
    gateway = world.gateways[0]
    gateway.stamp_us = world.now_us
    gateway.clock_error_us = -DAY_US
    world.clients[0].go_on()
    message = world.pool[-1]
    message.to = gateway
    gateway.run(message.action)  # type: ignore[arg-type]  # nobody waits

    assert gateway.stamp_us > world.now_us
