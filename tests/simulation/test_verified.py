from __future__ import annotations

import pytest

from tests.simulation.plan import draw
from tests.simulation.run import bounds
from tests.simulation.verified import VerifiedWorld

pytestmark = pytest.mark.simulation

SEEDS = 40
CHUNK_SEEDS = 20


@pytest.mark.timeout(240)
@pytest.mark.parametrize("start", range(0, SEEDS, CHUNK_SEEDS))
def test_a_verification_of_a_world_at_work_raises_no_false_alarm(start: int) -> None:
    """Whatever is under way, lost or down meanwhile, nothing is found that is not so."""
    verified_count = 0
    for seed in range(start, start + CHUNK_SEEDS):
        plan = draw(seed)
        with bounds(small=plan.small_bounds):
            world = VerifiedWorld(plan)
            world.run()
        verified_count += world.verified_count

    assert verified_count > CHUNK_SEEDS
