"""The course of a verification: in slices of any size, asked again, bounded in what it tells."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.engine.auditing import MemoryAudit, MemoryView, verify
from tests.unit.verification.stored import MERGE, SHARDS, Stores, sound_stores
from unify_grpc.machines import journal, rows
from unify_grpc.machines.history_rows import PLACES_MAX, Place, add_decision, part_key
from unify_grpc.machines.merge_machine import ROUND_RECORD
from unify_grpc.machines.tables import Working
from unify_grpc.storage.memory import MemoryStore
from unify_grpc.verification import verification
from unify_grpc.verification.auditors import ControlAuditor, MergeAuditor, ShardAuditor
from unify_grpc.verification.claims import CONTROL, NamedClaim
from unify_grpc.verification.messages import (
    Again,
    Judge,
    Judged,
    Walk,
    Walked,
    decode_reply,
    encode,
)
from unify_grpc.verification.verification import Ask, Pause, Verification, parts_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from unify_grpc.verification.auditors import Auditor
    from unify_grpc.verification.verification import Report


def damaged() -> Stores:
    """Returns stores with some damage of different kinds."""
    stores = sound_stores()
    place = stores.place("user_id", "u1")
    stores.change(place, event_count=9)
    stores.change(stores.place("user_id", "u2"), joined_us=1)
    del stores.merge.log[3]
    del stores.shards[place.shard].rows[stores.first(stores.shards[place.shard], rows.OUTCOME)]
    return stores


def drive(
    stores: Stores, course: Verification, paused: Callable[[int], None] = lambda _: None
) -> tuple[Report, list[Ask | Pause]]:
    """Runs a verification; returns what it came to, and all that was asked."""
    auditors: dict[int, Auditor] = {
        CONTROL: ControlAuditor(),
        MERGE: MergeAuditor(SHARDS),
        **{each: ShardAuditor(each, SHARDS) for each in range(SHARDS.shard_count)},
    }
    kept = {CONTROL: stores.control, MERGE: stores.merge, **dict(enumerate(stores.shards))}
    asked: list[Ask | Pause] = []
    running = course.run()
    try:
        each = next(running)
        while True:
            asked.append(each)
            if isinstance(each, Pause):
                paused(each.round)
                each = running.send(None)
            else:
                store = MemoryAudit(kept[each.part])
                answer = auditors[each.part].answer(store, encode(each.request))
                each = running.send(decode_reply(each.request, answer))
    except StopIteration as stop:
        return stop.value, asked


@pytest.mark.parametrize("work_max", [1, 2, 7, 50, 400])
def test_slices_of_any_size_find_the_same(work_max: int) -> None:
    """However little is done at a time, nothing is left out and nothing found twice."""
    stores = damaged()
    whole = stores.verify()
    sliced = verify(SHARDS, stores.shards, stores.merge, stores.control, work_max=work_max)

    assert len(whole.findings) > 3
    assert sorted(whole.findings) == sorted(sliced.findings)
    assert whole.records_count == sliced.records_count


def test_what_parts_disagree_about_is_asked_again() -> None:
    """A push that arrives in the meantime ends the disagreement, and nothing is found."""
    stores = sound_stores()
    place = stores.place("user_id", "u1")
    late = stores.row(place).root
    key = rows.PROFILE + (late or b"")
    home = stores.shards[SHARDS.shard_of(late or b"")]
    row = home.rows[key]
    stores.replace(home, key, rows.decode_profile, seq=1)

    def arrive(round_: int) -> None:
        if round_ == 2:
            home.rows[key] = row

    course = Verification(parts_of(SHARDS.shard_count), work_max=100, rounds=4)
    report, asked = drive(stores, course, arrive)

    assert [] == report.findings
    assert [1, 2] == [each.round for each in asked if isinstance(each, Pause)]


def test_what_parts_go_on_to_disagree_about_is_found() -> None:
    """After the last round a disagreement counts, once."""
    stores = sound_stores()
    stores.change(stores.place("user_id", "u1"), joined_us=1)
    course = Verification(parts_of(SHARDS.shard_count), work_max=100, rounds=3)
    report, asked = drive(stores, course)

    assert 3 == sum(isinstance(each, Pause) for each in asked)
    assert stores.verify().findings_count == report.findings_count == len(report.findings) > 0


def test_findings_are_told_up_to_a_bound_and_counted_beyond(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Who has many faults is told the first of them, and how many there are."""
    stores = damaged()
    count = stores.verify().findings_count
    monkeypatch.setattr(verification, "FINDINGS_MAX", 2)
    monkeypatch.setattr(verification, "DOUBTS_MAX", 1)
    report = stores.verify()

    assert (2, count) == (len(report.findings), report.findings_count)


def test_a_part_that_is_behind_is_checked_by_itself() -> None:
    """Of a part that is not up to date nobody else is asked, nor is it asked about others."""
    stores = sound_stores()
    place = stores.place("user_id", "u1")
    stores.change(place, joined_us=1)
    other = stores.place("user_id", "u2")
    stores.change(other, event_count=9)
    course = Verification(
        parts_of(SHARDS.shard_count), alone=range(SHARDS.shard_count), work_max=100, rounds=0
    )
    report, _ = drive(stores, course)

    assert {(other.shard, "event_lists")} == {
        (each.part, each.invariant) for each in report.findings
    }


def test_parts_stop_when_they_have_done_enough() -> None:
    """Neither judging nor saying something again goes on for longer than a slice may."""
    view, auditor = MemoryView(sound_stores().merge), MergeAuditor(SHARDS)
    judged = auditor.reply(view, Judge([NamedClaim(bytes(16), 1)] * 9, 4))
    again = auditor.reply(view, Again("rows p", [journal.PROFILE] * 9, 1, 4))

    assert isinstance(judged, Judged)
    assert isinstance(again, Walked)
    assert (4, 4) == (judged.done, again.done)
    assert [0, 1, 2, 3] == [each.index for each in judged.doubts]


@pytest.mark.parametrize("work_max", [1, 3])
def test_what_a_part_did_not_get_to_is_asked_for(work_max: int) -> None:
    """What is judged and said again a little at a time comes to the same."""
    stores = damaged()
    course = Verification(parts_of(SHARDS.shard_count), work_max=work_max, rounds=2)

    assert sorted(stores.verify().findings) == sorted(drive(stores, course)[0].findings)


def test_a_history_that_fills_up_between_two_slices_is_counted_once() -> None:
    """What moves to a row behind the one at hand was met already."""
    store = MemoryStore()
    for number in range(1, PLACES_MAX + 1):
        _decide(store, number)
    walks, cursor, counted = ["rows h"], b"", 0
    while walks:
        asked = Walk(walks, cursor, PLACES_MAX, 1)
        walked = MergeAuditor(SHARDS).reply(MemoryView(store), asked)
        assert isinstance(walked, Walked)
        counted += walked.tallies.get("places", 0)
        walks, cursor = walked.walks, walked.cursor
        _decide(store, store.next_number)

    assert PLACES_MAX == counted
    assert store.get(part_key(bytes(20), 0)) is not None


def _decide(store: MemoryStore, number: int) -> None:
    """Has the history of a profile grow by a decision."""
    store.append(ROUND_RECORD)
    working, place = Working(store), Place(number, 0)
    add_decision(working, bytes(20), place, is_change=True, is_joining=False, dropped_from=())
    store.publish(working.changes, number)
