"""In which order links and sides that nobody looks after are taken up."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from unify_grpc.machines.links import PendingLink
    from unify_grpc.machines.owed_sides import OwedSide


def in_order(listed: list[list[PendingLink]], links_max: int) -> list[PendingLink]:
    """Returns the swept links of all shards in the order of their stamps.

    A gateway may still hold them, and stamps rise through its batches, so this is the order in
    which it would hand them over. What lies beyond the end of a list that was cut is left for the
    next sweep: earlier links of the same batch may be missing there.
    """
    cuts = [links[-1].stamp_us for links in listed if len(links) == links_max]
    cut_us = min(cuts, default=None)
    links = [
        link for links in listed for link in links if cut_us is None or link.stamp_us <= cut_us
    ]
    return sorted(links, key=lambda link: (link.stamp_us, link.shard, link.position))


def sides_in_order(
    listed: Sequence[Sequence[OwedSide]], sides_max: int
) -> list[tuple[int, OwedSide]]:
    """Returns (shard, owed side) of all shards in the order of their stamps, cut like links."""
    cuts = [sides[-1].stamp_us for sides in listed if len(sides) == sides_max]
    cut_us = min(cuts, default=None)
    found = [
        (shard, side)
        for shard, sides in enumerate(listed)
        for side in sides
        if cut_us is None or side.stamp_us <= cut_us
    ]
    return sorted(found, key=lambda each: (each[1].stamp_us, each[0], each[1].position))
