from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.simulation.mutant import Mutant
from tests.simulation.mutants import MUTANTS
from tests.simulation.run import run_plan

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.simulation.plan import Plan

pytestmark = pytest.mark.simulation

SEEDS_MAX = 600
"""Tried where a mutant's own seed shows it no more; the machines have changed, then."""


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_missing_rule_is_found(mutant: Mutant) -> None:
    """A world without the rule breaks a promise that the checkers see; no other error counts."""
    found = mutant.shown_by((mutant.seed, *range(SEEDS_MAX)))
    assert found is not None, f"{mutant.name} survives: nothing showed that {mutant.breaks}"


@pytest.mark.parametrize(
    ("plan", "seed"), sorted({(each.plan, each.seed) for each in MUTANTS}, key=str)
)
def test_the_seeds_of_mutants_are_clean_without_them(
    plan: Callable[[int], Plan], seed: int
) -> None:
    """What shows a mutant is the mutant, and no schedule that fails anyway."""
    run_plan(plan(seed))


def test_mutants_have_names_of_their_own() -> None:
    """A name stands for one rule."""
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)
