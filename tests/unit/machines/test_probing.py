"""Questions to anchors that an event had under earlier rules."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.unit.machines.frames import frame, key, member
from tests.unit.machines.one_shard import outcomes, roots
from unify_grpc.machines.batch import FLAG_PROBE
from unify_grpc.machines.links import NamePush, Push
from unify_grpc.machines.probing import NOT_HELD

if TYPE_CHECKING:
    from tests.unit.machines.one_shard import OneShard


def probe(name: str, message_id: str = "m1") -> bytes:
    """Asks an anchor for a message."""
    return frame(name, message_id=message_id, flags=FLAG_PROBE)


def test_a_message_that_is_not_there_is_not_held(shard: OneShard) -> None:
    """The question stores nothing: the same message under the anchor is new afterwards."""
    shard.append(frame("user_id:a", message_id="m0"))
    before, log_end = shard.store.rows.copy(), shard.store.next_number
    asked = shard.append(probe("user_id:a"), probe("email:never"), call=2)
    assert (before, log_end) == (shard.store.rows, shard.store.next_number)
    reply = shard.append(frame("user_id:a"), call=3)

    assert [NOT_HELD, NOT_HELD] == list(asked.statuses)
    assert ["ATTACHED"] == outcomes(reply)


def test_a_message_that_is_there_is_answered_like_a_duplicate(shard: OneShard) -> None:
    """With the state it is in: finished, or pending and listed again."""
    shard.append(frame("user_id:a", message_id="m0"), frame("user_id:a", "email:b"))
    asked = shard.append(probe("user_id:a", "m0"), probe("user_id:a"), call=2)

    assert ["2 CREATED", "2 PENDING"] == outcomes(asked)
    assert member("user_id:a") == roots(asked)[0]
    assert [(1, "m1")] == [(each.index, each.message_id) for each in asked.pending]


def test_the_asked_shard_adopts_the_rules_it_is_shown(shard: OneShard) -> None:
    """Nothing promoted under the old ones is stored there behind the question."""
    shard.append(probe("user_id:a"), call=2, version=2)
    reply = shard.append(frame("user_id:a"), call=3, version=1)

    assert {1: 2} == reply.stale


def test_the_question_is_for_all_lives_of_an_identifier(shard: OneShard) -> None:
    """A message stays known after its anchor was deleted."""
    shard.append(frame("email:b"))
    shard.push(Push(names=[NamePush(key("email:b"), 1)]))

    assert ["2 CREATED"] == outcomes(shard.append(probe("email:b"), call=2))
