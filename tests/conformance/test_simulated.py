"""The conformance cases in the simulated world: what goes wrong there changes no expectation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.conformance.expectations import Case, check_case, why_not_run
from tests.conformance.runner import CASES, every_case
from tests.conformance.simulated_backend import SimulatedBackend, plan_for
from tests.reference.conformance_rules import rules_document
from tests.simulation.run import bounds, relevant

if TYPE_CHECKING:
    from tests.simulation.world import World

pytestmark = pytest.mark.simulation

SEEDS = 3


@every_case(actions=frozenset({"set_limit", "delete_identifier"}), takes_received_at=True)
def test_under_faults_a_case_gives_what_it_expects(case: Case) -> None:
    """Every expectation holds in the instant of the last ack, and nothing moves afterwards."""
    for number in range(SEEDS):
        _run(case, number)


def test_the_cases_meet_what_can_go_wrong() -> None:
    """Nodes of every kind end, messages are lost, held up and repeated, rules are shown again."""
    changing = {"seg-rules-01-tightened", "own-limit-01-tightened-under-a-full-profile"}
    cases = [case for case in CASES if why_not_run(case) is None]
    few = [case for at, case in enumerate(cases) if at % 12 == 0 or case["id"] in changing]
    worlds = [_run(case, number) for case in few for number in range(SEEDS)]
    traces = "\n".join(line for world in worlds for line in world.trace)

    signs = ["m ends", "s0 ends", "g0 ends", "lost: ", "nobody there: ", "checkpoint", "rules 2"]
    assert [] == [sign for sign in signs if sign not in traces]
    assert "status='DUPLICATE'" in traces, "no repeat was told that it is one"
    assert any(world.merge.strays for world in worlds)


def _run(case: Case, number: int) -> World:
    """Runs a case under its seed of that number; asserts what it expects."""
    plan = plan_for(case["id"], number)
    backend = SimulatedBackend(rules_document(case["config"], case["events"]), plan)
    try:
        with bounds(small=plan.small_bounds):
            problems = check_case(case, backend)
            before = backend.profiles()
            backend.settle()
            after = backend.profiles()
    except Exception as error:  # a broken machine raises anything, and the seed must be told
        raise AssertionError(_told(case, number, backend.world, repr(error))) from error
    if after != before:
        problems.append(f"what came late made {after} of {before}")

    assert [] == problems, _told(case, number, backend.world, "; ".join(problems))
    return backend.world


def _told(case: Case, number: int, world: World, problem: str) -> str:
    lines = relevant(world.trace, problem)
    return "\n".join([str(world.plan), *lines, f"{case['id']}, its seed {number}: {problem}"])
