"""The order for the sending process that follows from a scenario's parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.conversation import Order
from bench.service import ACCESS_TOKEN, WRITE_KEY

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bench.conversation import Part


def order_of(
    values: Mapping[str, int],
    *parts: Part,
    is_built_ahead: bool = True,
    traffic: str = "people",
    sizes: tuple[int, ...] = (),
    keeps_traits: bool = False,
) -> Order:
    """Returns the order to send parts.

    Args:
        values: the scenario's parameters: `seed`, `streams`, `batch`, `window`, `profiles`.
        parts: what is sent, in this order.
        is_built_ahead: as in `Order`; so are the others.
        traffic: which kind of stream.
        sizes: what that kind has to know.
        keeps_traits: whether traits will be read.
    """
    return Order(
        seed=values["seed"],
        streams=values["streams"],
        parts=parts,
        batch=values["batch"],
        window=values["window"],
        profiles_checked=values["profiles"],
        write_key=WRITE_KEY,
        access_token=ACCESS_TOKEN,
        is_built_ahead=is_built_ahead,
        traffic=traffic,
        sizes=sizes,
        keeps_traits=keeps_traits,
    )
