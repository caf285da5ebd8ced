"""A message takes effect once, and a repeat is answered with the state the first is in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.unit.machines.frames import DAY_US, RECEIVED_US, T0, frame, mark, member
from tests.unit.machines.one_shard import DEDUPE_WINDOW_DAYS, outcomes, roots
from unify_grpc.identity.outcomes import DropReason, Outcome
from unify_grpc.machines.batch import FLAG_HISTORY, FLAG_TRAITS
from unify_grpc.machines.links import ClearPush, Push
from unify_grpc.machines.reads import Gather

if TYPE_CHECKING:
    from tests.unit.machines.one_shard import OneShard

LINK_POSITION = 1 << 16


def clear(position: int = LINK_POSITION) -> Push:
    """Returns the end of a link that attached and dropped its second identifier."""
    drops = [(1, int(DropReason.LIMIT_EXCEEDED))]
    return Push(clears=[ClearPush(position, int(Outcome.ATTACHED), member("email:z"), 7, drops)])


def test_the_same_call_again_is_stored(shard: OneShard) -> None:
    """A gateway that had no answer gets the first answer: not that its own event is a duplicate."""
    first = shard.append(frame("user_id:a"), call=1)
    again = shard.append(frame("user_id:a"), call=1)

    assert outcomes(first) == outcomes(again) == ["CREATED"]
    assert 2 == shard.store.next_number, "nothing changed, so nothing was logged"


def test_another_call_is_a_duplicate(shard: OneShard) -> None:
    """A caller that sends its message again is told so, with the outcome that stands."""
    shard.append(frame("user_id:a"), call=1)
    before = dict(shard.store.rows)
    again = shard.append(frame("user_id:a"), call=2)

    assert ["2 CREATED"] == outcomes(again)
    assert [member("user_id:a")] == roots(again)
    assert before == shard.store.rows


def test_another_place_in_the_same_call_is_a_duplicate(shard: OneShard) -> None:
    """Call and position make an attempt: one message twice in a batch is stored once."""
    reply = shard.append(frame("user_id:a"), frame("user_id:a"))

    assert ["CREATED", "2 CREATED"] == outcomes(reply)
    assert 1 == shard.row("user_id:a").event_count


def test_a_repeated_call_gives_each_place_its_first_answer(shard: OneShard) -> None:
    """Of one message twice in a batch, the second place stays the duplicate when it is retried."""
    first = shard.append(frame("user_id:a"), frame("user_id:a"))

    assert outcomes(first) == outcomes(shard.append(frame("user_id:a"), frame("user_id:a")))


def test_the_first_payload_stands(shard: OneShard) -> None:
    """A repeat with another payload changes no trait, whatever its time."""
    shard.append(frame("user_id:a", flags=FLAG_TRAITS, traits={"plan": 1}))
    before = shard.ask(Gather(member("user_id:a"), with_traits=True))
    shard.append(
        frame("user_id:a", flags=FLAG_TRAITS, traits={"plan": 2}, time_us=T0 + DAY_US), call=2
    )

    assert before == shard.ask(Gather(member("user_id:a"), with_traits=True))


def test_a_pending_link_is_listed_again(shard: OneShard) -> None:
    """As the novel link it was: identifiers, order, time and stamp as stored, not as repeated."""
    first = shard.append(frame("user_id:a", "email:b@1", "phone:c@2", stamp_us=RECEIVED_US))
    again = shard.append(
        frame("user_id:x", message_id="other"),
        frame(
            "user_id:a",
            "phone:c@2",
            "email:new@1",
            time_us=T0 + 1,
            stamp_us=RECEIVED_US + 5,
            stream=3,
        ),
        call=2,
    )
    listed = again.pending[0]

    assert ["CREATED", "2 PENDING"] == outcomes(again)
    assert 1 == listed.index
    assert first.pending[0].ids == listed.ids
    assert (T0, RECEIVED_US, 1) == (listed.time_us, listed.stamp_us, listed.stream)
    assert first.pending[0].position == listed.position


def test_a_pending_link_of_the_same_batch_is_listed_twice(shard: OneShard) -> None:
    """Both places of the batch wait for the one decision."""
    reply = shard.append(frame("user_id:a", "email:b@1"), frame("user_id:a", "email:b@1"))

    assert ["PENDING", "2 PENDING"] == outcomes(reply)
    assert [0, 1] == [each.index for each in reply.pending]
    assert 1 == len({each.position for each in reply.pending})


def test_a_decided_link_is_answered_with_its_outcome(shard: OneShard) -> None:
    """After the mark is cleared a repeat gets the outcome, profile and drops that were decided."""
    shard.append(frame("user_id:a", "email:b@1"))
    shard.push(clear())
    for call, expected in ((1, "ATTACHED"), (2, "2 ATTACHED")):
        again = shard.append(frame("user_id:a", "email:b@1"), call=call)

        assert [expected] == outcomes(again)
        assert [member("email:z")] == roots(again)
        assert {0: [("email", "b@1", int(DropReason.LIMIT_EXCEEDED))]} == again.drops
        assert [] == again.pending


def test_history_is_known_again(shard: OneShard) -> None:
    """An event that links nothing is a duplicate without an outcome."""
    packed = frame("user_id:a", flags=FLAG_HISTORY, type_="alias")
    shard.append(packed)

    assert ["2 HISTORY"] == outcomes(shard.append(packed, call=2))


def test_another_anchor_makes_another_message(shard: OneShard) -> None:
    """Careless senders number from 1: the id alone names no message."""
    shard.append(frame("user_id:a"))

    assert ["CREATED"] == outcomes(shard.append(frame("user_id:b"), call=2))


def test_a_fingerprint_alone_is_no_duplicate(shard: OneShard) -> None:
    """Two message ids whose fingerprints meet are told apart by what is stored."""
    shard.append(frame("user_id:a", message_id="one", fingerprint=mark("meets")))
    reply = shard.append(
        frame("user_id:a", message_id="two", fingerprint=mark("meets")),
        frame("user_id:a", message_id="one", fingerprint=mark("meets")),
        call=2,
    )

    assert ["ATTACHED", "2 CREATED"] == outcomes(reply)


def test_outside_of_the_window_a_message_is_new(shard: OneShard) -> None:
    """The window counts from the stored stamp to the new one's; its last instant is inside."""
    window_us = DEDUPE_WINDOW_DAYS * DAY_US
    shard.append(frame("user_id:a"))
    inside = shard.append(frame("user_id:a", stamp_us=RECEIVED_US + window_us), call=2)
    outside = shard.append(frame("user_id:a", stamp_us=RECEIVED_US + window_us + 1), call=3)

    assert ["2 CREATED"] == outcomes(inside)
    assert ["ATTACHED"] == outcomes(outside)


def test_after_the_window_the_newer_of_two_is_found(shard: OneShard) -> None:
    """A message stored a second time is known from then on by that time."""
    window_us = DEDUPE_WINDOW_DAYS * DAY_US
    shard.append(frame("user_id:a"))
    shard.append(frame("user_id:a", stamp_us=RECEIVED_US + window_us + 1), call=2)
    again = shard.append(frame("user_id:a", stamp_us=RECEIVED_US + window_us + 2), call=3)

    assert ["2 ATTACHED"] == outcomes(again)
    assert 2 == shard.row("user_id:a").event_count


def test_a_message_of_long_ago_in_the_list_is_known(shard: OneShard) -> None:
    """However many events came since, and whatever part of the list they lie in."""
    for start in range(0, 500, 100):
        shard.append(
            *(frame("user_id:a", message_id=f"m{n}") for n in range(start, start + 100)),
            call=start,
        )
    again = shard.append(*(frame("user_id:a", message_id=f"m{n}") for n in range(500)), call=7)

    assert ["2 CREATED"] + ["2 ATTACHED"] * 499 == outcomes(again)


def test_duplicates_survive_a_restart(shard: OneShard) -> None:
    """Replay stores what was stored and leaves out what was a duplicate, from any checkpoint."""
    shard.append(frame("user_id:a"))
    shard.store.checkpoint()
    shard.append(frame("user_id:a"), frame("user_id:b", message_id="m2"), call=2)
    after = shard.restarted()

    assert shard.store.rows == after.store.rows
    assert 1 == after.row("user_id:a").event_count
    assert ["2 CREATED", "2 CREATED"] == outcomes(
        after.append(frame("user_id:a"), frame("user_id:b", message_id="m2"), call=3)
    )


def test_a_duplicate_of_another_call_keeps_its_own_place_in_the_log(shard: OneShard) -> None:
    """A batch of new and known events is logged once, and replayed with the verdicts it got."""
    shard.append(frame("user_id:a", "email:b@1"))
    shard.append(
        frame("user_id:a", "email:b@1"), frame("user_id:a", "email:c@1", message_id="m2"), call=2
    )

    assert [LINK_POSITION, (2 << 16) + 1] == list(shard.machine.pending)
    assert list(shard.machine.pending) == list(shard.restarted().machine.pending)
