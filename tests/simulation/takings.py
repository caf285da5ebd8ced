"""Who had the merge actor take a link up, and what it could know of the link's stream."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.simulation.stored import LinkKey, Logs, Stored
    from unify_grpc.machines.links import PendingLink


class Listed(NamedTuple):
    """A shard's answer to a sweep."""

    links: list[PendingLink]
    next_number: int
    """Of the first log record that was not there yet."""


class Taking(NamedTuple):
    """Links that a stranger handed over: a sweep, or another stream than that which stored them."""

    order: tuple[LinkKey, ...]
    """In which it handed them over."""
    next_numbers: Sequence[int]
    """By shard, the first record that was not there yet when the links were gathered."""
    is_sweep: bool

    def preceded(self, at: LinkKey) -> bool:
        """Whether the links were gathered before an event was stored."""
        shard, position = at
        return position >> 16 >= self.next_numbers[shard]

    def owes(self, earlier: LinkKey, later: LinkKey) -> bool:
        """Whether it has to bring a link behind an earlier one of the same stream.

        A sweep has to if it met the earlier one, or its decision: if that was stored by then.
        Another stream knows what it sent itself, and has to if it hands both over in this order.
        """
        if not self.is_sweep:
            return earlier in self.order[: self.order.index(later)]
        return not self.preceded(earlier)


def find_strays(takings: Mapping[LinkKey, Taking], logs: Logs) -> set[LinkKey]:
    """Returns the links whose stream had an earlier event that was not stored at their taking."""
    streams: dict[tuple[int, str], list[Stored]] = defaultdict(list)
    for stored in logs.events.values():
        streams[_order(stored)].append(stored)
    return {
        at
        for at, taking in takings.items()
        if any(
            earlier.stamp_us < logs.events[at].stamp_us and taking.preceded(earlier.at)
            for earlier in streams[_order(logs.events[at])]
        )
    }


def _order(stored: Stored) -> tuple[int, str]:
    """Names what an event is ordered in: users' links and accounts' never meet."""
    return stored.stream, stored.identifiers[0].collection
