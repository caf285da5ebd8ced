"""How the merge machine makes its decisions visible: phases, answers, confirmation, recovery."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.unit.machines.frames import RECEIVED_US, T0, founding, key, link, member
from tests.unit.machines.one_merge import OneMerge, rows_of
from unify_grpc.identity.outcomes import Outcome
from unify_grpc.machines.links import Void, partner_of
from unify_grpc.machines.merge_messages import Answer, LookUp, SendPush

if TYPE_CHECKING:
    from unify_grpc.machines.links import Push


def step(merge: OneMerge) -> list[tuple[int, Push]]:
    """Acks every push that is out; returns what they carried, by shard."""
    pushes = merge.take(SendPush)
    for push in pushes:
        merge.acknowledge(push)
    return [(push.shard, rows_of(push)) for push in pushes]


def decide(merge: OneMerge, *names: str, position: int = 1, request: int | None = 1) -> None:
    """Hands a link over and answers its look-ups, but no push."""
    merge.link(link(*names, position=position), request=request)
    merge.answer_look_ups()


def test_targets_come_before_pointers(merge: OneMerge) -> None:
    """First the profile at its home, then the bindings that lead to it, then memory and marks."""
    decide(merge, "user_id:a", "email:b@1", "phone:c@2")
    first, second, third = step(merge), step(merge), step(merge)

    assert [0] == [shard for shard, _ in first]
    assert [member("user_id:a")] == [each.root for each in first[0][1].profiles]
    assert [1, 2] == [shard for shard, _ in second]
    assert [member("email:b@1"), member("phone:c@2")] == [
        each.member for _, push in second for each in push.bindings
    ]
    assert [0] == [shard for shard, _ in third]
    assert [partner_of(key("email:b@1")), partner_of(key("phone:c@2"))] == (
        third[0][1].memories[0].partners
    )
    assert [1] == [each.position for each in third[0][1].clears]
    assert [] == step(merge)
    assert merge.machine.is_idle


def test_bindings_at_home_travel_with_the_profile(merge: OneMerge) -> None:
    """A member on the profile's own shard is bound in the commit of the profile's row."""
    decide(merge, "user_id:a", "email:b", "phone:c@2")
    ((shard, first),) = step(merge)

    assert 0 == shard
    assert {member("user_id:a"), member("email:b")} == {each.member for each in first.bindings}


def test_memory_ends_where_a_member_moves(merge: OneMerge) -> None:
    """A partner may move later, and shows until then nothing that joins the profile they move to:
    members of an absorbed profile age with it, those of the survivor do not.
    """
    for position, names in enumerate((("user_id:a", "email:b@1"), ("phone:c", "phone:d@2")), 1):
        decide(merge, *names, position=position)
        while step(merge):
            pass
    decide(merge, "user_id:a", "phone:c", position=3)
    phases = [step(merge) for _ in range(3)]
    bindings = [each for phase in phases for _, push in phase for each in push.bindings]

    assert {member("user_id:a"): 0, member("phone:c"): 3, member("phone:d@2"): 3} == {
        each.member: each.link_epoch for each in bindings
    }


def test_what_moves_is_remembered_when_all_has_moved(merge: OneMerge) -> None:
    """The memory of a merge's own event is under the new epoch, and comes after all bindings."""
    decide(merge, "user_id:a", "email:b@1", position=1)
    decide(merge, "phone:c", "phone:d@2", position=2)
    while step(merge):
        pass
    decide(merge, "phone:c", "user_id:a", position=3)
    phases = [step(merge) for _ in range(3)]

    assert [(member("phone:c"), 3)] == [
        (each.anchor, each.link_epoch)
        for phase in phases
        for _, push in phase
        for each in push.memories
    ]
    assert phases[2][0][1].memories


def test_a_phase_waits_for_every_ack_of_the_one_before(merge: OneMerge) -> None:
    """Memory may say that a link is visible everywhere only when it is."""
    decide(merge, "user_id:a", "email:b@1", "phone:c@2")
    step(merge)
    one, other = merge.take(SendPush)
    merge.acknowledge(one)
    assert [] == merge.take(SendPush)
    merge.acknowledge(other)

    assert 1 == len(merge.take(SendPush))


def test_the_caller_is_answered_after_the_second_phase(merge: OneMerge) -> None:
    """RESOLVED means that the link shows through every kept identifier, not that marks are gone."""
    decide(merge, "user_id:a", "email:b@1", request=4)
    assert [] == merge.take(Answer)
    step(merge)
    assert [] == merge.take(Answer)
    step(merge)
    (answer,) = merge.take(Answer)

    assert 4 == answer.request
    assert [int(Outcome.CREATED)] == [each.outcome for each in answer.decided]
    assert [each.position for each in answer.decided] == [1]
    assert 1 == len(merge.take(SendPush)), "phase 3 is still out"


def test_a_request_is_answered_whole_and_in_its_order(merge: OneMerge) -> None:
    """One answer, once, with the links in the order in which they were handed over."""
    links = [
        link("user_id:a", "email:b@1", position=9),
        link("user_id:c@1", "email:d@2", position=3, shard=1),
        link("user_id:a", "email:b@1", position=9),
    ]
    merge.link(*links, request=4)
    decided = merge.finish()

    assert [(0, 9), (1, 3), (0, 9)] == [(each.shard, each.position) for each in decided]


def test_a_repeat_waits_until_the_first_is_visible(merge: OneMerge) -> None:
    """A link decided before is answered when its round is visible, not when it is decided."""
    decide(merge, "user_id:a", "email:b@1", request=1)
    decide(merge, "user_id:a", "email:b@1", request=2)
    assert [] == merge.take(Answer)
    step(merge)
    assert [] == merge.take(Answer)
    step(merge)

    assert [1, 2] == [each.request for each in merge.take(Answer)]


def test_a_sweep_is_answered_to_nobody(merge: OneMerge) -> None:
    """Links of a sweep are decided and pushed, and no answer is sent."""
    decide(merge, "user_id:a", "email:b@1", request=None)
    while merge.sent:
        assert [] == merge.take(Answer)
        step(merge)

    assert 1 == len(merge.decisions())


def test_all_kept_identifiers_are_bound_again(merge: OneMerge) -> None:
    """A decision that adds nothing still yields its event's bindings at its own seq."""
    merge.decide(link("user_id:a", "email:b@1", position=1))
    decide(merge, "user_id:a", "email:b@1", position=2)
    bindings = [each for _ in range(3) for _, push in step(merge) for each in push.bindings]

    assert {member("user_id:a"): 2, member("email:b@1"): 2} == {
        each.member: each.seq for each in bindings
    }


def test_a_merge_rewrites_the_absorbed_sides_members(merge: OneMerge) -> None:
    """Members of the absorbed profile are bound to the survivor, whose own stay as they are."""
    merge.decide(link("user_id:a", "email:b@1", position=1, stamp_us=T0))
    merge.decide(link("user_id:c", "email:d@2", position=2, stamp_us=T0 + 1))
    decide(merge, "user_id:a", "user_id:c", position=3)
    bound = {
        each.member: each.root
        for _ in range(3)
        for _, push in step(merge)
        for each in push.bindings
    }

    assert (
        dict.fromkeys(
            [member("user_id:a"), member("user_id:c"), member("email:d@2")], member("user_id:a")
        )
        == bound
    )


def test_rows_carry_the_newest_seq_of_their_profile(merge: OneMerge) -> None:
    """A round pushes rows as they are at its end, so a profile changed twice is pushed once."""
    merge.link(
        link("user_id:a", "email:b@1", position=1), link("user_id:a", "email:c@1", position=2)
    )
    merge.answer_look_ups()
    ((_, first),) = step(merge)

    assert [2] == [each.seq for each in first.profiles]
    assert 3 == len(first.profiles[0].members)


def test_one_push_at_a_time_is_out_to_a_shard(merge: OneMerge) -> None:
    """Rows of later rounds wait for the ack and then travel together."""
    decide(merge, "user_id:a", "email:b", position=1, request=1)
    (out,) = merge.take(SendPush)
    for position in (2, 3):
        decide(merge, f"user_id:{position}", f"email:{position}", position=position)
        assert [] == merge.take(SendPush)
    merge.acknowledge(out)
    (joined,) = merge.take(SendPush)

    assert 2 == len(rows_of(joined).profiles)
    assert [1] == [each.position for each in rows_of(joined).clears]


def test_an_ack_of_an_earlier_push_is_ignored(merge: OneMerge) -> None:
    """A repeated ack neither ends a later push nor moves a phase."""
    decide(merge, "user_id:a", "email:b@1")
    (first,) = merge.take(SendPush)
    merge.acknowledge(first)
    (second,) = merge.take(SendPush)
    merge.acknowledge(first)
    merge.acknowledge(SendPush(second.shard, first.number, b""))

    assert [] == merge.take(SendPush)
    assert [] == merge.take(Answer)
    assert [second] == merge.machine.unanswered()


def test_whatever_is_unanswered_is_sent_again(merge: OneMerge) -> None:
    """After a silence look-ups and pushes go out as they were, and their first answer counts."""
    merge.link(link("user_id:a", "email:b@1", position=1))
    asked = merge.take(LookUp)
    assert asked == merge.machine.unanswered()
    merge.sent.extend(asked)
    merge.answer_look_ups()
    pushes = merge.take(SendPush)

    assert pushes == merge.machine.unanswered()


def test_confirmed_moves_when_a_round_and_all_before_it_are_through(merge: OneMerge) -> None:
    """A later round that is through first does not confirm an earlier one that is not."""
    decide(merge, "user_id:a@1", "email:b@1", position=1)
    record = merge.store.next_number - 1
    (slow,) = merge.take(SendPush)
    decide(merge, "user_id:c@2", "email:d@2", position=2)
    for _ in range(3):
        step(merge)
    assert record - 1 == merge.machine.confirmed
    merge.acknowledge(slow)
    while merge.sent:
        step(merge)
        merge.take(Answer)

    assert merge.store.next_number - 1 == merge.machine.confirmed


def test_recovery_pushes_again_what_was_not_confirmed(merge: OneMerge) -> None:
    """After a crash before the pushes, all three phases are done by the next life."""
    decide(merge, "user_id:a", "email:b@1")
    after = merge.restarted()
    first, second, third = step(after), step(after), step(after)

    assert [member("user_id:a")] == [each.root for each in first[0][1].profiles]
    assert [member("email:b@1")] == [each.member for each in second[0][1].bindings]
    assert [1] == [each.position for each in third[0][1].clears]
    assert after.machine.is_idle


def test_recovery_pushes_present_rows(merge: OneMerge) -> None:
    """A decision overtaken by a later merge is pushed with the rows that hold now."""
    decide(merge, "user_id:c", "email:d@1", position=1)
    merge.take(SendPush)
    merge.link(link("user_id:a", "user_id:c", position=2, founding=founding(T0 - 1)), request=2)
    after = merge.restarted()
    pushed = [push for _ in range(6) for _, push in step(after)]

    assert {member("user_id:a")} == {each.root for push in pushed for each in push.bindings}
    assert {member("user_id:a")} == {each.root for push in pushed for each in push.profiles}
    assert {1, 2} == {each.position for push in pushed for each in push.clears}


def test_recovery_leaves_confirmed_rounds_alone(merge: OneMerge) -> None:
    """What the journal says was visible everywhere is not pushed again."""
    merge.decide(link("user_id:a", "email:b@1", position=1))
    merge.decide(link("user_id:c", "email:d@1", position=2))
    roots = {each.root for _, push in step(merge.restarted()) for each in push.profiles}

    assert {member("user_id:c")} == roots, "the last round's confirmation is not in the journal yet"


def test_rows_are_the_same_after_a_restart(merge: OneMerge) -> None:
    """The journal replayed, from any checkpoint, gives the tables that were."""
    merge.decide(link("user_id:a", "email:b@1", position=1))
    merge.store.checkpoint()
    merge.decide(link("user_id:c", "email:d@1", position=2))
    merge.decide(link("user_id:c", "user_id:a", position=3))
    after = merge.restarted()

    assert merge.store.rows == after.store.rows
    assert merge.machine.seq == after.machine.seq


def test_a_void_founding_is_journalled(merge: OneMerge) -> None:
    """A profile that was founded behind the decision's back keeps its history row."""
    decide(merge, "user_id:a", "email:b@1")
    step(merge)
    (push,) = merge.take(SendPush)
    before = merge.store.next_number
    void = Void(member("email:b@1"), member("user_id:a"), 1, founding(RECEIVED_US))
    merge.acknowledge(push, [void])

    assert b"V" == merge.store.record(before)[:1]
    assert 1 == len(merge.take(Answer))
    assert merge.restarted().store.rows == merge.store.rows
