"""Plans in which rules change again and again while streams are full of group calls.

Of all seeds too few come there; what only such worlds show is looked for in these.
"""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING

from tests.simulation.hardware_plan import SOUND
from tests.simulation.plan import CALM, draw_plain
from tests.simulation.plan_spaces import moving

if TYPE_CHECKING:
    from tests.simulation.plan import Plan

VERSIONS = 5
CLIENTS_MAX = 3
"""More of them would send again what is still on its way, faster than it is delivered."""


def draw_racing(seed: int) -> Plan:
    """Returns the racing plan of a seed."""
    rng = Random(f"racing {seed}")
    plan = draw_plain(seed)
    clients = min(plan.clients, CLIENTS_MAX)
    faults = replace(
        CALM,
        loss=rng.choice((0, 0.05)),
        delay=0.2,
        delay_steps=rng.choice((30, 150)),
        slow=0.5,
    )
    plan = replace(
        plan,
        clients=clients,
        streaming=(True,) * clients,
        requests=9,
        steps=300,
        rules=tuple(plan.rules[each % len(plan.rules)] for each in range(VERSIONS)),
        groups=rng.choice((0, 0.5)),
        faults=faults,
        hardware=SOUND,
        backup=None,
        deletions=0,
    )
    return moving(plan, rng) if rng.random() < 0.5 else plan
