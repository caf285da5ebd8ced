"""The order in which a sweep takes links up."""

from __future__ import annotations

from unify_grpc.machines.links import PendingLink
from unify_grpc.machines.sweeping import in_order


def link(shard: int, stamp_us: int) -> PendingLink:
    """A link of some shard that was received at a moment."""
    return PendingLink(
        shard, stamp_us, -1, 1, 0, 1, stamp_us, stamp_us, 7, 1, f"m{stamp_us}", bytes(20), None, []
    )


def test_links_of_all_shards_come_in_the_order_of_their_stamps() -> None:
    """A batch whose links lie on two shards is taken up as its gateway would hand it over."""
    listed = [[link(0, 2), link(0, 5)], [link(1, 1), link(1, 3), link(1, 4)]]

    assert [1, 2, 3, 4, 5] == [each.stamp_us for each in in_order(listed, 10)]


def test_nothing_is_taken_up_beyond_the_end_of_a_list_that_was_cut() -> None:
    """Where a shard has more than it listed, later links of others wait for the next sweep."""
    listed = [[link(0, 2), link(0, 3)], [link(1, 1), link(1, 9)], []]

    assert [1, 2, 3] == [each.stamp_us for each in in_order(listed, 2)]
