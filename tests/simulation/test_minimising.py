from __future__ import annotations

from dataclasses import MISSING, fields, replace
from pathlib import Path

import msgspec
import pytest

from tests.simulation.kept import load, pack
from tests.simulation.minimising import Minimised, kind_of, minimise, run_case, shrink
from tests.simulation.mutant import Mutant
from tests.simulation.mutants import MUTANTS
from tests.simulation.plan import Plan, draw
from tests.simulation.run import go_through, run_seed
from tests.simulation.taped_world import TapedWorld, most_like
from tests.simulation.violation import Violation

pytestmark = pytest.mark.simulation

KEPT = sorted((Path(__file__).parent / "kept").glob("*.json"))
SOME = (
    "no_dedupe",
    "acked_at_decision",
    "bindings_before_profiles",
    "nothing_pushed_after_a_start",
    "owed_side_cleared_early",
    "one_partner_is_enough",
)
SEEDS_MAX = 100
RUNS_MAX = 300


def smallest(mutant: Mutant, runs: int = RUNS_MAX) -> Minimised:
    """Returns what is left of a schedule that shows a mutant; the bound is the same everywhere."""
    with mutant.applied() as parts:
        for seed in (mutant.seed, *range(SEEDS_MAX)):
            found = minimise(plain(seed), parts, seconds=1_000, runs=runs)
            if found is not None and isinstance(found.run.error, Violation):
                return found
    raise AssertionError(f"nothing shows {mutant.name}")


def plain(seed: int) -> Plan:
    """Returns the plan of a seed without what not all plans have."""
    plan = draw(seed)
    special = {each.name: each.default for each in fields(plan) if each.default is not MISSING}
    return replace(plan, **special)


@pytest.mark.parametrize(
    "mutant", [each for each in MUTANTS if each.name in SOME], ids=lambda mutant: mutant.name
)
def test_what_is_left_still_breaks_the_same_promise(mutant: Mutant) -> None:
    """A minimised schedule is a fraction of the whole one, and ends in the same violation."""
    found = smallest(mutant)
    with mutant.applied() as parts:
        again = run_case(found.case, parts)

    assert isinstance(found.run.error, Violation)
    assert str(again.error) == str(found.run.error)
    assert again.world.trace == found.run.world.trace
    assert len(found.case.events) * 3 <= len(found.before.events)
    before = len(found.before.recording.faulty) + len(found.before.recording.healing)
    assert found.steps * 2 <= before
    assert str(found.run.error) in str(found)


@pytest.mark.parametrize(
    "mutant", [each for each in MUTANTS if each.name in SOME], ids=lambda mutant: mutant.name
)
def test_what_is_left_breaks_nothing_without_the_bug(mutant: Mutant) -> None:
    """What is left out of a schedule makes no violation of its own."""
    found = smallest(mutant, runs=60)

    assert run_case(found.case, None).error is None


def test_minimising_is_deterministic() -> None:
    """Bounded by runs, the same is left out every time, and told in the same words."""
    mutant = next(each for each in MUTANTS if each.name == "bindings_before_profiles")
    first, second = smallest(mutant, 80), smallest(mutant, 80)

    assert first.case == second.case
    assert str(first) == str(second)


def test_time_bounds_it() -> None:
    """Where no time is left the whole schedule is told, and that it is not the smallest."""
    mutant = next(each for each in MUTANTS if each.name == "no_dedupe")
    with mutant.applied() as parts:
        found = minimise(draw(mutant.seed), parts, seconds=0)

    assert found is not None
    assert found.case == found.before
    assert "time was up" in str(found)


def test_a_schedule_that_keeps_its_promises_is_not_minimised() -> None:
    """There is nothing to tell of it."""
    assert minimise(draw(3)) is None


@pytest.mark.parametrize("seed", range(0, 24, 3))
def test_recording_changes_nothing_and_is_all_there_is_to_know(seed: int) -> None:
    """A recorded run is the run of its seed, and repeated from the recording it is the same."""
    plan = draw(seed)
    recorded = TapedWorld(plan)
    go_through(recorded)
    repeated = TapedWorld(plan, recording=recorded.tape.recording)
    go_through(repeated)

    assert run_seed(seed).trace_hash() == recorded.trace_hash() == repeated.trace_hash()
    assert recorded.state_hash() == repeated.state_hash()


def test_a_message_is_known_by_its_kind_then_its_events_then_its_place() -> None:
    """Of messages of one kind the most alike is delivered; of another kind none is."""
    labels = ["s0 < g0 append 7 [c0-1]", "s0 < g0 append 9 [c0-2 c0-3]", "s1 < g0 append 3 [c0-2]"]

    assert 1 == most_like(0, "s0 < g0 append 12 [c0-2]", labels)
    assert 0 == most_like(0, "s0 < g0 append 12 [c0-9]", labels)
    assert 1 == most_like(1, "s0 < g0 append 12 [c0-9]", labels)
    assert most_like(0, "s0 < g0 clear owed [7]", labels) is None


def test_items_are_left_out_until_none_can_be() -> None:
    """Each item of what is left is needed."""
    assert (3, 71) == shrink(tuple(range(100)), lambda kept: {3, 71} <= set(kept))
    assert () == shrink(tuple(range(9)), lambda _: True)


def test_kinds_leave_names_and_numbers_out() -> None:
    """The same promise broken by another event is the same kind, another promise is not."""
    first = Violation("(Identifier(type='w', value='w1'), 'c0-1'): 2 times in what w1 shows")
    second = Violation("(Identifier(type='x', value='x4'), 'd-2'): 3 times in what x4 shows")

    assert kind_of(first) == kind_of(second)
    assert kind_of(first) != kind_of(Violation("s0: replay gives other rows"))
    assert kind_of(Violation("s0: its log gives other rows")) == kind_of(
        Violation("s3: its log gives other rows")
    )
    assert "never answered:" == kind_of(Violation("never answered: ['c0', 'g1']"))
    assert not kind_of(None)


def test_a_kept_schedule_goes_on_showing_its_bug(tmp_path: Path) -> None:
    """Written to a file and read again it is the same run, with the bug and without."""
    mutant = next(each for each in MUTANTS if each.name == "owed_side_cleared_early")
    found = smallest(mutant)
    path = tmp_path / "kept.json"
    path.write_bytes(pack(found, "a commit"))
    kept = load(path)
    with mutant.applied() as parts:
        shown = kept.run(parts)

    assert kept.violation == kind_of(shown.error)
    assert shown.world.trace == found.run.world.trace
    assert kept.run().error is None


def test_a_schedule_of_other_plans_is_refused(tmp_path: Path) -> None:
    """A file that does not say all that plans say today is no schedule any more."""
    mutant = next(each for each in MUTANTS if each.name == "no_dedupe")
    told = msgspec.json.decode(pack(smallest(mutant, 5), "a commit"))
    del told["plan"]["shards"]
    path = tmp_path / "kept.json"
    path.write_bytes(msgspec.json.encode(told))

    with pytest.raises(ValueError, match=r"kept\.json was kept by a version with other plans"):
        load(path)


@pytest.mark.parametrize("path", KEPT, ids=lambda path: path.stem)
def test_a_schedule_that_failed_once_does_not_fail_again(path: Path) -> None:
    """What is left of a schedule that broke a promise before the fix keeps it now."""
    run = load(path).run()

    assert run.error is None, "\n".join(run.world.trace)
