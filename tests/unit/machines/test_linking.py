"""How the merge machine decides links: rounds, look-ups, rules, once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.unit.machines.frames import (
    DAY_US,
    RECEIVED_US,
    SHARD_MAP,
    SPACE,
    T0,
    founding,
    key,
    link,
    member,
)
from tests.unit.machines.one_merge import UNLIMITED, OneMerge
from unify_grpc.identity.outcomes import DropReason, Outcome
from unify_grpc.machines import journal
from unify_grpc.machines.links import LookedUp
from unify_grpc.machines.merge_machine import ROUND_LINKS_MAX
from unify_grpc.machines.merge_messages import Answer, AskRules, LookUp, SendPush
from unify_grpc.placement.members import member_of

if TYPE_CHECKING:
    from unify_grpc.machines.links import Decided

LIMITED = {"identifiers": [{"type": "user_id", "limit": 1}, {"type": "email", "limit": 2}]}
WINDOWED = {
    "identifiers": [
        {"type": "user_id", "limit": 1},
        {"type": "email", "limit": 1, "window": "daily"},
    ]
}


def outcomes(decided: list[Decided]) -> list[str]:
    """Returns outcomes in words."""
    return [Outcome(each.outcome).name for each in decided]


def drops(decided: Decided) -> list[tuple[int, str]]:
    """Returns drops with their reasons in words."""
    return [(index, DropReason(reason).name) for index, reason in decided.drops]


def test_only_unknown_identifiers_are_looked_up(merge: OneMerge) -> None:
    """Each shard is asked once, for what the tables do not say; never for the anchor."""
    merge.decide(link("user_id:a", "email:b@1", position=1))
    merge.link(
        link("user_id:c", "email:b@1", "phone:d@2", "phone:e@1", position=2),
        link("user_id:c", "phone:d@2", position=3),
    )

    assert {(2, (key("phone:d@2"),)), (1, (key("phone:e@1"),))} == {
        (asked.shard, asked.keys) for asked in merge.take(LookUp)
    }


def test_nothing_is_decided_before_every_look_up_is_answered(merge: OneMerge) -> None:
    """A round waits for all shards it asked."""
    merge.link(link("user_id:a", "email:b@1", "phone:c@2", position=1))
    asked = merge.take(LookUp)
    for each in asked:
        assert [] == merge.decisions()
        found = [LookedUp(0, None)] * len(each.keys)
        merge.execute(
            merge.machine.looked_up(each.round, each.shard, found, merge.store.next_number)
        )

    assert 2 == len(asked)
    assert 1 == len(merge.decisions())


def test_a_late_answer_of_an_earlier_round_is_ignored(merge: OneMerge) -> None:
    """An answer that was already given, or is of a round long decided, changes nothing."""
    merge.link(link("user_id:a", "email:b@1", position=1))
    (first,) = merge.take(LookUp)
    merge.sent.append(first)
    merge.finish()
    merge.link(link("user_id:a", "email:c@1", position=2), request=2)
    late = [LookedUp(0, founding(T0))]
    merge.execute(merge.machine.looked_up(first.round, 1, late, merge.store.next_number))

    assert 1 == len(merge.decisions())
    assert 1 == len(merge.take(LookUp))


def test_links_are_decided_in_the_order_they_were_handed_over(merge: OneMerge) -> None:
    """Of one batch in its order, and batch after batch, also those that waited for a round."""
    merge.link(link("user_id:a", "email:b@1", position=9), request=1)
    merge.link(link("user_id:c", "email:d@1", position=8), link("user_id:e", position=2), request=2)
    merge.link(link("user_id:f", "email:g@1", position=1), request=3)
    merge.finish()

    assert [9, 8, 2, 1] == [decision.position for decision in merge.decisions()]
    assert [1, 2, 3, 4] == [decision.seq for decision in merge.decisions()]


def test_what_waits_is_decided_in_one_round(merge: OneMerge) -> None:
    """Links that came while a round was under way share the next, up to a bound."""
    merge.link(link("user_id:a", "email:b@1", position=1), request=1)
    for number in range(2, 6):
        merge.link(link("user_id:a", f"email:{number}@1", position=number), request=number)
    merge.finish()
    for number in range(3):
        links = [
            link("user_id:a", "email:x@1", position=10_000 * (number + 1) + each)
            for each in range(ROUND_LINKS_MAX)
        ]
        merge.link(*links, request=10 + number)
    rounds = [number for number in range(1, merge.store.next_number) if is_round(merge, number)]

    assert [1, 4] == [count_in(merge, number) for number in rounds[:2]]
    merge.finish()
    later = [
        count_in(merge, n)
        for n in range(rounds[1] + 1, merge.store.next_number)
        if is_round(merge, n)
    ]
    assert 3 * ROUND_LINKS_MAX == sum(later)
    assert max(later) <= ROUND_LINKS_MAX


def is_round(merge: OneMerge, number: int) -> bool:
    """Says whether a journal record is a round."""
    return merge.store.record(number)[:1] == b"D"


def count_in(merge: OneMerge, number: int) -> int:
    """Returns how many decisions a round has."""
    return len(journal.decode_round(merge.store.record(number)[1:]).decisions)


def test_a_link_is_decided_once(merge: OneMerge) -> None:
    """Handed over again, with whatever else, it gets its recorded outcome, profile and drops."""
    merge.adopt(LIMITED, version=2)
    first = merge.decide(link("user_id:a", "user_id:b@1", position=1, version=2))
    again = merge.decide(link("user_id:z", "user_id:y@1", position=1, version=2))

    assert [(1, "LIMIT_EXCEEDED")] == drops(first[0])
    assert first == again
    assert 1 == len(merge.decisions())


def test_a_link_twice_in_a_round_is_decided_once(merge: OneMerge) -> None:
    """A sweep and its gateway may hand over the same link at the same time."""
    one = link("user_id:a", "email:b@1", position=1)
    merge.link(one, one, request=1)
    merge.link(one, request=None)
    answers = merge.finish()

    assert 1 == len(merge.decisions())
    assert ["CREATED", "CREATED"] == outcomes(answers)


def test_a_link_is_known_by_shard_and_position(merge: OneMerge) -> None:
    """The same position of another shard is another link."""
    merge.decide(link("user_id:a", "email:b@1", position=1, shard=0))
    merge.decide(link("user_id:c@1", "email:d@1", position=1, shard=1))

    assert 2 == len(merge.decisions())


def test_a_link_is_decided_once_over_a_restart(merge: OneMerge) -> None:
    """What was decided is remembered in the journal's rows, from any checkpoint."""
    first = merge.decide(link("user_id:a", "email:b@1", position=1))
    for checkpoint in (False, True):
        if checkpoint:
            merge.store.checkpoint()
        after = merge.restarted()
        after.finish()
        assert first == after.decide(link("user_id:a", "email:b@1", position=1))
        assert 1 == len(after.decisions())


def test_nobody_known_makes_a_profile_of_its_anchor(merge: OneMerge) -> None:
    """A link of new identifiers founds a profile named by its anchor, with the link's stamp."""
    (decided,) = merge.decide(link("user_id:a", "email:b@1", position=1, stamp_us=T0 + 7))

    assert ["CREATED"] == outcomes([decided])
    assert member("user_id:a") == decided.root
    assert T0 + 7 == merge.profile("email:b@1").created_us
    assert [member("user_id:a"), member("email:b@1")] == [
        each[0] for each in merge.profile("user_id:a").members
    ]


def test_a_founding_stamp_is_raised_to_the_newest(merge: OneMerge) -> None:
    """A profile made by a link is never older than one that a link made before it."""
    merge.decide(link("user_id:a", "email:b@1", position=1, stamp_us=T0 + 50))
    merge.decide(link("user_id:c", "email:d@1", position=2, stamp_us=T0 + 7))
    (decided,) = merge.decide(link("user_id:c", "user_id:a", position=3))

    assert T0 + 50 == merge.decisions()[1].created_us
    assert ["MERGED"] == outcomes([decided])
    assert member("user_id:a") == decided.root


def test_a_looked_up_founding_is_a_profile(merge: OneMerge) -> None:
    """An identifier whose own event founded a profile brings that profile into the decision."""
    known = {"email:b@1": founding(T0 + 1), "phone:c@2": founding(T0 + 2)}
    (decided,) = merge.decide(
        link("user_id:a", "email:b@1", "phone:c@2", position=1), foundings=known
    )

    assert ["MERGED"] == outcomes([decided])
    assert member("email:b@1") == decided.root
    assert 1 == merge.profile("user_id:a").merges
    assert T0 + 1 == merge.profile("user_id:a").created_us


def test_the_anchors_founding_comes_with_the_link(merge: OneMerge) -> None:
    """It counts like one that was looked up."""
    merge.link(link("user_id:a", "email:b@1", position=1, founding=founding(T0 + 9)))
    (decided,) = merge.finish({"email:b@1": founding(T0 + 1)})

    assert ["MERGED"] == outcomes([decided])
    assert member("email:b@1") == decided.root


def test_a_founding_keeps_its_own_link_time(merge: OneMerge) -> None:
    """An identifier joined when its own event founded its profile; others, at the link's time."""
    merge.decide(
        link("user_id:a", "email:b@1", position=1, time_us=T0 + 5),
        foundings={"email:b@1": founding(T0 + 1, time_us=T0 - DAY_US)},
    )

    assert {("user_id", T0 + 5), ("email", T0 - DAY_US)} == {
        (type_, joined_us) for _, type_, joined_us, *_ in merge.profile("user_id:a").members
    }


def test_a_founding_later_in_the_same_stream_did_not_exist_yet() -> None:
    """The link comes first in its stream, so what the stream founded after it is no profile."""
    stamp = RECEIVED_US
    later = founding(stamp + 1, stream=1)
    earlier = founding(stamp - 1, stream=1)
    elsewhere = founding(stamp + 1, stream=2)
    outcome = {}
    for name, found in (("later", later), ("earlier", earlier), ("elsewhere", elsewhere)):
        fresh = OneMerge()
        (decided,) = fresh.decide(
            link("user_id:a", "email:b@1", position=1, stamp_us=stamp, stream=1),
            foundings={"email:b@1": found},
        )
        outcome[name] = outcomes([decided])[0]

    assert {"later": "CREATED", "earlier": "ATTACHED", "elsewhere": "ATTACHED"} == outcome


def test_the_tables_outrank_a_look_up(merge: OneMerge) -> None:
    """An identifier linked since it was looked up is judged as linked, not as looked up."""
    merge.link(link("user_id:a", "email:b@1", position=1, stamp_us=T0), request=1)
    merge.link(link("user_id:c", "email:b@1", position=2), request=2)
    answers = merge.finish({"email:b@1": founding(T0 + 5)})

    assert ["ATTACHED", "ATTACHED"] == outcomes(answers)
    assert member("email:b@1") == answers[1].root
    assert 3 == len(merge.profile("user_id:c").members)


def test_a_later_life_of_a_name_is_another_member(merge: OneMerge) -> None:
    """What was looked up says in which incarnation an identifier counts."""
    merge.link(link("user_id:a", "email:b@1", position=1))
    (asked,) = merge.take(LookUp)
    merge.execute(
        merge.machine.looked_up(
            asked.round, asked.shard, [LookedUp(2, None)], merge.store.next_number
        )
    )
    merge.finish()

    members = [each[0] for each in merge.profile("user_id:a").members]
    assert member_of(key("email:b@1"), 2) in members
    assert not merge.is_linked("email:b@1")


def test_limits_are_those_that_stand_at_the_decision(merge: OneMerge) -> None:
    """A link stored under other rules is judged by the newest the machine knows."""
    merge.adopt(LIMITED, version=2)
    (decided,) = merge.decide(link("user_id:a", "user_id:b@1", position=1, version=1))

    assert [(1, "LIMIT_EXCEEDED")] == drops(decided)
    assert 2 == merge.decisions()[0].rules_version
    assert not merge.is_linked("user_id:b@1")


def test_a_windowed_limit_counts_around_the_events_time(merge: OneMerge) -> None:
    """A late event is judged by its own surroundings: both sides of its time, no further."""
    merge.adopt(WINDOWED, version=2)
    times = {"email:b@1": T0, "email:c@1": T0 + DAY_US - 1, "email:d@1": T0 + DAY_US}
    found = {
        name: merge.decide(link("user_id:a", name, position=1 + number, time_us=time_us))[0]
        for number, (name, time_us) in enumerate(times.items())
    }

    assert [] == drops(found["email:b@1"])
    assert [(1, "WINDOW_LIMIT_EXCEEDED")] == drops(found["email:c@1"])
    assert [] == drops(found["email:d@1"])


def test_unknown_rules_are_asked_for(merge: OneMerge) -> None:
    """A link under rules newer than the machine's waits until control has told them."""
    merge.link(link("user_id:a", "user_id:b", position=1, version=3))
    merge.answer_look_ups()
    assert [AskRules(SPACE, 3)] == merge.take(AskRules)
    assert [] == merge.decisions()
    merge.adopt(UNLIMITED, version=2)
    assert [] == merge.decisions()
    assert [AskRules(SPACE, 3)] == merge.machine.unanswered()
    merge.adopt(LIMITED, version=3)

    assert 1 == len(merge.decisions())
    assert 3 == merge.decisions()[0].rules_version


def test_older_rules_are_not_adopted(merge: OneMerge) -> None:
    """A late answer does not take limits back."""
    merge.adopt(LIMITED, version=5)
    merge.adopt(UNLIMITED, version=4)

    assert 5 == merge.machine.rules[SPACE].version


def test_rules_survive_a_restart(merge: OneMerge) -> None:
    """They are in the journal: a restarted machine asks nobody again."""
    merge.adopt(LIMITED, version=5)

    assert merge.machine.rules == merge.restarted().machine.rules


def test_an_anchor_alone_is_decided_too(merge: OneMerge) -> None:
    """A link whose other identifiers were all dropped keeps its anchor and is answered."""
    merge.adopt({"identifiers": [{"type": "user_id", "limit": 1}]}, version=2)
    merge.decide(link("user_id:a", "email:x@1", position=1, version=2))
    (decided,) = merge.decide(link("user_id:b", "user_id:a", position=2, version=2))

    assert ["CREATED"] == outcomes([decided])
    assert member("user_id:b") == decided.root
    assert [(1, "LIMIT_EXCEEDED")] == drops(decided)


def test_an_empty_batch_of_links_is_nothing(merge: OneMerge) -> None:
    """Nothing is asked, decided or answered for it, and the machine is idle."""
    merge.link(request=1)

    assert [] == merge.take(LookUp) + merge.take(Answer) + merge.take(SendPush)
    assert merge.machine.is_idle
    assert 3 == SHARD_MAP.shard_count
