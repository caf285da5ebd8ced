"""What the merge actor's reader says of two identifiers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.unit.machines.frames import (
    DAY_US,
    RECEIVED_US,
    SPACE,
    T0,
    founding,
    key,
    link,
    member,
)
from tests.unit.machines.one_merge import OneMerge
from unify_grpc.identity.outcomes import DropReason, Outcome
from unify_grpc.machines import journal
from unify_grpc.machines.history_rows import PLACES_MAX
from unify_grpc.machines.merge_reader import DROPS_MAX, MergeReader
from unify_grpc.machines.merge_reads import ExplainLinks, decode_answer, decode_question, encode

if TYPE_CHECKING:
    from unify_grpc.machines.merge_reads import LinksExplained

LIMITED = {"identifiers": [{"type": "user_id", "limit": 1}, {"type": "email", "limit": 2}]}


def explain(merge: OneMerge, first: str, second: str) -> LinksExplained:
    """Explains two identifiers; question and answer cross a wire."""
    question = decode_question(encode(ExplainLinks(SPACE, key(first), key(second))))
    return decode_answer(encode(MergeReader(merge.store).explain(question)))


def path(merge: OneMerge, first: str, second: str) -> list[tuple[str, str, str]]:
    """Returns a path as (from, to, message id)."""
    return [
        (":".join(step.from_identifier), ":".join(step.to_identifier), step.link.message_id)
        for step in explain(merge, first, second).path
    ]


def test_a_path_names_the_event_of_every_step(merge: OneMerge) -> None:
    """Over three events, there and back."""
    merge.decide(link("user_id:a", "email:b@1", position=1, message_id="m1"))
    merge.decide(link("anonymous_id:d@2", "phone:c@1", position=2, message_id="m2"))
    merge.decide(link("phone:c@1", "email:b@1", position=3, message_id="m3"))

    assert [
        ("user_id:a", "email:b@1", "m1"),
        ("email:b@1", "phone:c@1", "m3"),
        ("phone:c@1", "anonymous_id:d@2", "m2"),
    ] == path(merge, "user_id:a", "anonymous_id:d@2")
    assert ["m2", "m3", "m1"] == [each[2] for each in path(merge, "anonymous_id:d@2", "user_id:a")]
    assert [] == path(merge, "user_id:a", "user_id:a")


def test_a_step_says_how_its_link_was_decided(merge: OneMerge) -> None:
    """Shard, position, time, source, rules version and outcome are those of the decision."""
    merge.decide(link("user_id:a", "email:b@1", position=7, shard=1, time_us=T0 + 5))
    (step,) = explain(merge, "user_id:a", "email:b@1").path

    assert (1, 7, T0 + 5, 1, int(Outcome.CREATED)) == (
        step.link.shard,
        step.link.position,
        step.link.time_us,
        step.link.rules_version,
        step.link.outcome,
    )


def test_an_event_that_changed_nothing_shortens_a_path(merge: OneMerge) -> None:
    """A later event that carried both ends is the whole path."""
    merge.decide(link("user_id:a", "email:b@1", position=1, message_id="m1"))
    merge.decide(link("user_id:a", "phone:c@1", position=2, message_id="m2"))
    merge.decide(link("email:b@1", "phone:c@1", position=3, message_id="m3"))

    assert [("email:b@1", "phone:c@1", "m3")] == path(merge, "email:b@1", "phone:c@1")


def test_a_path_is_found_in_a_long_history(merge: OneMerge) -> None:
    """Histories of many rows, absorbed one after another, are read whole."""
    count = 2 * PLACES_MAX + 3
    for number in range(count):
        merge.decide(
            link("user_id:a", f"phone:{number}@1", position=2 * number, message_id=f"a{number}"),
            link("user_id:b", f"tel:{number}@2", position=2 * number + 1, message_id=f"b{number}"),
        )
    merge.decide(link("user_id:a", "user_id:b", position=999, message_id="merge"))

    assert ["a0", "merge", "b0"] == [each[2] for each in path(merge, "phone:0@1", "tel:0@2")]
    last = count - 1
    assert [f"a{last}", "merge", f"b{last}"] == [
        each[2] for each in path(merge, f"phone:{last}@1", f"tel:{last}@2")
    ]


def test_a_drop_is_told_from_both_sides(merge: OneMerge) -> None:
    """What was left out of an event explains why the two are apart, whichever is asked first."""
    merge.adopt(LIMITED, version=2)
    merge.decide(link("user_id:a", "email:b@1", position=1, version=2))
    merge.decide(link("user_id:c", "phone:d@2", position=2, version=2))
    merge.decide(link("user_id:c", "email:b@1", position=3, version=2, message_id="dropped"))
    found = explain(merge, "user_id:a", "phone:d@2")
    (drop,) = found.drops

    assert ("email", "b@1", int(DropReason.LIMIT_EXCEEDED), "dropped") == (
        drop.type,
        drop.value,
        drop.reason,
        drop.link.message_id,
    )
    assert found.drops == explain(merge, "phone:d@2", "user_id:a").drops
    assert found.first_root == member("user_id:a")
    assert found.second_root == member("user_id:c")
    assert [] == found.path


def test_the_newest_drops_are_told(merge: OneMerge) -> None:
    """At most so many, the newest first; others' drops of the same identifier hide none."""
    merge.adopt(LIMITED, version=2)
    merge.decide(link("user_id:a", "email:b@1", position=1, version=2))
    for number in range(DROPS_MAX + 5):
        merge.decide(
            link("user_id:c", "email:b@1", position=2 + number, version=2, message_id=f"m{number}")
        )
    for number in range(PLACES_MAX):
        merge.decide(link(f"user_id:x{number}", "email:b@1", position=100 + number, version=2))
    drops = explain(merge, "user_id:a", "user_id:c").drops

    assert [f"m{number}" for number in range(DROPS_MAX + 4, 4, -1)] == [
        each.link.message_id for each in drops
    ]


def test_two_that_never_met_have_no_drops(merge: OneMerge) -> None:
    """Drops of events that carried only one of the two explain nothing."""
    merge.adopt(LIMITED, version=2)
    merge.decide(link("user_id:a", "email:b@1", position=1, version=2))
    merge.decide(link("user_id:c", "email:b@1", position=2, version=2))
    merge.decide(link("user_id:e", "phone:f@2", position=3, version=2))

    assert [] == explain(merge, "user_id:a", "user_id:e").drops


def test_what_no_link_kept_has_no_profile_here(merge: OneMerge) -> None:
    """Nobody knows it, or a single event founded its profile: the merge actor cannot tell."""
    merge.decide(link("user_id:a", "email:b@1", position=1))
    found = explain(merge, "user_id:a", "phone:z@2")

    assert (member("user_id:a"), None) == (found.first_root, found.second_root)
    assert member("phone:z@2") == found.second_member
    assert [member("email:b@1")] == [
        each for change in found.changes for each in change.joined if each != found.first_member
    ]


def test_changes_say_what_each_decision_did(merge: OneMerge) -> None:
    """Founding, adopting what a single event founded, absorbing, each once and in order."""
    merge.decide(
        link("user_id:a", "email:b@1", position=1),
        foundings={"email:b@1": founding(RECEIVED_US - DAY_US, message_id="alone")},
    )
    merge.decide(link("user_id:c", "phone:d@2", position=2))
    merge.decide(link("phone:d@2", "email:b@1", position=3))
    changes = explain(merge, "user_id:a", "user_id:c").changes

    assert [False, True, False] == [each.is_founding for each in changes]
    assert [["alone"], [], []] == [
        [each.message_id for _, each in change.adopted] for change in changes
    ]
    assert [[], [], [member("user_id:c")]] == [each.absorbed for each in changes]
    assert [
        [member("user_id:a")],
        [member("user_id:c"), member("phone:d@2")],
        [],
    ] == [each.joined for each in changes]


def test_rows_after_a_restart_are_those_before(merge: OneMerge) -> None:
    """The journal gives the same rows again, and so the same explanations."""
    merge.adopt(LIMITED, version=2)
    for number in range(PLACES_MAX + 2):
        merge.link(
            link("user_id:a", f"phone:{number % 70}@1", position=2 * number, version=2),
            link(f"user_id:{number}", f"phone:{number % 70}@1", position=2 * number + 1, version=2),
        )
        merge.finish()
    restarted = merge.restarted()

    assert merge.store.rows == restarted.store.rows
    assert explain(merge, "user_id:a", "user_id:3") == explain(restarted, "user_id:a", "user_id:3")


def test_a_name_is_read_in_its_present_life(merge: OneMerge) -> None:
    """An identifier that was deleted from a profile is another member from then on."""
    merge.decide(link("user_id:a", "email:b@1", position=1))
    row: dict[bytes, bytes | None] = {journal.NAME + key("email:b@1"): (1).to_bytes(4, "big")}
    merge.store.publish(row, merge.store.next_number - 1)

    assert member("email:b@1", 1) == explain(merge, "user_id:a", "email:b@1").second_member


def test_another_space_is_told_nothing(merge: OneMerge) -> None:
    """Asking about a member of another space is a mistake of whoever asks."""
    merge.decide(link("user_id:a", "email:b@1", position=1))

    with pytest.raises(AssertionError, match="another space"):
        MergeReader(merge.store).explain(ExplainLinks(SPACE + 1, key("user_id:a"), key("email:x")))
