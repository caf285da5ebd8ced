"""One store's side of a backup: holds that end by themselves, and what comes late or twice."""

from __future__ import annotations

import pytest

from unify_grpc.machines.backup_part import ENDED_MAX, BackupPart, Effect
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
    AnyBackupCommand,
    Copy,
    End,
    Hold,
    Keep,
    Look,
    Release,
    Reserve,
)

LIFE = 7
HOLD_S = 3.0
LEASE_S = 10.0
TO = "/backup/b1"


def new_part() -> BackupPart:
    """A part that nobody has asked for anything."""
    return BackupPart(LIFE, hold_s=HOLD_S, lease_s=LEASE_S)


def taken_up_to(state: str) -> BackupPart:
    """A part that a backup `b1` has brought to a state, all at the time 0."""
    part = new_part()
    steps: list[tuple[str, AnyBackupCommand]] = [
        (RESERVED, Reserve("b1")),
        (HELD, Hold("b1")),
        (RELEASED, Release("b1", LIFE)),
        (COPYING, Copy("b1", LIFE, TO)),
    ]
    for reached, command in steps:
        assert reached == part.take(command, 0.0)[0]
        if reached == state:
            return part
    part.copied("b1")
    assert state == COPIED
    return part


def test_a_backup_goes_through_all_states() -> None:
    """Held, let go, copied, looked at and taken over, each with what is to be done for it."""
    part = new_part()

    assert (RESERVED, None) == part.take(Reserve("b1"), 0.0)
    assert (HELD, Effect.CUT) == part.take(Hold("b1"), 1.0)
    assert (RELEASED, Effect.LET_GO) == part.take(Release("b1", LIFE), 2.0)
    assert (COPYING, Effect.COPY) == part.take(Copy("b1", LIFE, TO), 3.0)
    assert TO == part.directory
    assert (COPYING, None) == part.take(Look("b1", LIFE), 4.0)
    part.copied("b1")
    assert (COPIED, None) == part.take(Look("b1", LIFE), 5.0)
    assert (KEPT, Effect.LEAVE) == part.take(Keep("b1", LIFE), 6.0)
    assert part.deadline_s is None


def test_a_part_need_not_be_reserved_to_be_held() -> None:
    """Only control's part is; the others hold still when they are asked to."""
    assert (HELD, Effect.CUT) == new_part().take(Hold("b1"), 0.0)


@pytest.mark.parametrize(
    ("state", "again"),
    [
        (RESERVED, Reserve("b1")),
        (HELD, Hold("b1")),
        (RELEASED, Release("b1", LIFE)),
        (COPYING, Copy("b1", LIFE, "/elsewhere")),
        (COPIED, Look("b1", LIFE)),
    ],
)
def test_a_repetition_does_nothing(state: str, again: AnyBackupCommand) -> None:
    """What is asked twice is answered alike, and nothing is done again."""
    part = taken_up_to(state)

    assert (state, None) == part.take(again, 1.0)
    assert part.directory in {"", TO}


def test_a_hold_is_not_prolonged_by_being_asked_for_again() -> None:
    """The writer is held for so long at most, however often the command arrives."""
    part = taken_up_to(HELD)
    part.take(Hold("b1"), HOLD_S - 0.1)
    part.take(Reserve("b1"), HOLD_S - 0.1)

    assert part.expire(HOLD_S - 0.01) is None
    assert part.expire(HOLD_S) is Effect.DROP


def test_a_hold_that_ended_by_itself_is_never_confirmed() -> None:
    """A coordinator that comes too late learns that the writer has gone on."""
    part = taken_up_to(HELD)
    part.expire(HOLD_S)

    assert (OVER, None) == part.take(Release("b1", LIFE), HOLD_S)
    assert (OVER, None) == part.take(Hold("b1"), HOLD_S + 1)
    assert part.deadline_s is None


@pytest.mark.parametrize("command", [Release("b1", 6), Copy("b1", 6, TO), Look("b1", 6)])
def test_a_hold_of_an_earlier_life_is_not_this_one(command: AnyBackupCommand) -> None:
    """A part that started anew between its hold and the release had gone on in between."""
    part = taken_up_to(HELD)

    assert (OVER, None) == part.take(command, 1.0)
    assert HELD == part.state


@pytest.mark.parametrize("command", [Release("b1", LIFE), Copy("b1", LIFE, TO), Keep("b1", LIFE)])
def test_what_was_never_held_is_over(command: AnyBackupCommand) -> None:
    """A part that knows nothing of a backup cannot go on with it."""
    assert (OVER, None) == new_part().take(command, 0.0)


@pytest.mark.parametrize("state", [RESERVED, HELD, RELEASED, COPYING, COPIED])
def test_another_backup_has_to_wait(state: str) -> None:
    """As long as one is under way, every command of another is answered that it is."""
    part = taken_up_to(state)

    for command in (Reserve("b2"), Hold("b2"), Release("b2", LIFE), Look("b2", LIFE)):
        assert (BUSY, None) == part.take(command, 1.0)
    assert ("b1", state) == (part.backup, part.state)


@pytest.mark.parametrize("state", [RESERVED, RELEASED, COPYING, COPIED])
def test_what_nobody_asks_for_ends_by_itself(state: str) -> None:
    """Without its coordinator a part drops everything, and takes part in the next backup."""
    part = taken_up_to(state)

    assert part.expire(LEASE_S - 0.1) is None
    assert part.expire(LEASE_S) is Effect.DROP
    assert (RESERVED, None) == part.take(Reserve("b2"), LEASE_S)


def test_looking_prolongs_a_lease() -> None:
    """A copy may take as long as it takes while somebody asks for it."""
    part = taken_up_to(COPYING)
    part.take(Look("b1", LIFE), LEASE_S - 1)

    assert part.expire(LEASE_S) is None
    assert part.expire(2 * LEASE_S - 1) is Effect.DROP


@pytest.mark.parametrize("state", [FULL, FAILED])
def test_a_copy_that_failed_says_so(state: str) -> None:
    """Whoever looks is told, until the backup is ended."""
    part = taken_up_to(COPYING)
    part.copy_failed("b1", is_full=state == FULL)

    assert (state, None) == part.take(Look("b1", LIFE), 1.0)
    assert (OVER, Effect.DROP) == part.take(End("b1"), 2.0)


@pytest.mark.parametrize("state", [RESERVED, HELD, RELEASED, COPYING, COPIED])
def test_an_end_drops_everything(state: str) -> None:
    """After an end nothing is held, kept or left, and what comes late of it does nothing."""
    part = taken_up_to(state)

    assert (OVER, Effect.DROP) == part.take(End("b1"), 1.0)
    assert (OVER, None) == part.take(End("b1"), 1.0)
    assert (OVER, None) == part.take(Hold("b1"), 1.0)
    assert ("", None) == (part.backup, part.deadline_s)


def test_an_end_that_overtakes_the_hold_keeps_the_writer_going() -> None:
    """A hold that arrives after the end of its backup would hold the writer for nothing."""
    part = new_part()

    assert (OVER, None) == part.take(End("b1"), 0.0)
    assert (OVER, None) == part.take(Hold("b1"), 0.1)


def test_an_end_of_another_backup_leaves_this_one_alone() -> None:
    """A coordinator that was refused ends its own backup everywhere, and nobody else's."""
    part = taken_up_to(HELD)

    assert (OVER, None) == part.take(End("b2"), 1.0)
    assert (RELEASED, Effect.LET_GO) == part.take(Release("b1", LIFE), 1.0)


def test_a_copy_that_is_taken_over_stays() -> None:
    """An end that comes late, after the backup was finished, removes nothing of it."""
    part = taken_up_to(COPIED)
    part.take(Keep("b1", LIFE), 1.0)

    assert (KEPT, None) == part.take(Keep("b1", LIFE), 2.0)
    assert (KEPT, None) == part.take(End("b1"), 2.0)
    assert part.expire(1000.0) is None


def test_a_copy_is_not_taken_over_before_it_is_durable() -> None:
    """A part that still copies keeps its copy."""
    part = taken_up_to(COPYING)

    assert (COPYING, None) == part.take(Keep("b1", LIFE), 1.0)


def test_the_end_of_a_copy_that_is_not_wanted_any_more_changes_nothing() -> None:
    """A copy's thread may report after the next backup has begun."""
    part = taken_up_to(COPYING)
    part.take(End("b1"), 1.0)
    part.take(Hold("b2"), 1.0)
    part.copied("b1")
    part.copy_failed("b1", is_full=True)

    assert HELD == part.state


def test_a_writer_that_could_not_be_held_is_free_for_the_next() -> None:
    """A cut that fails ends the backup here."""
    part = taken_up_to(HELD)
    part.cut_failed()

    assert (OVER, None) == part.take(Hold("b1"), 1.0)
    assert (HELD, Effect.CUT) == part.take(Hold("b2"), 1.0)


def test_only_so_many_ended_backups_are_remembered() -> None:
    """The memory of them is bounded, the oldest goes first."""
    part = new_part()
    for number in range(ENDED_MAX + 1):
        part.take(End(f"b{number}"), 0.0)

    assert (OVER, None) == part.take(Hold("b1"), 0.0)
    assert (HELD, Effect.CUT) == part.take(Hold("b0"), 0.0)
