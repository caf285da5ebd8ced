from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from tests.simulation.checkers import check
from tests.simulation.gateway import Attempt
from tests.simulation.judge import decisions_of
from tests.simulation.kept import failed_once
from tests.simulation.minimising import run_or_tell
from tests.simulation.plan import CALM, draw, draw_plain
from tests.simulation.racing import draw_racing
from tests.simulation.run import ScheduleFailed, relevant, run_plan, run_seed
from tests.simulation.stored import Logs
from tests.simulation.traffic import Traffic
from tests.simulation.violation import Violation
from tests.simulation.workers import run_beside
from tests.simulation.world import World
from unify_grpc.identity.deletion import DeletionRefusal
from unify_grpc.machines.assembly import read_profile
from unify_grpc.machines.deleting import AGE_RECORD
from unify_grpc.machines.deletions import decode_ageing
from unify_grpc.machines.merge_machine import ROUND_RECORD
from unify_grpc.placement.members import incarnation_of

pytestmark = pytest.mark.simulation

SEEDS = 5_000
CHUNK_SEEDS = 500
RACING_SEEDS = 100
FAILED_ONCE = failed_once()
ASKED_FOR = os.environ.get("UNIFY_SEED")


@pytest.mark.timeout(240)
@pytest.mark.skipif(ASKED_FOR is not None, reason="UNIFY_SEED asks for one")
@pytest.mark.parametrize("start", range(0, SEEDS, CHUNK_SEEDS))
def test_every_schedule_keeps_every_promise(start: int) -> None:
    """Whatever is lost, late, repeated or ends, all invariants hold then and afterwards."""
    failures = run_beside(start, CHUNK_SEEDS, chunk=25)

    assert not failures, "\n\n".join(failure.text for failure in failures)


@pytest.mark.skipif(ASKED_FOR is None, reason="UNIFY_SEED names no seed")
def test_the_seed_asked_for() -> None:
    """The seed in UNIFY_SEED keeps every promise."""
    run_or_tell(int(ASKED_FOR or 0))


@pytest.mark.parametrize("seed", range(RACING_SEEDS))
def test_rules_that_race_full_streams_keep_every_promise(seed: int) -> None:
    """Neither does the order of a stream break while its rules change again and again."""
    run_plan(draw_racing(seed))


@pytest.mark.parametrize("seed", FAILED_ONCE)
def test_a_seed_that_failed_once_does_not_fail_again(seed: int) -> None:
    """A schedule that broke a promise before the fix keeps it now."""
    run_or_tell(seed)


@pytest.mark.parametrize("seed", [3, 14, 15])
def test_a_seed_repeats_its_run(seed: int) -> None:
    """The same seed gives the same steps and the same rows, to the byte."""
    first, second = run_seed(seed), run_seed(seed)

    assert first.trace_hash() == second.trace_hash()
    assert first.state_hash() == second.state_hash()


def test_no_hash_of_python_decides_anything() -> None:
    """Processes with other hashes of strings, hence other orders of sets, run the same."""
    command = [
        sys.executable,
        "-m",
        "tests.simulation",
        "--hashes",
        "--start",
        "20",
        "--seeds",
        "6",
    ]
    told = {
        subprocess.run(
            command, env={**os.environ, "PYTHONHASHSEED": each}, check=True, capture_output=True
        ).stdout
        for each in ("0", "1", "4711")
    }

    assert 1 == len(told)
    assert 6 == len(set(told.pop().splitlines()))


def test_seeds_differ() -> None:
    """Different seeds give different runs, or there would be no point in running many."""
    assert len({run_seed(seed).trace_hash() for seed in range(8)}) == 8


def test_schedules_meet_what_they_are_made_for() -> None:
    """Crashes, repeats, sweeps, merges of linked profiles, drops and voids all happen."""
    worlds = [run_seed(seed) for seed in range(40)]
    decisions = [each for world in worlds for each in decisions_of(world)]
    traces = "\n".join(line for world in worlds for line in world.trace)
    journals = [record[:1] for world in worlds for record in world.merge.store.log.values()]

    assert any(each.absorbed for each in decisions)
    assert any(each.adopted for each in decisions)
    assert {1, 2, 3, 4} <= {reason for each in decisions for _, reason in each.drops}
    assert b"V" in journals
    takings = [each for world in worlds for each in world.merge.strangers.values()]
    assert any(not each.is_sweep for each in takings), "no link came by another stream"
    assert any(each.is_sweep and len({shard for shard, _ in each.order}) > 1 for each in takings), (
        "no sweep took up links of several shards"
    )
    assert any(world.merge.strays for world in worlds)
    for sign in ("m ends", "s0 ends", "g0 ends", "lost: ", "nobody there: ", "checkpoint"):
        assert sign in traces


def test_schedules_delete_what_they_are_made_for() -> None:
    """Identifiers go from merged profiles and from untouched ones, twice, or not at all."""
    worlds = [run_seed(seed) for seed in range(120)]
    traces = "\n".join(line for world in worlds for line in world.trace)
    journals = [[record for _, record in sorted(each.merge.store.log.items())] for each in worlds]
    ageings = [
        decode_ageing(record[1:])
        for journal in journals
        for record in journal
        if record[:1] == AGE_RECORD
    ]
    between = [
        record[:1] + after[:1] for journal in journals for record, after in pairwise(journal)
    ]

    assert any(each.adopted for each in ageings)
    assert any(incarnation_of(each.member) for each in ageings), "no later life was deleted"
    assert AGE_RECORD + ROUND_RECORD in between, "nothing was decided while a profile aged"
    assert any(not each.is_remembered for world in worlds for each in decisions_of(world)), (
        "no decision on an ageing profile"
    )
    for refusal in DeletionRefusal:
        assert f": refused {refusal.name}" in traces


@pytest.mark.parametrize("seed", range(0, 60, 3))
def test_the_number_of_shards_shows_nowhere(seed: int) -> None:
    """What is sent one after another gives the same on one shard and on four."""
    one, four = (_one_after_another(seed, shards) for shards in (1, 4))

    assert _outcomes(one) == _outcomes(four)
    assert _profiles(one) == _profiles(four)


def test_a_failure_tells_its_seed_and_how_to_repeat_it() -> None:
    """The text of a failure has the seed, the steps that name what failed, and the command."""
    world = World(draw(7))
    world.note("append [c0-1]")
    failure = str(ScheduleFailed(world, Violation("c0-1 is gone")))

    assert "seed 7" in failure
    assert "python -m tests.simulation --start 7 --seeds 1" in failure


def test_the_trace_shown_is_the_end_and_what_was_named() -> None:
    """Earlier steps are shown where they name what failed, and left out where they do not."""
    trace = [f"append [c0-{number}]" for number in range(100)]
    shown = relevant(trace, "c0-3 is gone")

    assert "append [c0-3]" in shown
    assert "append [c0-4]" not in shown
    assert "append [c0-99]" in shown


def _one_after_another(seed: int, shards: int) -> World:
    """A world that was sent its requests one at a time, each only when all before were at rest."""
    plan = draw_plain(seed)
    requests = Traffic(replace(plan, requests=15), 0).requests()
    world = World(
        replace(plan, shards=shards, slow_shard=0, requests=0, readers=0, deletions=0, faults=CALM)
    )
    gateway, client = world.gateways[0], world.clients[0]
    for number, request in enumerate(requests):
        attempt = Attempt(client, number, world.number(), 0, request.events, resolved=True)
        world.ledger.sent(attempt)
        gateway.take(attempt)
        world.settle()
    check(world)
    return world


def _outcomes(world: World) -> list[Any]:
    """What was decided, event after event, by message and not by place; users' and accounts'."""
    logs = Logs(world)
    outcomes = [
        (logs.events[each.shard, each.position].key, each.outcome, each.root, each.drops)
        for each in decisions_of(world)
    ]
    return sorted(outcomes, key=lambda each: each[0][0].collection)


def _profiles(world: World) -> set[Any]:
    """Every profile as a reader sees it."""
    found = set()
    for identifier in world.ledger.shown:
        key = world.control.key(identifier)
        profile = world.read_now(
            read_profile(world.shard_map, world.control.space, key, with_traits=True)
        )
        assert profile is not None
        found.add(
            (
                profile.base.root,
                profile.base.merges,
                frozenset((part.type, part.value, part.joined_us) for part in profile.parts),
                frozenset((name, cell.value_json) for name, cell in profile.traits.items()),
                sum(sum(part.counts) for part in profile.parts),
            )
        )
    return found
