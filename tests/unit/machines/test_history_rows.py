"""Rows that point into the merge actor's journal."""

from __future__ import annotations

import pytest

from unify_grpc.machines.history_rows import (
    DROPS,
    PLACES_MAX,
    Place,
    add_decision,
    head_key,
    part_key,
    repeats_key,
    unpack_head,
    unpack_places,
)
from unify_grpc.machines.tables import Working
from unify_grpc.storage.memory import MemoryStore

ROOT = b"r" * 20
OTHER = b"o" * 20


def add(
    working: Working,
    record: int,
    *,
    is_change: bool = True,
    is_joining: bool = True,
    dropped_from: tuple[bytes, ...] = (),
) -> None:
    """Notes the only decision of a record."""
    add_decision(
        working,
        ROOT,
        Place(record, 0),
        is_change=is_change,
        is_joining=is_joining,
        dropped_from=dropped_from,
    )


def test_a_history_keeps_every_change_in_order() -> None:
    """Full rows and the row that grows hold, together, all changes in the order of decisions."""
    working = Working(MemoryStore())
    for record in range(1, 3 * PLACES_MAX + 2):
        add(working, record)
    head = unpack_head(working.changes[head_key(ROOT)] or b"")
    parts = [working.changes[part_key(ROOT, number)] or b"" for number in range(head.parts_count)]
    places = [place for part in parts for place in unpack_places(part)] + head.places

    assert [Place(record, 0) for record in range(1, 3 * PLACES_MAX + 2)] == places
    assert 3 == head.parts_count


def test_a_full_row_is_never_written_again() -> None:
    """However long a history is, a change writes the row that grows and at most one more."""
    store = MemoryStore()
    for record in range(1, 4 * PLACES_MAX):
        working = Working(store)
        add(working, record)
        store.append(b"")
        store.publish(working.changes, record)

        assert len(working.changes) <= 2
        assert all(len(value or b"") <= 5 + 12 * PLACES_MAX for value in working.changes.values())


def test_of_repeats_the_newest_are_kept() -> None:
    """Decisions that change nothing are noted only if they join, and the oldest are forgotten."""
    working = Working(MemoryStore())
    add(working, 1, is_change=False, is_joining=False)

    assert {} == working.changes
    for record in range(2, 2 * PLACES_MAX):
        add(working, record, is_change=False)
    places = unpack_places(working.changes[repeats_key(ROOT)] or b"")
    assert [Place(record, 0) for record in range(PLACES_MAX, 2 * PLACES_MAX)] == places
    assert head_key(ROOT) not in working.changes


def test_of_drops_the_newest_are_kept_for_each_member() -> None:
    """A drop is noted once under each member that it concerns, and the oldest are forgotten."""
    working = Working(MemoryStore())
    for record in range(PLACES_MAX + 1):
        add(working, record, dropped_from=(ROOT, OTHER, ROOT))
    expected = [Place(record, 0) for record in range(1, PLACES_MAX + 1)]

    for member in (ROOT, OTHER):
        assert expected == unpack_places(working.changes[DROPS + member] or b"")


def test_a_row_of_another_format_is_refused() -> None:
    """A row that a later version wrote is not read as something else."""
    with pytest.raises(ValueError, match="format 9"):
        unpack_places(b"\x09")
    with pytest.raises(ValueError, match="format 9"):
        unpack_head(b"\x09\0\0\0\0")
