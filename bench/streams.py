"""Makes the streams that an order asks for, by the kind of their traffic."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from bench.merges import PairStream, StormShape, StormStream
from bench.workload import Stream

if TYPE_CHECKING:
    from bench.conversation import Order

PEOPLE: Final = "people"
STORM: Final = "storm"
"""`sizes` are those of a `StormShape`."""
PAIRS: Final = "pairs"
"""`sizes` are the number of rounds, then the events of each profile of a round."""


def make_streams(order: Order) -> list[Stream]:
    """Returns the streams of an order, each in its initial state."""
    return [_make_stream(order, number) for number in range(order.streams)]


def _make_stream(order: Order, number: int) -> Stream:
    if order.traffic == STORM:
        return StormStream(order.seed, number, StormShape(*order.sizes))
    if order.traffic == PAIRS:
        rounds, *sizes = order.sizes
        return PairStream(order.seed, number, tuple(sizes), rounds)
    assert order.traffic == PEOPLE, f"no such traffic: {order.traffic}"
    return Stream(order.seed, number, keeps_traits=order.keeps_traits)
