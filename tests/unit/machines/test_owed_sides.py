"""Events with two sides at one shard: marks, what is listed again, links, and their replay."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.unit.machines.frames import batch
from tests.unit.machines.one_shard import OneShard
from tests.unit.machines.pairs import RECEIVED_US, SOURCE, member_at, pair, sides_of
from unify_grpc.machines import rows
from unify_grpc.machines.account_links import LinkRow, find_link
from unify_grpc.machines.batch import Batch
from unify_grpc.machines.links import encode
from unify_grpc.machines.owed_sides import ClearedSide, account_frame, set_life, user_member
from unify_grpc.machines.sweeping import sides_in_order

if TYPE_CHECKING:
    from unify_grpc.machines.links import Append
    from unify_grpc.machines.owed_sides import OwedSide

T_US = 1_704_067_200_000_000
"""2024-01-01, the event time of `pair`."""


@pytest.fixture
def shard() -> OneShard:
    """A shard without rows; these tests ask it for both sides, wherever they belong."""
    return OneShard()


def clear(shard: OneShard, *sides: ClearedSide) -> None:
    """Tells a shard that accounts' sides are durable."""
    shard.execute(shard.machine.clear_owed(encode(list(sides))))


def owed(shard: OneShard, before_us: int = RECEIVED_US + 1_000) -> list[OwedSide]:
    """Returns what a sweep finds."""
    return shard.machine.list_owed(before_us=before_us, sides_max=100)


def again(shard: OneShard, frame: bytes, call: int = 9) -> Append:
    """Sends a frame in another call."""
    return shard.append(frame, call=call)


def retire(shard: OneShard, key: bytes) -> None:
    """Lets an identifier's name move on to its second life."""
    number = shard.store.append(b"")
    shard.store.publish({rows.NAME + key: (1).to_bytes(4, "big")}, number)
    shard.machine.committed({rows.NAME + key: (1).to_bytes(4, "big")})


def test_a_user_side_carries_the_account_side_whole() -> None:
    """What is listed later is byte for byte what was framed, but for the life of the user."""
    user, account = pair(traits={"name": "Example"}, externalIds=[])
    stored = Batch(batch(b"other" * 30, user.frame))

    carried = account_frame(stored, 1, stored.frame(1), member_at(user))

    assert account.frame == carried


@pytest.mark.parametrize("life", [0, 1, 70_000])
def test_an_account_side_names_the_life_of_its_user(life: int) -> None:
    """The member is read back, and nothing else of the frame changes."""
    user, account = pair()
    frame = set_life(account.frame, member_at(user, life))
    opened, before = Batch(batch(frame)), Batch(batch(account.frame))

    assert member_at(user, life) == user_member(opened, 0, opened.frame(0))
    assert before.identifiers(0) == opened.identifiers(0)
    assert before.body(0, before.frame(0)) == opened.body(0, opened.frame(0))


def test_a_user_side_is_stored_with_its_mark(shard: OneShard) -> None:
    """The reply and a sweep name the same debt, and a restart still knows it."""
    user, account = pair()
    (told,) = shard.append(user.frame).owed
    (listed,) = owed(shard)

    assert (0, member_at(user), True, b"") == (told.index, told.member, told.is_owed, told.frame)
    assert (-1, told.position, account.frame) == (listed.index, listed.position, listed.frame)
    assert [listed] == owed(shard.restarted())
    shard.store.checkpoint()
    assert [listed] == owed(shard.restarted())
    assert [] == owed(shard, before_us=RECEIVED_US)


def test_one_side_alone_owes_nothing(shard: OneShard) -> None:
    """An account's side leaves no mark, and neither does an event about one collection."""
    _, account = pair()
    reply = shard.append(account.frame)

    assert [] == reply.owed
    assert {} == shard.machine.owed


def test_a_duplicate_lists_the_first_attempt(shard: OneShard) -> None:
    """Whatever group it names now, the account's side that was stored with the first is meant,
    and whether it is still owed.
    """
    user, account = pair()
    (first,) = shard.append(user.frame).owed
    other, _ = pair(group="another", received_us=RECEIVED_US + 5)
    (told,) = again(shard, other.frame).owed

    assert (first.position, True, account.frame) == (told.position, told.is_owed, told.frame)

    clear(shard, ClearedSide(first.position, member_at(account)))
    (told,) = again(shard, other.frame, call=10).owed

    assert (first.position, False, account.frame) == (told.position, told.is_owed, told.frame)
    shard.check()


def test_a_duplicate_of_an_event_without_an_account_owes_none(shard: OneShard) -> None:
    """The first stands: a group call that repeats a message id of a track adds no account."""
    (track,) = sides_of(type="track", event="Seen", userId="u")
    shard.append(track.frame)

    assert [] == again(shard, pair()[0].frame).owed
    assert {} == shard.machine.owed


def test_a_mark_goes_once_and_links_the_user(shard: OneShard) -> None:
    """Clearing again changes nothing, not even the log; a restart has the same rows."""
    user, account = pair()
    (told,) = shard.append(user.frame).owed
    cleared = ClearedSide(told.position, member_at(account, 3))
    clear(shard, cleared)
    records = len(shard.store.log)
    clear(shard, cleared, ClearedSide(told.position + 1, member_at(account)))

    assert records == len(shard.store.log)
    assert {} == shard.machine.owed
    assert LinkRow(1, T_US, SOURCE, "m") == find_link(
        shard.store, member_at(user), member_at(account, 3)
    )
    assert find_link(shard.store, member_at(user), member_at(account)) is None
    shard.check()


def test_an_account_side_links_its_user(shard: OneShard) -> None:
    """The row hangs on the member that the frame names, in the life that it names."""
    user, account = pair()
    reply = shard.append(set_life(account.frame, member_at(user, 2)))

    assert {} == reply.lives
    assert LinkRow(1, T_US, SOURCE, "m") == find_link(
        shard.store, member_at(account), member_at(user, 2)
    )
    shard.check()


def test_a_message_that_the_account_knows_links_another_user(shard: OneShard) -> None:
    """Of senders who number from 1 the account's side is a duplicate; its link counts all the
    same, since the user's side says so too, and a replay finds it.
    """
    shard.append(pair(user="first")[1].frame)
    user, account = pair(user="second")
    reply = again(shard, account.frame)

    assert 0x80 == reply.statuses[0] & 0x80
    assert find_link(shard.store, member_at(account), member_at(user)) is not None
    shard.check()


def test_an_account_side_is_found_in_the_life_that_holds_it(shard: OneShard) -> None:
    """A repetition after its name has moved on is told, and links, where the first was stored."""
    user, account = pair()
    shard.append(account.frame)
    retire(shard, account.key)
    again(shard, pair(user="second")[1].frame)
    fresh = again(shard, pair(message_id="n")[1].frame, call=10)

    other = member_at(pair(user="second")[0])
    assert find_link(shard.store, member_at(account), other) is not None
    assert find_link(shard.store, member_at(account, 1), other) is None
    assert {0: 1} == fresh.lives
    assert find_link(shard.store, member_at(account, 1), member_at(user)) is not None


def test_a_sweep_is_bounded_and_oldest_first(shard: OneShard) -> None:
    """It lists in the order of the log, at most what it was asked for."""
    for number in range(5):
        shard.append(pair(message_id=str(number), received_us=RECEIVED_US + number)[0].frame)

    listed = shard.machine.list_owed(before_us=RECEIVED_US + 4, sides_max=3)

    assert [RECEIVED_US, RECEIVED_US + 1, RECEIVED_US + 2] == [each.stamp_us for each in listed]
    assert 4 == len(owed(shard, before_us=RECEIVED_US + 4))


def test_sides_of_all_shards_are_taken_up_by_stamp(shard: OneShard) -> None:
    """Beyond the end of a list that was cut nothing is taken: earlier sides may be missing."""
    for number in range(3):
        shard.append(pair(message_id=str(number), received_us=RECEIVED_US + number)[0].frame)
    first, second, third = owed(shard)

    taken = sides_in_order([[second], [], [first, third]], 2)
    cut = sides_in_order([[third], [first, second]], 2)

    assert [(2, first), (0, second), (2, third)] == taken
    assert [(1, first), (1, second)] == cut
