"""Runs seeds, and tells how to repeat one that failed."""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING
from unittest.mock import patch

from tests.simulation import nodes
from tests.simulation.checkers import check
from tests.simulation.plan import Plan, draw
from tests.simulation.restored import check_backup
from tests.simulation.world import Parts, World
from unify_grpc.machines import event_lists, merge_machine

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

TRACE_LINES_MAX = 40


class ScheduleFailed(AssertionError):  # noqa: N818  named as it is spoken of
    """A schedule broke a promise; the text has the seed, the trace and the command to repeat it."""

    def __init__(self, world: World, error: Exception) -> None:
        self.seed = world.plan.seed
        self.error = error
        lines = relevant(world.trace, str(error))
        super().__init__(
            f"seed {self.seed}, {world.plan}\n"
            + "\n".join(lines)
            + f"\n{type(error).__name__}: {error}"
            + f"\nrepeat with: python -m tests.simulation --start {self.seed} --seeds 1"
        )


def run_seed(seed: int, parts: Parts | None = None) -> World:
    """Runs the schedule of a seed and all checks; `ScheduleFailed` if something does not hold."""
    return run_plan(draw(seed), parts)


def run_plan(plan: Plan, parts: Parts | None = None) -> World:
    """Runs a schedule and all checks; `ScheduleFailed` if something does not hold."""
    world = World(plan, parts)
    try:
        go_through(world)
    except Exception as error:  # a broken machine raises anything, and the seed must be told
        raise ScheduleFailed(world, error) from error
    return world


def go_through(world: World) -> None:
    """Runs the schedule of a world, and all checks."""
    with bounds(small=world.plan.small_bounds):
        world.run()
        check(world)
        check_backup(world)


@contextmanager
def bounds(*, small: bool) -> Iterator[None]:
    """Makes bounds that production meets after hours be met after a few events."""
    if not small:
        yield
        return
    with (
        patch.multiple(event_lists, TAIL_EVENTS_MAX=2, BUCKET_ENTRIES_TARGET=4),
        patch.object(merge_machine, "ROUND_LINKS_MAX", 2),
        patch.object(nodes, "SWEPT_LINKS_MAX", 3),
    ):
        yield


def relevant(trace: Iterable[str], message: str) -> list[str]:
    """Returns the last lines of a trace, and before them those that name what failed."""
    lines = list(trace)
    names = set(re.findall(r"[cd]\d*-\d+|careless-\d+|[a-z]\d+(?=@|'|\b)", message))
    last = lines[-TRACE_LINES_MAX:]
    named = [
        line
        for line in lines[: -len(last)]
        if any(re.search(rf"\b{re.escape(name)}\b", line) for name in names)
    ]
    return [*named[-TRACE_LINES_MAX:], "...", *last]
