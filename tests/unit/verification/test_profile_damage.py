"""Damage of profiles and bindings is found, at shards, at the merge actor, and between them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from tests.unit.verification.stored import MERGE, SHARDS
from unify_grpc.machines import journal, rows
from unify_grpc.machines.found_by import prefix_key
from unify_grpc.placement.members import KEY_BYTES, member_of
from unify_grpc.verification import merge_state, verification

if TYPE_CHECKING:
    from tests.unit.verification.stored import Place, Stores


def home_of(stores: Stores, place: Place) -> tuple[bytes, int]:
    """Returns the profile of a member, and its home."""
    root = stores.row(place).root
    assert root is not None
    return root, SHARDS.shard_of(root)


def test_a_circle_of_bindings_is_found(stores: Stores) -> None:
    """Bindings that lead round and round lead to no profile, whoever they are asked of."""
    one, other = stores.place("user_id", "u1"), stores.place("user_id", "u2")
    stores.change(one, root=other.member)
    stores.change(other, root=one.member)

    findings = stores.verify().findings

    assert any("in a circle" in each.text for each in findings)
    assert (one.shard, "bindings_lead_to_live_profiles") in stores.found()


def test_a_binding_to_what_is_no_profile_is_found(stores: Stores) -> None:
    """An identifier is bound to a profile that lives, not to one that nobody founded."""
    place, never = stores.place("user_id", "u1"), stores.place("anonymous_id", "alone")
    stores.change(place, root=member_of(never.member[:KEY_BYTES], 3))

    assert (place.shard, "bindings_lead_to_live_profiles") in stores.found()


def test_a_binding_to_a_dead_profile_is_found(stores: Stores) -> None:
    """After a merge nothing is left on the profile that was absorbed, at shard and merge actor."""
    row = next(
        journal.decode_profile(data)
        for key, data in stores.merge.rows.items()
        if key[:1] == journal.PROFILE and journal.decode_profile(data).merges
    )
    places = [stores.place("anonymous_id", "c2"), stores.place("anonymous_id", "a2")]
    dead = next(each for each in places if each.member in {member for member, *_ in row.members})
    loser = next(m for m, *_ in row.members if m != stores.row(dead).root)
    at_merge = stores.copied()
    stores.replace(at_merge.merge, journal.MEMBER + dead.member, journal.decode_member, root=loser)
    stores.change(dead, root=loser)

    assert (dead.shard, "profiles_equal_everywhere") in stores.found() or (
        dead.shard,
        "bindings_lead_to_live_profiles",
    ) in stores.found()
    assert (MERGE, "bindings_lead_to_live_profiles") in at_merge.found()


def test_a_profile_that_differs_from_the_merge_actors_is_found(stores: Stores) -> None:
    """A profile's row at its home is the merge actor's."""
    root, home = home_of(stores, stores.place("user_id", "u1"))
    key = rows.PROFILE + root
    plants: list[dict[str, Any]]
    plants = [{"merges": 7}, {"created_us": 1}, {"hidden": []}, {"seq": 1}, {"seq": 99}]
    for fields in plants:
        planted = stores.copied()
        planted.replace(planted.shards[home], key, rows.decode_profile, **fields)

        assert (home, "profiles_equal_everywhere") in planted.found(), fields


def test_a_profile_without_a_row_at_its_home_is_found(stores: Stores) -> None:
    """A live profile has its row where its founder is."""
    root, home = home_of(stores, stores.place("user_id", "u1"))
    del stores.shards[home].rows[rows.PROFILE + root]

    assert {
        (home, "bindings_lead_to_live_profiles"),
        (home, "profiles_equal_everywhere"),
    } <= stores.found()


def test_a_profile_that_no_decision_founded_is_found(stores: Stores) -> None:
    """A home has no profiles but those that the merge actor founded."""
    place = stores.place("anonymous_id", "alone")
    root, home = home_of(stores, stores.place("user_id", "u1"))
    shard = stores.shards[place.shard]
    shard.rows[rows.PROFILE + place.member] = msgspec.msgpack.encode(
        msgspec.structs.replace(
            rows.decode_profile(stores.shards[home].rows[rows.PROFILE + root]),
            members=[place.member],
            hidden=[],
        )
    )
    stores.change(place, root=place.member)

    assert (place.shard, "profiles_equal_everywhere") in stores.found()


def test_a_member_on_two_profiles_is_found(stores: Stores) -> None:
    """At the merge actor, and so everywhere, a member is on one profile."""
    place = stores.place("user_id", "u2")
    other, _ = home_of(stores, stores.place("user_id", "u1"))
    key = journal.PROFILE + other
    row = journal.decode_profile(stores.merge.rows[key])
    listed = (place.member, "user_id", row.members[0][2], row.seq, False)
    stores.replace(stores.merge, key, journal.decode_profile, members=[*row.members, listed])

    assert (MERGE, "one_profile_per_member") in stores.found()


def test_a_profile_that_lists_a_member_twice_is_found(stores: Stores) -> None:
    """A profile is a set of members, at its home too."""
    root, home = home_of(stores, stores.place("user_id", "u1"))
    row = rows.decode_profile(stores.shards[home].rows[rows.PROFILE + root])
    members = [*row.members, row.members[-1]]
    stores.replace(stores.shards[home], rows.PROFILE + root, rows.decode_profile, members=members)

    assert (home, "one_profile_per_member") in stores.found()


def test_a_member_that_its_profile_does_not_list_is_found(stores: Stores) -> None:
    """What a member says of its profile, the profile says of it."""
    place = stores.place("user_id", "u2")
    root, _ = home_of(stores, place)
    key = journal.PROFILE + root
    row = journal.decode_profile(stores.merge.rows[key])
    stores.replace(
        stores.merge,
        key,
        journal.decode_profile,
        members=[each for each in row.members if each[0] != place.member],
    )

    assert (MERGE, "one_profile_per_member") in stores.found()


@pytest.mark.parametrize(
    "field",
    [
        {"value": "u9"},
        {"joined_us": 1},
        {"joined_message_id": "other"},
        {"link_epoch": 0},
        {"link_epoch": 99},
        {"seq": 0},
        {"seq": 99},
        {"root": None, "seq": 0},
    ],
    ids=str,
)
def test_a_binding_that_differs_is_found(stores: Stores, field: dict[str, object]) -> None:
    """A member's shard knows what the merge actor knows of how it joined, and when it aged."""
    place = stores.place("user_id", "u1")
    stores.change(place, **field)

    assert (place.shard, "profiles_equal_everywhere") in stores.found()


def test_a_member_without_a_row_at_its_shard_is_found(stores: Stores) -> None:
    """What the merge actor bound is bound at its shard."""
    place = stores.place("anonymous_id", "c3")
    del stores.shards[place.shard].rows[rows.MEMBER + place.member]

    assert (place.shard, "profiles_equal_everywhere") in stores.found()


def test_a_binding_that_nobody_decided_is_found(stores: Stores) -> None:
    """What a shard has bound the merge actor has decided."""
    place = stores.place("anonymous_id", "alone")
    root, _ = home_of(stores, stores.place("user_id", "u1"))
    stores.change(place, root=root, seq=1)

    assert (place.shard, "profiles_equal_everywhere") in stores.found()


def test_link_memory_of_a_stranger_is_found(stores: Stores) -> None:
    """What an anchor remembers is on its profile: an event that rests on it is not looked at."""
    place = stores.place("user_id", "u2")
    row = stores.row(place)
    stores.change(place, partners=b"strange!", memory_epoch=row.link_epoch)

    assert (place.shard, "known_links_are_so") in stores.found()


def test_a_founding_by_another_event_is_found(stores: Stores) -> None:
    """A profile that one event founded was founded by an event with that identifier alone."""
    place = stores.place("anonymous_id", "alone")
    stores.change(place, founding_stamp_us=1)

    assert (place.shard, "one_profile_per_member") in stores.found()


def test_wrong_counts_of_a_space_are_found(stores: Stores) -> None:
    """A space has as many events, identifiers and profiles as it counts."""
    number = stores.shard_with(b"z")
    key = stores.first(stores.shards[number], b"z")
    for at in (1, 9, 17):
        planted = stores.copied()
        data = bytearray(planted.shards[number].rows[key])
        data[at] += 1
        planted.shards[number].rows[key] = bytes(data)

        assert (number, "counts") in planted.found(), at


def test_a_name_that_moved_on_at_one_side_only_is_found(stores: Stores) -> None:
    """A deleted identifier is in the same life at its shard and at the merge actor."""
    place = stores.place("anonymous_id", "a1")
    name = rows.NAME + place.member[:KEY_BYTES]
    behind, ahead, merge_behind = stores.copied(), stores.copied(), stores.copied()
    del behind.shards[place.shard].rows[name]
    ahead.shards[place.shard].rows[name] = (9).to_bytes(4, "big")
    del merge_behind.merge.rows[journal.NAME + place.member[:KEY_BYTES]]

    assert (place.shard, "names") in behind.found()
    assert (place.shard, "names") in ahead.found()
    assert {(MERGE, "names"), (place.shard, "names")} <= merge_behind.found()


def test_a_member_of_a_life_to_come_is_found(stores: Stores) -> None:
    """A member is of a life that its identifier has begun."""
    place = stores.place("anonymous_id", "alone")
    shard = stores.shards[place.shard]
    later = member_of(place.member[:KEY_BYTES], 4)
    shard.rows[rows.MEMBER + later] = shard.rows[rows.MEMBER + place.member]

    assert (place.shard, "names") in stores.found()


def test_an_identifier_that_is_not_found_by_its_text_is_found(stores: Stores) -> None:
    """Whatever is on a profile is found by how it begins."""
    place = stores.place("user_id", "u2")
    row = stores.row(place)
    key = prefix_key(row.space, row.collection, row.type, row.value, place.member)
    del stores.shards[place.shard].rows[key]

    assert (place.shard, "found_by") in stores.found()


def test_search_rows_that_lead_nowhere_are_found(stores: Stores) -> None:
    """What an identifier or a trait is found by leads to it."""
    shard = stores.shard_with(b"e")
    by_text, by_trait, missing = stores.copied(), stores.copied(), stores.copied()
    text_key = stores.first(stores.shards[shard], b"i")
    by_text.shards[shard].rows[text_key] = b"\1" + bytes(20)
    trait_key = stores.first(stores.shards[shard], b"e")
    by_trait.shards[shard].rows[trait_key[:-20] + bytes(20)] = b"\1"
    del missing.shards[shard].rows[trait_key]

    assert (shard, "found_by") in by_text.found()
    assert (shard, "found_by") in by_trait.found()
    assert (shard, "found_by") in missing.found()


def test_a_profile_that_was_founded_at_another_moment_is_found(stores: Stores) -> None:
    """What tells which of two profiles goes on when they merge is as it was decided."""
    key = next(
        key
        for key, data in sorted(stores.merge.rows.items())
        if key[:1] == journal.PROFILE and journal.decode_profile(data).order
    )
    order = journal.decode_profile(stores.merge.rows[key]).order
    stores.replace(stores.merge, key, journal.decode_profile, order=order + 1)

    assert (MERGE, "one_profile_per_member") in stores.found()


def test_a_binding_that_is_followed_without_end_is_found(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A way that is longer than any is followed does not hold in silence."""
    places = [stores.place("user_id", each) for each in ("u1", "u2", "u4")]
    for at, place in enumerate(places):
        stores.change(place, root=places[at - 1].member)
    monkeypatch.setattr(verification, "HOPS_MAX", 0)

    assert any("is followed 0 times" in each.text for each in stores.verify().findings)


def test_a_profile_that_there_is_no_room_to_keep_is_read_again(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However few members a slice keeps at hand, what holds is not doubted."""
    monkeypatch.setattr(merge_state, "_MEMBERS_KEPT_MAX", 0)

    assert [] == stores.verify().findings
