"""What a deliberate bug is: one rule of the protocol taken away, which has to be found.

A mutant is a world built from another part, or a patch of a function that the parts use. `breaks`
says what no longer holds; `seed` is one whose schedule shows it.
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from tests.simulation.plan import draw
from tests.simulation.run import ScheduleFailed, run_plan
from tests.simulation.violation import Violation
from tests.simulation.world import Parts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from tests.simulation.plan import Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """One rule taken away."""

    name: str
    breaks: str
    seed: int
    """Of a schedule that shows it."""
    parts: Parts = field(default_factory=Parts)
    patches: tuple[tuple[Any, str, Any], ...] = ()
    plan: Callable[[int], Plan] = draw
    """What its seed stands for."""

    @contextmanager
    def applied(self) -> Iterator[Parts]:
        """Puts the patches in force; yields the parts of the mutant's world."""
        with ExitStack() as stack:
            for target, name, value in self.patches:
                stack.enter_context(patch.object(target, name, value))
            yield self.parts

    def shown_by(self, seeds: Iterable[int]) -> int | None:
        """Returns the first seed whose schedule breaks a promise that the checkers see.

        A machine that fails by itself shows nothing: it stumbled over the missing rule by luck.
        """
        with self.applied() as parts:
            for seed in seeds:
                try:
                    run_plan(self.plan(seed), parts)
                except ScheduleFailed as failed:
                    if isinstance(failed.error, Violation):
                        return seed
        return None
