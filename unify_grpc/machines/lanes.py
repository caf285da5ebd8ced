"""Merges what shards list, each in an order of its own making, into one list cut into pages."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from unify_grpc.machines.assembly import Reading
    from unify_grpc.machines.reads import Answer, Question

ItemT = TypeVar("ItemT")


class Listed(NamedTuple, Generic[ItemT]):
    """One thing that a shard listed."""

    order: Any
    """What the shards' lists are merged by, the smallest first."""
    cursor: Any
    """Where its shard goes on to list this one again."""
    item: ItemT


class Taken(NamedTuple, Generic[ItemT]):
    """A shard's answer."""

    listed: list[Listed[ItemT]]
    cursor: Any
    """Where its shard goes on after all of it; None: it has no more."""


@dataclass(slots=True)
class Lane(Generic[ItemT]):
    """One shard's list on its way into the merged one."""

    cursor: Any
    """Where to go on asking; None: there is no more."""
    waiting: deque[Listed[ItemT]] = field(default_factory=deque)

    @property
    def is_hungry(self) -> bool:
        """Whether nobody knows what comes next here without asking."""
        return not self.waiting and self.cursor is not None

    @property
    def resume(self) -> Any:
        """Where the next page goes on; None: there is nothing left."""
        return self.waiting[0].cursor if self.waiting else self.cursor


class Lanes(Generic[ItemT]):
    """The lists of all shards."""

    def __init__(self, cursors: Iterable[Any]) -> None:
        """Takes where each shard goes on, in the order of shards."""
        self._lanes: list[Lane[ItemT]] = [Lane(cursor) for cursor in cursors]

    @property
    def is_done(self) -> bool:
        """Whether every list is at its end."""
        return all(lane.resume is None for lane in self._lanes)

    def cursors(self) -> list[Any]:
        """Returns where each shard goes on after what was popped."""
        return [lane.resume for lane in self._lanes]

    def feed(
        self, ask: Callable[[Any], Question], take: Callable[[Any, Answer], Taken[ItemT]]
    ) -> Reading[None]:
        """Asks every shard of which nothing waits, all at once.

        Args:
            ask: from where a shard goes on to the question for it.
            take: from where it went on, and its answer, to what it listed.
        """
        hungry = {shard: lane for shard, lane in enumerate(self._lanes) if lane.is_hungry}
        if not hungry:
            return
        answers = yield {shard: [ask(lane.cursor)] for shard, lane in hungry.items()}
        for shard, lane in hungry.items():
            taken = take(lane.cursor, answers[shard][0])
            lane.waiting.extend(taken.listed)
            lane.cursor = taken.cursor

    def pop(self, count: int) -> list[Listed[ItemT]]:
        """Returns at most `count`, in order, as far as that is known without asking."""
        popped: list[Listed[ItemT]] = []
        while len(popped) < count and not any(lane.is_hungry for lane in self._lanes):
            waiting = [lane for lane in self._lanes if lane.waiting]
            if not waiting:
                break
            first = min(waiting, key=lambda lane: lane.waiting[0].order)
            popped.append(first.waiting.popleft())
        return popped
