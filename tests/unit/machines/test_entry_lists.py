"""Lists of entries of one size: what is appended is read back, wherever its parts were cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unify_grpc.machines.activity import ActivityList, note_activity
from unify_grpc.machines.entry_lists import PART_ENTRIES, EntryList, append_entries
from unify_grpc.machines.tables import Working
from unify_grpc.storage.memory import MemoryStore

TABLE = b"l"


def publish(store: MemoryStore, working: Working) -> None:
    """Lets the changes of one command take effect."""
    store.publish(working.changes, store.append(b""))


@given(st.lists(st.integers(0, 3 * PART_ENTRIES), max_size=6), st.integers(1, 30))
def test_entries_are_read_back_in_order(counts: list[int], entry_bytes: int) -> None:
    """However many come at once, the list has all of them, and no other space has any."""
    store = MemoryStore()
    expected: list[bytes] = []
    for count in counts:
        added = [
            (len(expected) + each).to_bytes(30, "little")[:entry_bytes] for each in range(count)
        ]
        working = Working(store)
        append_entries(working, TABLE, 7, entry_bytes, b"".join(added))
        publish(store, working)
        expected.extend(added)
    listed = EntryList(store.get, TABLE, 7, entry_bytes)

    assert len(expected) == len(listed)
    assert expected == [listed[at] for at in range(len(listed))]
    assert 0 == len(EntryList(store.get, TABLE, 8, entry_bytes))
    with pytest.raises(IndexError):
        listed[len(expected)]


def test_a_list_stays_as_it_was_read() -> None:
    """What is appended later does not disturb somebody who reads."""
    store = MemoryStore()
    working = Working(store)
    append_entries(working, TABLE, 1, 1, bytes(range(200)))
    publish(store, working)
    listed = EntryList(store.get, TABLE, 1, 1)
    working = Working(store)
    append_entries(working, TABLE, 1, 1, bytes(200))
    publish(store, working)

    assert [bytes((at,)) for at in range(200)] == [listed[at] for at in range(len(listed))]


def test_another_format_is_refused() -> None:
    """A tail and a part of a format that is not known are not taken for entries."""
    store = MemoryStore()
    working = Working(store)
    append_entries(working, TABLE, 1, 1, bytes(PART_ENTRIES + 1))
    publish(store, working)
    for key in list(store.rows):
        kept = store.rows[key]
        store.rows[key] = b"\x09" + kept[1:]
        with pytest.raises(ValueError, match="format 9"):
            EntryList(store.get, TABLE, 1, 1)[0]
        store.rows[key] = kept


@given(st.lists(st.integers(1, 50), max_size=300), st.integers(0, 5000))
def test_a_place_is_found_by_its_record(steps: list[int], number: int) -> None:
    """The first record that is not before a number is found, also beyond the end."""
    store = MemoryStore()
    working = Working(store)
    numbers: list[int] = []
    for step in steps:
        numbers.append((numbers[-1] if numbers else 0) + step)
        note_activity(working, 1, numbers[-1])
    publish(store, working)
    records = ActivityList(store.get, 1)

    assert sum(each < number for each in numbers) == records.index_from(number)
