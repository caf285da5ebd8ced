from __future__ import annotations

from dataclasses import replace
from unittest.mock import patch

import pytest

from tests.simulation.lmdb_store import LmdbStore, lmdb_parts
from tests.simulation.plan import draw
from tests.simulation.run import ScheduleFailed, run_plan
from tests.simulation.violation import Violation
from tests.simulation.workers import run_beside
from tests.simulation.world import Parts
from unify_grpc.storage import store as store_module

pytestmark = pytest.mark.simulation

SEEDS = 300
CHUNK_SEEDS = 100


@pytest.mark.timeout(240)
@pytest.mark.parametrize("start", range(0, SEEDS, CHUNK_SEEDS))
def test_every_schedule_keeps_every_promise_on_lmdb(start: int) -> None:
    """Over the real storage layer, ended at and between commits, all invariants hold as well."""
    failures = run_beside(start, CHUNK_SEEDS, chunk=10, arguments=["--lmdb"])

    assert not failures, "\n\n".join(failure.text for failure in failures)


@pytest.mark.parametrize("seed", range(0, 60, 6))
def test_lmdb_holds_what_memory_does(seed: int) -> None:
    """The same schedule ends with the same steps, records and rows, to the byte."""
    plan = draw(seed)
    # A node may end at each record it replays, and how many those are is a store's own business.
    plan = replace(plan, faults=replace(plan.faults, crash_at_start=0))
    in_memory = run_plan(plan, Parts(disk_store=None))
    with lmdb_parts(seed) as parts:
        on_disk = run_plan(plan, parts)

        assert in_memory.trace == on_disk.trace
        assert in_memory.state_hash() == on_disk.state_hash()


@pytest.mark.parametrize("seed", [4, 11])
def test_a_seed_repeats_its_run_on_lmdb(seed: int) -> None:
    """Threads that make checkpoints wait for the schedule: nothing depends on their speed."""
    hashes = []
    for _ in range(2):
        with lmdb_parts(seed) as parts:
            world = run_plan(draw(seed), parts)
            hashes.append((world.trace_hash(), world.state_hash()))

    assert hashes[0] == hashes[1]


def test_schedules_on_lmdb_meet_what_they_are_made_for() -> None:
    """Processes end in the middle of a checkpoint, behind its commit, and with none under way."""
    met: set[str] = set()
    end_thread = LmdbStore._end_thread

    def noting(store: LmdbStore) -> object:
        is_waiting = store.has_checkpoint
        position = store.stored_position()
        cut = end_thread(store)
        if cut is not None:
            met.add("in its middle")
        elif store.stored_position() > position:
            met.add("behind its commit")
        else:
            met.add("before it" if is_waiting else "none under way")
        return cut

    with patch.object(LmdbStore, "_end_thread", noting):
        for seed in range(20):
            with lmdb_parts(seed) as parts:
                run_plan(draw(seed), parts)

    assert {"in its middle", "behind its commit", "before it", "none under way"} == met


def test_a_checkpoint_without_its_position_is_found_on_lmdb() -> None:
    """The checkers see what the real store forgets, as they do with simulated ones."""
    with patch.object(store_module, "write_position", lambda *_: None):
        assert isinstance(_first_error(range(20)), Violation)


def _first_error(seeds: range) -> Exception | None:
    for seed in seeds:
        with lmdb_parts(seed) as parts:
            try:
                run_plan(draw(seed), parts)
            except ScheduleFailed as failed:
                return failed.error
    return None
