"""What a shard does with a batch: store, found, know partners, list links, refuse stale rules."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.unit.machines.frames import RECEIVED_US, SOURCE, T0, batch, frame, key, member
from tests.unit.machines.one_shard import outcomes, roots
from unify_grpc.machines.batch import FLAG_HISTORY, FLAG_TRAITS
from unify_grpc.machines.links import AgePush, BindingPush, MemoryPush, Push, partner_of
from unify_grpc.machines.pushed_rows import PARTNERS_MAX
from unify_grpc.machines.reads import Gather, Gathered, Locate, Located
from unify_grpc.machines.rows import NO_MEMBER

if TYPE_CHECKING:
    from tests.unit.machines.one_shard import OneShard


def bind(name: str, root: str, seq: int = 1) -> BindingPush:
    """Returns a binding whose decision knew of any founding."""
    type_, _, value = name.partition(":")
    return BindingPush(
        member(name), member(root), seq, 1, 0, type_, value, T0, SOURCE, "m0", founding_known=True
    )


def remember(anchor: str, *partners: str, epoch: int = 0) -> MemoryPush:
    """Returns link memory of an anchor."""
    return MemoryPush(member(anchor), epoch, [partner_of(key(each)) for each in partners])


def test_one_identifier_founds_its_profile_at_once(shard: OneShard) -> None:
    """An event with one identifier that was never bound is finished, and makes its profile."""
    reply = shard.append(frame("user_id:a"))

    assert ["CREATED"] == outcomes(reply)
    assert [member("user_id:a")] == roots(reply)
    assert [] == reply.pending


def test_a_founding_keeps_what_is_needed_to_judge_it(shard: OneShard) -> None:
    """Stamp, stream, event time, source and message id of the founding event are kept."""
    shard.append(frame("user_id:a", message_id="m7", time_us=T0 + 3, stamp_us=T0 + 9, stream=4))
    found = shard.look_up("user_id:a")[0].founding
    assert found is not None
    assert (T0 + 9, 4, T0 + 3, SOURCE, "m7") == (
        found.stamp_us,
        found.stream,
        found.time_us,
        found.source,
        found.message_id,
    )


def test_later_events_do_not_found_again(shard: OneShard) -> None:
    """The founding is that of the first event, even if a later one happened earlier."""
    shard.append(frame("user_id:a", message_id="m1", time_us=T0 + 5))
    before = shard.look_up("user_id:a")
    reply = shard.append(frame("user_id:a", message_id="m2", time_us=T0))

    assert ["ATTACHED"] == outcomes(reply)
    assert before == shard.look_up("user_id:a")


def test_several_identifiers_are_a_novel_link(shard: OneShard) -> None:
    """The event is stored, no profile is founded, and the link waits for a decision."""
    reply = shard.append(frame("user_id:a", "email:b@1"))

    assert ["PENDING"] == outcomes(reply)
    assert [NO_MEMBER] == roots(reply)
    assert [1 << 16] == list(shard.machine.pending)
    assert [None] == [each.founding for each in shard.look_up("user_id:a")]


def test_novel_links_are_listed_in_batch_order(shard: OneShard) -> None:
    """Links come with their place in the batch, with the identifiers and stamp as stored."""
    reply = shard.append(
        frame("user_id:a", "email:b@1", message_id="m1", stamp_us=T0 + 1),
        frame("user_id:c", message_id="m2", stamp_us=T0 + 2),
        frame("user_id:c", "email:d@2", "phone:e@1", message_id="m3", stamp_us=T0 + 3),
    )
    first, second = reply.pending

    assert (0, 2) == (first.index, second.index)
    assert (1 << 16, (1 << 16) + 2) == (first.position, second.position)
    assert ["user_id:c", "email:d@2", "phone:e@1"] == [f"{t}:{v}" for _, t, v in second.ids]
    assert [key("user_id:c"), key("email:d@2"), key("phone:e@1")] == [k for k, _, _ in second.ids]
    assert (T0 + 3, "m3") == (second.stamp_us, second.message_id)
    assert first.founding is None
    assert second.founding is not None, "founded by the event before it in the batch"
    assert T0 + 2 == second.founding.stamp_us


def test_a_link_carries_its_anchors_founding(shard: OneShard) -> None:
    """The merge actor need not look the anchor up: its founding comes with the link."""
    shard.append(frame("user_id:a", message_id="m1", stamp_us=T0 + 1))
    reply = shard.append(frame("user_id:a", "email:b@1", message_id="m2"))

    assert shard.look_up("user_id:a")[0].founding == reply.pending[0].founding


def test_remembered_partners_are_no_novel_link(shard: OneShard) -> None:
    """When every other identifier is a partner, the event is finished, in the anchor's profile."""
    shard.append(frame("user_id:a", "email:b@1"))
    shard.push(
        Push(
            bindings=[bind("user_id:a", "email:b@1")],
            memories=[remember("user_id:a", "email:b@1", "phone:c@2")],
        )
    )
    reply = shard.append(
        frame("user_id:a", "phone:c@2", message_id="m2"),
        frame("user_id:a", "email:b@1", "phone:c@2", message_id="m3"),
        frame("user_id:a", "email:b@1", "phone:d@2", message_id="m4"),
    )

    assert ["ATTACHED", "ATTACHED", "PENDING"] == outcomes(reply)
    assert member("email:b@1") == roots(reply)[0]


def test_partners_of_another_epoch_are_not_used(shard: OneShard) -> None:
    """Memory older than the profile's last ageing says nothing any more."""
    shard.append(frame("user_id:a", "email:b@1"))
    shard.push(
        Push(
            bindings=[bind("user_id:a", "email:b@1")],
            memories=[remember("user_id:a", "email:b@1")],
        )
    )
    shard.push(Push(ages=[AgePush(member("user_id:a"), 1, 0, 3)]))

    assert ["PENDING"] == outcomes(shard.append(frame("user_id:a", "email:b@1", message_id="m2")))


def test_partners_are_compared_whole(shard: OneShard) -> None:
    """Bytes that lie across two remembered partners are nobody's partner."""
    shard.append(frame("user_id:a", "email:b@1"))
    one, other = partner_of(key("email:x@1")), partner_of(key("email:y@1"))
    across = (one + other)[4:12]
    shard.push(Push(memories=[MemoryPush(member("user_id:a"), 0, [one, other])]))
    packed = frame("user_id:a", "email:z@1", message_id="m2")
    forged = packed.replace(key("email:z@1"), key("email:z@1")[:8] + across)

    assert ["PENDING"] == outcomes(shard.append(forged))


def test_memory_forgets_the_oldest_partners(shard: OneShard) -> None:
    """So many partners are remembered; one that was forgotten is a novel link again."""
    shard.append(frame("user_id:a", "email:b@1"))
    names = [f"email:p{number}@1" for number in range(PARTNERS_MAX + 1)]
    for start in range(0, len(names), 50):
        shard.push(Push(memories=[remember("user_id:a", *names[start : start + 50])]))
    reply = shard.append(
        frame("user_id:a", names[0], message_id="m2"),
        frame("user_id:a", names[1], message_id="m3"),
        frame("user_id:a", names[-1], message_id="m4"),
    )

    assert 8 * PARTNERS_MAX == len(shard.row("user_id:a").partners)
    assert ["PENDING", "ATTACHED", "ATTACHED"] == outcomes(reply)


def test_history_founds_nothing(shard: OneShard) -> None:
    """An event that is kept as history only is stored, and makes no profile."""
    reply = shard.append(frame("user_id:a", flags=FLAG_HISTORY, type_="alias"))

    assert ["HISTORY"] == outcomes(reply)
    assert [NO_MEMBER] == roots(reply)
    assert [Located(None, None)] == shard.ask(Locate(1, key("user_id:a")))


def test_history_is_answered_with_the_profile_there_is(shard: OneShard) -> None:
    """Once its anchor has a profile, history is answered with it."""
    shard.append(frame("user_id:a", message_id="m1"))
    reply = shard.append(frame("user_id:a", message_id="m2", flags=FLAG_HISTORY, type_="alias"))

    assert [member("user_id:a")] == roots(reply)


def test_an_event_is_found_by_its_anchor_alone(shard: OneShard) -> None:
    """It is counted and kept under the anchor; the other identifiers get no row by it."""
    shard.append(frame("user_id:a", "email:b", time_us=T0 + 5, type_="identify"))
    anchor, other = shard.ask(
        Gather(member("user_id:a"), with_traits=False), Gather(member("email:b"), with_traits=False)
    )

    assert isinstance(anchor, Gathered)
    assert isinstance(other, Gathered)
    assert (1, 0) == (sum(anchor.counts), sum(other.counts))
    assert (T0 + 5, T0 + 5) == (anchor.first_us, anchor.last_us)


@pytest.mark.parametrize("order", [("m1", "m2"), ("m2", "m1")])
def test_the_last_written_trait_wins(shard: OneShard, order: tuple[str, str]) -> None:
    """Of one trait the value with the greatest (event time, message id) stands, in any order."""
    values = {"m1": (T0 + 1, "older"), "m2": (T0 + 2, "newer")}
    for message_id in order:
        time_us, value = values[message_id]
        traits = {"plan": value, message_id: True}
        shard.append(
            frame(
                "user_id:a",
                message_id=message_id,
                time_us=time_us,
                flags=FLAG_TRAITS,
                traits=traits,
            )
        )
    (gathered,) = shard.ask(Gather(member("user_id:a"), with_traits=True))

    assert isinstance(gathered, Gathered)
    assert b"newer" in gathered.traits
    assert b"older" not in gathered.traits


def test_stale_rules_are_refused_whole(shard: OneShard) -> None:
    """A batch promoted under rules older than the shard was shown stores nothing at all."""
    shard.append(frame("user_id:a", message_id="m1"), version=3)
    before = dict(shard.store.rows)
    reply = shard.append(frame("user_id:b", message_id="m2"), version=2, call=2)

    assert {1: 3} == reply.stale
    assert b"" == reply.statuses
    assert before == shard.store.rows
    assert 2 == shard.store.next_number


def test_the_newest_rules_are_adopted(shard: OneShard) -> None:
    """A shard learns a version from the first batch that names it, and keeps it over a restart."""
    shard.append(frame("user_id:a", message_id="m1"), version=1)
    shard.append(frame("user_id:a", message_id="m2"), version=4, call=2)

    assert 4 == shard.machine.spaces[1].rules_version
    assert {1: 4} == shard.restarted().append(frame("user_id:a"), version=1, call=3).stale


def test_rules_are_adopted_by_duplicates_too(shard: OneShard) -> None:
    """A batch of nothing but duplicates still shows the shard newer rules."""
    shard.append(frame("user_id:a"), version=1)
    reply = shard.append(frame("user_id:a"), version=2, call=2)

    assert ["2 CREATED"] == outcomes(reply)
    assert {1: 2} == shard.append(frame("user_id:a"), version=1, call=3).stale


def test_spaces_have_rules_of_their_own(shard: OneShard) -> None:
    """One space's version refuses no batch of another."""
    shard.append(frame("user_id:a"), version=3)
    other = batch(frame("user_id:b", space=2), call=9, space=2)
    reply = shard.execute(shard.machine.append(other, shard.store.next_number))

    assert {} == reply.stale
    assert ["CREATED"] == outcomes(reply)


def test_links_are_swept_oldest_first_and_bounded(shard: OneShard) -> None:
    """A sweep lists what was received before a moment, oldest first, and no more than asked."""
    shard.append(
        *(
            frame("user_id:a", f"email:{n}@1", message_id=f"m{n}", stamp_us=RECEIVED_US + n)
            for n in range(5)
        )
    )
    listed = shard.machine.list_pending(before_us=RECEIVED_US + 4, links_max=3)

    assert ["m0", "m1", "m2"] == [each.message_id for each in listed]
    assert [-1] * 3 == [each.index for each in listed]
    assert 4 == len(shard.machine.list_pending(before_us=RECEIVED_US + 4, links_max=9))
    assert [] == shard.machine.list_pending(before_us=RECEIVED_US, links_max=9)
