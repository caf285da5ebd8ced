"""Where things live: slots, shards, members, and the public ids made of members."""

from __future__ import annotations

import pytest

from unify_grpc.placement.members import (
    FIRST_INCARNATION,
    INCARNATION_MAX,
    MEMBER_BYTES,
    incarnation_of,
    member_of,
    member_of_segment_id,
    segment_id_of,
)
from unify_grpc.placement.slots import SHARD_COUNT_MAX, SLOT_COUNT, ShardMap, slot_of

KEY = bytes(range(16))


def key_of_slot(slot: int) -> bytes:
    """Returns the smallest key of a slot."""
    return (slot << 6).to_bytes(2, "big") + bytes(14)


def test_a_slot_is_the_first_ten_bits() -> None:
    """Key order is slot order, so that moving a slot is a range copy."""
    slots = [slot_of(key_of_slot(slot)) for slot in range(SLOT_COUNT)]

    assert list(range(SLOT_COUNT)) == slots
    assert SLOT_COUNT - 1 == slot_of(b"\xff" * 16)


@pytest.mark.parametrize("count", [1, 2, 3, 7, SHARD_COUNT_MAX])
def test_shards_own_contiguous_ranges_of_nearly_equal_size(count: int) -> None:
    """Every slot has one shard, ranges follow one another, and sizes differ by at most one."""
    owners = [ShardMap(count).shard_of(key_of_slot(slot)) for slot in range(SLOT_COUNT)]
    sizes = [owners.count(shard) for shard in range(count)]

    assert sorted(owners) == owners
    assert set(range(count)) == set(owners)
    assert max(sizes) - min(sizes) <= 1


def test_a_member_lives_where_its_key_does() -> None:
    """The incarnation changes no placement."""
    shard_map = ShardMap(5)

    assert shard_map.shard_of(KEY) == shard_map.shard_of(member_of(KEY, INCARNATION_MAX))


@pytest.mark.parametrize("count", [0, -1, SHARD_COUNT_MAX + 1])
def test_a_number_of_shards_that_cannot_be_is_refused(count: int) -> None:
    """A shard without slots, or more shards than a position has room for, is a mistake."""
    with pytest.raises(ValueError, match="shard_count must be 1 to 256"):
        ShardMap(count)


def test_a_member_is_a_key_and_an_incarnation() -> None:
    """Twenty bytes, of which the last four count lives from 0."""
    assert KEY + FIRST_INCARNATION == member_of(KEY, 0)
    assert INCARNATION_MAX == incarnation_of(member_of(KEY, INCARNATION_MAX))
    assert MEMBER_BYTES == len(member_of(KEY, 7))


@pytest.mark.parametrize(("collection", "prefix"), [("users", "use_"), ("accounts", "acc_")])
def test_a_segment_id_has_its_collections_prefix(collection: str, prefix: str) -> None:
    """It is one word of 31 letters and digits, that double-clicks and needs no escaping."""
    segment_id = segment_id_of(collection, member_of(KEY, 3))

    assert segment_id.startswith(prefix)
    assert 31 == len(segment_id)
    assert segment_id.removeprefix(prefix).isalnum()


@pytest.mark.parametrize("member", [bytes(20), b"\xff" * 20], ids=["lowest", "highest"])
def test_the_ends_of_the_range_have_ids(member: bytes) -> None:
    """The smallest and the largest member are named like any other."""
    assert ("users", member) == member_of_segment_id(segment_id_of("users", member))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "use_",
        "use_" + "z" * 27,
        "use_" + "0" * 26,
        "use_" + "0" * 28,
        "use_" + "-" * 27,
        "usr_" + "0" * 27,
        "use_" + "é" * 27,
        "USE_" + "0" * 27,
    ],
)
def test_what_is_no_segment_id(text: str) -> None:
    """Another prefix, length or alphabet, or a number beyond a member's, names nothing."""
    assert member_of_segment_id(text) is None
