"""Deleting an identifier: age first, act second, and what a restart makes of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from msgspec import structs

from tests.unit.machines.frames import SPACE, T0, founding, frame, key, link, member, split
from tests.unit.machines.one_merge import OneMerge, rows_of
from tests.unit.machines.one_shard import outcomes, roots
from unify_grpc.identity.deletion import DeletionRefusal
from unify_grpc.machines.deleting import REUSED
from unify_grpc.machines.deletions import DeleteCommand, Deleted
from unify_grpc.machines.links import AgePush, BindingPush, LookedUp, NamePush, Push, partner_of
from unify_grpc.machines.merge_messages import Answer, DeleteAnswer, SendPush
from unify_grpc.machines.reads import Locate, Located
from unify_grpc.placement.members import FIRST_INCARNATION

if TYPE_CHECKING:
    from tests.unit.machines.one_shard import OneShard
    from unify_grpc.machines.links import Founding

NOT_FOUNDED = LookedUp(0, None)


def command(
    named: str | bytes,
    name: str,
    *,
    request_id: int = 1,
    named_founding: Founding | None = None,
) -> DeleteCommand:
    """Returns the command to delete an identifier from the profile of another."""
    return DeleteCommand(
        request_id.to_bytes(16, "big"),
        SPACE,
        0,
        named if isinstance(named, bytes) else key(named),
        key(name),
        *split(name),
        NOT_FOUNDED,
        LookedUp(0, named_founding),
    )


def ask(merge: OneMerge, asked: DeleteCommand, request: int = 7) -> None:
    """Hands a deletion over."""
    merge.execute(merge.machine.delete(request, asked, merge.store.next_number))


def finish(merge: OneMerge) -> list[Deleted]:
    """Acks everything; returns what became of deletions."""
    kept: list[Deleted] = []
    while merge.sent:
        kept.extend(each.deleted for each in merge.take(DeleteAnswer))
        merge.answer_look_ups()
        for push in merge.take(SendPush):
            merge.acknowledge(push)
        merge.take(Answer)
    return kept


def delete(merge: OneMerge, named: str, name: str, request_id: int = 1) -> Deleted:
    """Deletes an identifier and sees it through."""
    ask(merge, command(named, name, request_id=request_id))
    (deleted,) = finish(merge)
    return deleted


def hidden(merge: OneMerge, name: str) -> set[bytes]:
    """Returns the hidden members of an identifier's profile."""
    return {each[0] for each in merge.profile(name).members if each[4]}


def test_a_deleted_identifier_is_a_hidden_member(merge: OneMerge) -> None:
    """The profile goes on holding what is stored under it; the name begins its next life."""
    merge.decide(link("user_id:a", "email:b@1", position=1))
    deleted = delete(merge, "user_id:a", "email:b@1")

    assert Deleted(0, member("user_id:a")) == deleted
    assert {member("email:b@1")} == hidden(merge, "user_id:a")
    assert {key("email:b@1"): 1} == merge.machine.incarnations


def test_members_age_before_anything_is_deleted(merge: OneMerge) -> None:
    """No name moves on while a shard may still take the identifier for known to be there."""
    merge.decide(link("user_id:a", "email:b@1", "phone:c@2", position=1))
    ask(merge, command("user_id:a", "email:b@1"))
    ages = merge.take(SendPush)
    assert {0, 1, 2} == {push.shard for push in ages}
    assert not any(rows_of(push).names for push in ages)
    for push in ages[:-1]:
        merge.acknowledge(push)
    assert [] == merge.sent, "it acts before every shard has aged"
    merge.acknowledge(ages[-1])
    rows = [rows_of(push) for push in merge.take(SendPush)]

    assert [NamePush(key("email:b@1"), 1)] == [name for push in rows for name in push.names]
    assert [[member("email:b@1")]] == [each.hidden for push in rows for each in push.profiles]


def test_it_is_answered_when_every_shard_has_it(merge: OneMerge) -> None:
    """The caller may rely on it everywhere, so the answer waits for the last ack."""
    merge.decide(link("user_id:a", "email:b@1", position=1))
    ask(merge, command("user_id:a", "email:b@1"))
    for push in merge.take(SendPush):
        merge.acknowledge(push)
    pushes = merge.take(SendPush)
    merge.acknowledge(pushes[0])
    assert [] == merge.take(DeleteAnswer)
    merge.acknowledge(pushes[1])

    assert 1 == len(merge.take(DeleteAnswer))


def test_it_is_answered_when_merges_before_it_are_everywhere(merge: OneMerge) -> None:
    """Until then members lead to a list that the profile has left, and that shows it still."""
    merge.decide(link("user_id:x", "phone:y", position=1))
    merge.decide(link("user_id:a@1", "email:b@2", position=2, message_id="m2"))
    ask(merge, command("user_id:a@1", "email:b@2"))
    ages = merge.take(SendPush)
    merge.link(link("user_id:x", "user_id:a@1", position=3, message_id="m3"))
    for age in ages:
        merge.acknowledge(age)
    held: list[SendPush] = []
    while pushes := merge.take(SendPush):
        for push in pushes:
            if push.shard == 1:
                held.append(push)
            else:
                merge.acknowledge(push)
    assert [] == merge.take(DeleteAnswer)
    for push in held:
        merge.acknowledge(push)

    assert [0] == [each.refusal for each in finish(merge)]


def test_after_a_restart_it_is_answered_when_merges_behind_it_are_everywhere(
    merge: OneMerge,
) -> None:
    """The list that such a merge ended was never told of it, and members still lead there."""
    merge.decide(link("user_id:x", "phone:y", position=1), foundings={"user_id:x": founding(1)})
    merge.decide(link("user_id:a@1", "email:b@2", position=2, message_id="m2"))
    ask(merge, command("user_id:a@1", "email:b@2"))
    for age in merge.take(SendPush):
        merge.acknowledge(age)
    assert merge.take(SendPush), "the deletion is on its way"
    merge.link(link("user_id:x", "user_id:a@1", position=3, message_id="m3"))
    merge.answer_look_ups()
    again = merge.restarted()
    ask(again, command("user_id:a@1", "email:b@2"))
    first = again.take(SendPush)
    assert any(rows_of(push).names for push in first)
    for push in first:
        again.acknowledge(push)

    assert [] == again.take(DeleteAnswer)
    assert [0] == [each.refusal for each in finish(again)]


@pytest.mark.parametrize(
    ("named", "name", "refusal"),
    [
        ("user_id:a", "user_id:a", DeletionRefusal.LOOKED_UP_BY),
        ("email:b", "user_id:a", DeletionRefusal.LAST_USER_ID),
        ("user_id:a", "group_id:g", DeletionRefusal.GROUP_ID),
        ("user_id:a", "email:other", DeletionRefusal.NOT_ON_PROFILE),
        ("user_id:nobody", "email:b", DeletionRefusal.NOT_ON_PROFILE),
    ],
)
def test_what_may_not_be_deleted_stays(
    merge: OneMerge, named: str, name: str, refusal: DeletionRefusal
) -> None:
    """A refusal writes nothing at all."""
    merge.decide(link("user_id:a", "email:b", position=1))
    before = merge.store.next_number
    ask(merge, command(named, name))

    assert [refusal] == [each.refusal for each in finish(merge)]
    assert before == merge.store.next_number


@pytest.mark.parametrize("asked_of", [{"space": SPACE + 1}, {"collection": 1}])
def test_a_profile_of_others_does_not_exist(merge: OneMerge, asked_of: dict[str, int]) -> None:
    """Who names it by its founding member in another space, or as an account, changes nothing,
    however equal the identifier is.
    """
    merge.decide(link("user_id:a", "email:b", position=1))
    before = merge.store.next_number
    ask(merge, structs.replace(command(member("user_id:a"), "email:b"), **asked_of))

    assert [DeletionRefusal.NOT_ON_PROFILE] == [each.refusal for each in finish(merge)]
    assert before == merge.store.next_number


def test_the_same_request_deletes_once(merge: OneMerge) -> None:
    """A repetition gets the first answer; the same id for another deletion is refused."""
    merge.decide(link("user_id:a", "email:b", "email:c", position=1))
    first = delete(merge, "user_id:a", "email:b")
    before = merge.store.next_number
    ask(merge, command("user_id:a", "email:b"))
    assert [first] == finish(merge)
    ask(merge, command("user_id:a", "email:c"))
    assert [REUSED] == [each.refusal for each in finish(merge)]

    assert before == merge.store.next_number


def test_the_next_sighting_is_free_to_join_anybody(merge: OneMerge) -> None:
    """The name's next incarnation is linked; the last one stays where it was."""
    merge.decide(link("user_id:a", "email:b", position=1))
    delete(merge, "user_id:a", "email:b")
    merge.decide(link("user_id:d", "email:b", position=2, message_id="m2"))

    assert [member("user_id:d"), member("email:b", 1)] == [
        each[0] for each in merge.profile("user_id:d").members
    ]
    assert {member("email:b")} == hidden(merge, "user_id:a")


def test_limits_count_a_deleted_identifier_no_more() -> None:
    """Its place is free for another one of its type."""
    rules = {"identifiers": [{"type": "email", "limit": 1}], "others": {"limit": None}}
    merge = OneMerge(rules=rules)
    merge.decide(link("user_id:a", "email:b", position=1))
    delete(merge, "user_id:a", "email:b")
    (decided,) = merge.decide(link("user_id:a", "email:c", position=2, message_id="m2"))

    assert [] == decided.drops


def test_a_link_stored_before_the_deletion_counts_its_anchor() -> None:
    """Decided later, it is as if the deletion had come after it: nothing of it is dropped."""
    rules = {"identifiers": [{"type": "email", "limit": 1}], "others": {"limit": None}}
    merge = OneMerge(rules=rules)
    merge.decide(link("email:b", "user_id:a", position=1))
    delete(merge, "user_id:a", "email:b")
    (decided,) = merge.decide(link("email:b", "phone:c", position=2, message_id="m2"))

    assert (member("email:b"), []) == (decided.root, decided.drops)
    assert {member("email:b")} == hidden(merge, "phone:c")


def test_a_decision_while_a_profile_ages_leaves_no_memory(merge: OneMerge) -> None:
    """What it found may be gone a moment later; afterwards decisions are remembered again."""
    merge.decide(link("user_id:a", "email:b", position=1))
    ask(merge, command("user_id:a", "email:b"))
    (age,) = merge.take(SendPush)
    memories = []
    merge.link(link("user_id:a", "email:b", position=2, message_id="m2"))
    merge.acknowledge(age)
    while merge.sent:
        for push in merge.take(SendPush):
            memories.extend(rows_of(push).memories)
            merge.acknowledge(push)
        merge.take(Answer)
        merge.take(DeleteAnswer)
    assert [] == memories
    merge.link(link("user_id:a", "email:b", position=3, message_id="m3"))
    merge.answer_look_ups()
    merge.finish(watch=lambda push: memories.extend(rows_of(push).memories))

    assert [[partner_of(key("email:b"))]] == [each.partners for each in memories]


def test_memory_pushed_again_after_a_restart_is_not_older_than_the_ageing(
    merge: OneMerge,
) -> None:
    """A round that was never confirmed may speak of what was deleted since."""
    merge.link(link("user_id:a", "email:b", position=1))
    merge.answer_look_ups()
    merge.take(SendPush)
    ask(merge, command("user_id:a", "email:b"))
    again = merge.restarted()
    memories = []
    while again.sent:
        for push in again.take(SendPush):
            memories.extend(rows_of(push).memories)
            again.acknowledge(push)

    assert [] == memories
    assert {member("email:b")} == hidden(again, "user_id:a")


def test_a_deletion_cut_by_a_crash_is_finished(merge: OneMerge) -> None:
    """The journal says what was meant; who asks again is answered, nothing is done twice."""
    merge.decide(link("user_id:a", "email:b@1", position=1))
    ask(merge, command("user_id:a", "email:b@1"))
    again = merge.restarted()
    assert not again.machine.is_idle
    ask(again, command("user_id:a", "email:b@1"))
    deleted = finish(again)
    records = again.store.next_number
    third = again.restarted()

    assert [Deleted(0, member("user_id:a"))] == deleted
    assert records == third.store.next_number
    assert {key("email:b@1"): 1} == third.machine.incarnations
    assert again.store.rows == third.store.rows


def test_a_merge_between_the_two_steps_moves_the_deletion(merge: OneMerge) -> None:
    """The profile is the one that its members are in by then."""
    merge.decide(link("user_id:x", "phone:y", position=1), foundings={"user_id:x": founding(1)})
    merge.decide(link("user_id:a", "email:b", position=2, message_id="m2"))
    ask(merge, command("user_id:a", "email:b"))
    (age,) = merge.take(SendPush)
    merge.link(link("user_id:x", "user_id:a", position=3, message_id="m3"))
    merge.acknowledge(age)
    deleted = finish(merge)

    assert [0] == [each.refusal for each in deleted]
    assert {member("email:b")} == hidden(merge, "user_id:x")


def test_the_only_identifier_goes_by_segment_id(merge: OneMerge) -> None:
    """A profile that no link touched is taken over first, with the time that founded it."""
    asked = command(
        member("anonymous_id:z"), "anonymous_id:z", named_founding=founding(40, time_us=T0 + 3)
    )
    ask(merge, asked)
    bindings: list[BindingPush] = []
    ages: list[AgePush] = []
    answers: list[DeleteAnswer] = []
    while merge.sent:
        for push in merge.take(SendPush):
            bindings.extend(rows_of(push).bindings)
            ages.extend(rows_of(push).ages)
            merge.acknowledge(push)
        answers.extend(merge.take(DeleteAnswer))

    assert [member("anonymous_id:z")] == [each.root for each in bindings]
    assert [T0 + 3] == [each.joined_us for each in bindings]
    assert [0] == [each.deleted.refusal for each in answers]
    assert {member("anonymous_id:z")} == hidden(merge, "anonymous_id:z")


def test_what_is_taken_over_and_merged_is_pushed_targets_first(merge: OneMerge) -> None:
    """After a restart its member leads to the survivor only when the survivor's home has it."""
    merge.decide(link("user_id:x", "phone:y", position=1))
    named = member("anonymous_id:z@1")
    ask(merge, command(named, "anonymous_id:z@1", named_founding=founding(2**60, time_us=T0)))
    merge.link(link("user_id:x", "anonymous_id:z@1", position=2, message_id="m2"))
    merge.answer_look_ups()
    again = merge.restarted()
    bound: list[bytes] = []
    while pushes := [each for each in again.take(SendPush) if each.shard == 1]:
        for push in pushes:
            bound.extend(each.root for each in rows_of(push).bindings)
            again.acknowledge(push)

    assert [] == bound, "it leads to where nobody knows of it"


# -- at the shard ---------------------------------------------------------------------------------


def test_a_name_that_moved_on_starts_afresh(shard: OneShard) -> None:
    """An event with the name founds a new profile; the old one is found by its segment_id."""
    shard.append(frame("email:b"))
    shard.push(Push(names=[NamePush(key("email:b"), 1)]))
    reply = shard.append(frame("email:b", message_id="m2"), call=2)
    by_name, by_member = shard.ask(Locate(1, key("email:b")), Locate(1, member("email:b")))

    assert (["CREATED"], [member("email:b", 1)]) == (outcomes(reply), roots(reply))
    assert isinstance(by_name, Located)
    assert isinstance(by_member, Located)
    assert (member("email:b", 1), member("email:b")) == (by_name.root, by_member.root)


def test_a_message_stays_known_over_a_deletion(shard: OneShard) -> None:
    """It is answered with the profile it went to, not with that of the name's next life."""
    shard.append(frame("email:b"))
    shard.push(Push(names=[NamePush(key("email:b"), 1)]))
    reply = shard.append(frame("email:b"), call=2)

    assert ["2 CREATED"] == outcomes(reply)
    assert [key("email:b") + FIRST_INCARNATION] == roots(reply)


def test_a_binding_of_the_next_life_moves_the_name(shard: OneShard) -> None:
    """It may come before the push that retires the last one, and must be found at once."""
    binding = BindingPush(
        member("email:b", 1), member("user_id:d@1"), 9, 1, 0, "email", "b", T0, 5, "m", True
    )
    shard.push(Push(bindings=[binding]))
    shard.push(Push(names=[NamePush(key("email:b"), 1)]))
    (found,) = shard.ask(Locate(1, key("email:b")))

    assert isinstance(found, Located)
    assert member("user_id:d@1") == found.root


def test_an_incarnation_never_goes_back(shard: OneShard) -> None:
    """A push that is late changes nothing."""
    shard.push(Push(names=[NamePush(key("email:b"), 2)]))
    shard.push(Push(names=[NamePush(key("email:b"), 1)]))

    assert [2] == [each.incarnation for each in shard.look_up("email:b")]
