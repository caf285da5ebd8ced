"""From one identifier of a profile to another, by the events that carried both ends of a step."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

    from unify_grpc.machines.journal import Decision


class Hop(NamedTuple):
    """One step of a path."""

    decision: Decision
    from_index: int
    """Into the decision's `ids`; both ends are of those it kept."""
    to_index: int


def shortest_path(decisions: Iterable[Decision], start: bytes, end: bytes) -> list[Hop] | None:
    """Returns a path of fewest events between two members, or None if these know of none.

    Among paths of the same length the earlier event wins, so the answer is the same on every call.
    """
    if start == end:
        return []
    carried: dict[bytes, list[Decision]] = {}
    for decision in sorted(decisions, key=_seq):
        for index in decision.kept:
            carried.setdefault(decision.ids[index][0], []).append(decision)
    came_by: dict[bytes, Hop] = {}
    followed: set[int] = set()
    reached = deque([start])
    while reached and end not in came_by:
        member = reached.popleft()
        for decision in carried.get(member, ()):
            if decision.seq in followed:
                continue
            followed.add(decision.seq)
            here = next(each for each in decision.kept if decision.ids[each][0] == member)
            for index in decision.kept:
                other = decision.ids[index][0]
                if other != start and other not in came_by:
                    came_by[other] = Hop(decision, here, index)
                    reached.append(other)
    return _walk_back(came_by, start, end) if end in came_by else None


def _walk_back(came_by: dict[bytes, Hop], start: bytes, end: bytes) -> list[Hop]:
    path: list[Hop] = []
    member = end
    while member != start:
        hop = came_by[member]
        path.append(hop)
        member = hop.decision.ids[hop.from_index][0]
    path.reverse()
    return path


def _seq(decision: Decision) -> int:
    return decision.seq
