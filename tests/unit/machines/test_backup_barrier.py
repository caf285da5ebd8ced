"""A backup's coordinator: one instant of all parts, or nothing, whatever is lost or late."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from unify_grpc.machines.backup_barrier import Ask, BackupBarrier, Cause, Phase
from unify_grpc.machines.backup_records import (
    BUSY,
    COPIED,
    COPYING,
    FAILED,
    FULL,
    HELD,
    KEPT,
    OVER,
    RELEASED,
    RESERVED,
    CopiedFile,
    Copy,
    End,
    Hold,
    Keep,
    Look,
    PartReply,
    Release,
    Reserve,
    StoreFacts,
)

if TYPE_CHECKING:
    from collections.abc import Callable

PARTS = ("control", "merge-0", "shard-0")
FACTS = StoreFacts("d1", 1, 2, 0)
ROOM = 1000


def life_of(part: str) -> int:
    """The number of a part's present life, another one for each."""
    return 10 + PARTS.index(part)


def good_reply(ask: Ask) -> PartReply:
    """What a part answers where nothing goes wrong; the first look already finds the copy."""
    life = life_of(ask.part)
    match ask.command:
        case Reserve():
            return PartReply(RESERVED, life)
        case Hold():
            return PartReply(HELD, life, 100, FACTS)
        case Release():
            return PartReply(RELEASED, life, 100, FACTS)
        case Copy():
            return PartReply(COPYING, life, 0, FACTS)
        case Look():
            file = CopiedFile(f"{ask.part}/log/data.mdb", 90, "00")
            return PartReply(COPIED, life, 90, FACTS, (file,))
        case Keep():
            return PartReply(KEPT)
        case End():
            return PartReply(OVER)


def new_barrier() -> BackupBarrier:
    """A coordinator that has asked for nothing."""
    return BackupBarrier("b1", PARTS, "/backup/b1")


def run(barrier: BackupBarrier, reply: Callable[[Ask], PartReply | None] = good_reply) -> list[Ask]:
    """Runs a backup to its end, with None for no answer; returns all that was asked."""
    asked: list[Ask] = []
    asks = barrier.begin()
    while asks:
        asked += asks
        following: list[Ask] = []
        for ask in asks:
            answer = reply(ask)
            if answer is None:
                following += barrier.unanswered(ask)
            else:
                following += barrier.answered(ask, answer)
        if barrier.phase is Phase.RESERVED:
            following += barrier.hold(ROOM)
        asks = following
    return asked


def test_a_backup_is_made_phase_by_phase() -> None:
    """Nobody is let go before all hold still, and nobody copies before all have confirmed it."""
    barrier = new_barrier()
    asked = run(barrier)

    kinds = [type(ask.command).__name__ for ask in asked]
    phases = ["Reserve", *(["Hold"] * 3), *(["Release"] * 3), *(["Copy"] * 3)]
    assert [*phases, *(["Look"] * 3), *(["Keep"] * 3)] == kinds
    assert Ask("control", Reserve("b1")) == asked[0]
    assert Ask("shard-0", Release("b1", life_of("shard-0"))) in asked
    assert Ask("merge-0", Copy("b1", life_of("merge-0"), "/backup/b1")) in asked
    assert (Phase.DONE, True, None) == (barrier.phase, barrier.is_over, barrier.failure)
    assert FACTS == barrier.facts
    assert [f"{part}/log/data.mdb" for part in PARTS] == [file.path for file in barrier.files]


@pytest.mark.parametrize("kind", [Reserve, Hold, Release, Copy, Look, Keep])
@pytest.mark.parametrize("part", PARTS)
def test_a_part_that_does_not_answer_ends_the_backup(kind: type, part: str) -> None:
    """Whatever a part does not answer, all are told that it is over."""
    silent = "control" if kind is Reserve else part
    barrier = new_barrier()
    asked = run(
        barrier,
        lambda ask: (
            None if isinstance(ask.command, kind) and ask.part == silent else good_reply(ask)
        ),
    )

    assert barrier.failure is not None
    assert (Cause.UNAVAILABLE, silent) == barrier.failure[:2]
    assert [Ask(each, End("b1")) for each in PARTS] == asked[-3:]
    assert Phase.GIVEN_UP is barrier.phase


@pytest.mark.parametrize("kind", [Hold, Release, Copy, Look, Keep])
def test_a_part_whose_hold_is_over_ends_the_backup(kind: type) -> None:
    """A hold that ended by itself, or with its process, makes no backup."""
    barrier = new_barrier()
    run(
        barrier,
        lambda ask: PartReply(OVER) if isinstance(ask.command, kind) else good_reply(ask),
    )

    assert barrier.failure is not None
    assert Cause.UNAVAILABLE is barrier.failure.cause


@pytest.mark.parametrize("kind", [Reserve, Hold])
def test_another_backup_under_way_is_the_reason(kind: type) -> None:
    """Whoever comes second is told so, wherever it shows."""
    barrier = new_barrier()
    run(
        barrier,
        lambda ask: PartReply(BUSY) if isinstance(ask.command, kind) else good_reply(ask),
    )

    assert barrier.failure is not None
    assert Cause.RUNNING is barrier.failure.cause


@pytest.mark.parametrize(
    ("reply", "cause"),
    [
        (PartReply(FULL, 12), Cause.FULL),
        (PartReply(FAILED, 12, failure="it cannot be written: why"), Cause.FAILED),
    ],
)
def test_a_copy_that_fails_ends_the_backup(reply: PartReply, cause: Cause) -> None:
    """The reason is the part's, and its words are passed on."""
    barrier = new_barrier()
    asked = run(
        barrier,
        lambda ask: (
            reply if isinstance(ask.command, Look) and ask.part == "shard-0" else good_reply(ask)
        ),
    )

    assert (cause, "shard-0", reply.failure) == barrier.failure
    assert not [ask for ask in asked if isinstance(ask.command, Keep)]


def test_a_copy_without_files_is_none() -> None:
    """Else a directory without a part's files would be called a backup."""
    barrier = new_barrier()
    run(
        barrier,
        lambda ask: PartReply(COPIED, 12) if isinstance(ask.command, Look) else good_reply(ask),
    )

    assert barrier.failure is not None
    assert Cause.FAILED is barrier.failure.cause


def test_what_does_not_fit_is_not_begun() -> None:
    """With less room than the stores take, nothing is copied and nobody stays held."""
    barrier = new_barrier()
    big = PartReply(HELD, 10, ROOM, FACTS)
    asked = run(barrier, lambda ask: big if isinstance(ask.command, Hold) else good_reply(ask))

    assert (Cause.FULL, "") == barrier.failure[:2] if barrier.failure else False
    assert not [ask for ask in asked if isinstance(ask.command, Release | Copy)]


def test_stores_of_two_deployments_are_no_backup() -> None:
    """All stores have to say the same of themselves."""
    other = PartReply(HELD, 12, 100, StoreFacts("d2", 1, 2, 0))
    barrier = new_barrier()
    run(
        barrier,
        lambda ask: (
            other if isinstance(ask.command, Hold) and ask.part == "shard-0" else good_reply(ask)
        ),
    )

    assert barrier.failure is not None
    assert Cause.FAILED is barrier.failure.cause


def test_answers_that_come_twice_change_nothing() -> None:
    """Every answer is repeated, after it and after all others; the same is asked as without."""
    expected = run(new_barrier())
    barrier = new_barrier()
    asked: list[Ask] = []
    asks = barrier.begin()
    while asks:
        asked += asks
        following: list[Ask] = []
        for ask in asks:
            following += barrier.answered(ask, good_reply(ask))
            assert [] == barrier.answered(ask, good_reply(ask))
        for late in asked:
            if late not in following:
                assert [] == barrier.answered(late, good_reply(late))
        if barrier.phase is Phase.RESERVED:
            following += barrier.hold(ROOM)
            assert [] == barrier.hold(ROOM)
        asks = following

    assert expected == asked
    assert Phase.DONE is barrier.phase


def test_a_second_life_that_holds_does_not_stand_in_for_the_first() -> None:
    """The release goes to the life that said it held; an answer of a later one is not taken."""
    barrier = new_barrier()
    barrier.answered(*_with_reply(barrier.begin()[0]))
    holds = barrier.hold(ROOM)
    for ask in holds[:-1]:
        barrier.answered(*_with_reply(ask))
    barrier.answered(holds[0], PartReply(HELD, 99, 100, FACTS))
    releases = barrier.answered(*_with_reply(holds[-1]))

    assert Ask("control", Release("b1", life_of("control"))) == releases[0]


def test_silence_that_is_noticed_late_is_no_failure() -> None:
    """A part that has answered may still be reported as silent by whoever waited twice."""
    barrier = new_barrier()
    (reserve,) = barrier.begin()
    barrier.answered(reserve, good_reply(reserve))

    assert [] == barrier.unanswered(reserve)
    assert barrier.failure is None


def test_what_is_not_answered_can_be_sent_again() -> None:
    """What is outstanding is known at any time."""
    barrier = new_barrier()
    (reserve,) = barrier.begin()
    assert [reserve] == barrier.asked
    barrier.answered(reserve, good_reply(reserve))
    holds = barrier.hold(ROOM)
    barrier.answered(holds[1], good_reply(holds[1]))

    assert [holds[0], holds[2]] == barrier.asked


@pytest.mark.parametrize("answered_count", range(4))
def test_a_backup_that_nobody_wants_any_more_ends_everywhere(answered_count: int) -> None:
    """Stopped in the middle of the holds, every part is told, and answers to them are late."""
    barrier = new_barrier()
    barrier.answered(*_with_reply(barrier.begin()[0]))
    holds = barrier.hold(ROOM)
    for ask in holds[:answered_count]:
        barrier.answered(*_with_reply(ask))
    ends = barrier.stop()

    assert [Ask(each, End("b1")) for each in PARTS] == ends
    assert [] == barrier.stop()
    for ask in holds[answered_count:]:
        assert [] == barrier.answered(*_with_reply(ask))
    assert [] == barrier.unanswered(ends[0])
    for ask in ends[1:]:
        assert [] == barrier.answered(*_with_reply(ask))
    assert Phase.GIVEN_UP is barrier.phase
    assert barrier.failure is not None
    assert Cause.STOPPED is barrier.failure.cause


def test_a_finished_backup_cannot_be_stopped() -> None:
    """Once all copies are taken over there is nothing to end."""
    barrier = new_barrier()
    run(barrier)

    assert [] == barrier.stop()
    assert Phase.DONE is barrier.phase


def _with_reply(ask: Ask) -> tuple[Ask, PartReply]:
    return ask, good_reply(ask)
