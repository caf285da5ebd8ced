"""Reads that several promises share: within a step nothing changes that a read could show."""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, Concatenate, ParamSpec, Protocol, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.simulation.world import World

P = ParamSpec("P")
T = TypeVar("T")


class Reading(Protocol):
    """Who reads the world, and keeps what it read for as long as that is still so."""

    world: World
    reads: dict[object, object]
    """What was read in `reads_step`."""
    reads_step: int


S = TypeVar("S", bound=Reading)


def once_a_step(
    method: Callable[Concatenate[S, P], T],
) -> Callable[Concatenate[S, P], T]:
    """Has a method that reads in an instant read once in a step for the same arguments.

    A step runs one node; an ack is checked in a step of its gateway, when no shard does anything.
    """
    name = method.__name__

    @wraps(method)
    def reads_once(self: S, *args: P.args, **kwargs: P.kwargs) -> T:
        if self.reads_step != self.world.step:
            self.reads_step = self.world.step
            self.reads.clear()
        question = (name, args)
        if question in self.reads:
            return cast("T", self.reads[question])
        found = method(self, *args, **kwargs)
        self.reads[question] = found
        return found

    return cast("Callable[Concatenate[S, P], T]", reads_once)
