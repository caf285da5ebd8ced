"""In which order links that nobody handed over are taken up."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from unify_grpc.machines.links import PendingLink


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
