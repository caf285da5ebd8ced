"""What a restored backup may hold: all from before it was asked for, nothing from after it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.chaos.backups import Made, check_cut
from tests.chaos.findings import Findings
from tests.chaos.test_audit import EVENTS, held_by_reference, ledger_of, written

if TYPE_CHECKING:
    from collections.abc import Sequence

BEFORE = EVENTS // 3
AFTER = 2 * EVENTS // 3


def kinds(held_count: int, deleted: Sequence[str] = ()) -> set[str]:
    """Which promises are broken by a backup that holds the first so many events."""
    messages, findings = written(), Findings()
    before, after = (ledger_of(messages[:count]).entries() for count in (BEFORE, AFTER))
    made = Made(Path("backup"), before, after, list(deleted))
    check_cut(made, held_by_reference(messages[:held_count]), findings)
    return {text.partition(":")[0] for text in findings.texts}


@pytest.mark.parametrize("held_count", [BEFORE, (BEFORE + AFTER) // 2, AFTER])
def test_a_cut_may_fall_anywhere_in_its_call(held_count: int) -> None:
    """Of what was sent while a backup was made it may hold any part."""
    assert set() == kinds(held_count)


def test_what_was_acknowledged_before_is_there() -> None:
    """A backup without an event that was acknowledged before it was asked for has lost it."""
    assert "an acknowledged event is lost" in kinds(BEFORE - 1)


def test_what_came_after_is_not_there() -> None:
    """A backup with an event that was sent after its answer shows no instant."""
    assert "an event was never sent" in kinds(AFTER + 1)


def test_what_was_deleted_before_is_gone() -> None:
    """A backup with an identifier that was deleted before it was asked for undoes the deletion."""
    held = held_by_reference(written()[:BEFORE])["users"][0].identifiers

    assert "what was deleted is back" in kinds(BEFORE, [min(held)])
