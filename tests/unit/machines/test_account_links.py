"""Rows of links: the earliest event counts, and lists go by its time."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unify_grpc.machines.account_links import (
    LinkPlace,
    find_link,
    first_place,
    list_places,
    put_link,
)
from unify_grpc.machines.tables import Working
from unify_grpc.storage.memory import MemoryStore

OWN = [bytes((1, each)) + bytes(18) for each in range(3)]
OTHERS = [bytes((9, each)) + bytes(17) + bytes((each % 3,)) for each in range(6)]


def store_with(*links: tuple[int, bytes, bytes]) -> MemoryStore:
    """Returns a store in which (time, own, other) were linked one after another."""
    store = MemoryStore()
    for time_us, own, other in links:
        working = Working(store)
        put_link(working, own, other, time_us=time_us, source=1, message_id=f"at {time_us}")
        store.publish(working.changes, store.append(b""))
    return store


def pages(store: MemoryStore, members: list[bytes], limit: int) -> list[LinkPlace]:
    """Returns all places, read page by page."""
    found: list[LinkPlace] = []
    while page := list_places(store, members, found[-1] if found else None, limit):
        assert len(page) <= limit
        found.extend(page)
    return found


def test_the_earliest_event_counts() -> None:
    """A later one changes nothing, an earlier one takes its place, also in the list."""
    store = store_with((5, OWN[0], OTHERS[0]), (7, OWN[0], OTHERS[0]))
    later = dict(store.rows)
    store = store_with((5, OWN[0], OTHERS[0]), (7, OWN[0], OTHERS[0]), (2, OWN[0], OTHERS[0]))
    row = find_link(store, OWN[0], OTHERS[0])

    assert store_with((5, OWN[0], OTHERS[0])).rows == later
    assert row is not None
    assert (2, "at 2") == (row.time_us, row.message_id)
    assert [(2, OTHERS[0], OWN[0])] == list_places(store, OWN, None, 9)


links = st.lists(
    st.tuples(st.integers(0, 4), st.sampled_from(OWN), st.sampled_from(OTHERS)), max_size=25
)


@given(links, st.integers(1, 4), st.randoms())
def test_pages_show_each_pair_once_in_order(
    drawn: list[tuple[int, bytes, bytes]], limit: int, order: Random
) -> None:
    """Whatever order events come in and however long pages are, each pair is at its first time."""
    shuffled = list(drawn)
    order.shuffle(shuffled)
    store = store_with(*shuffled)
    first: dict[tuple[bytes, bytes], int] = {}
    for time_us, own, other in drawn:
        first[own, other] = min(time_us, first.get((own, other), time_us))

    expected = sorted((time_us, other, own) for (own, other), time_us in first.items())

    assert expected == pages(store, OWN, limit)
    assert store_with(*drawn).rows.keys() == store.rows.keys()


@given(links, st.lists(st.sampled_from(OTHERS), unique=True))
def test_the_first_link_between_groups_is_the_first_listed(
    drawn: list[tuple[int, bytes, bytes]], others: list[bytes]
) -> None:
    """Of all rows between some members and some others, the first in the order of the list."""
    store = store_with(*drawn)
    listed = [each for each in pages(store, OWN, 100) if each[1] in others]

    assert (listed[0] if listed else None) == first_place(store, OWN, others)


def test_rows_of_another_format_are_refused() -> None:
    """A row whose format is not known is not guessed at."""
    store = store_with((5, OWN[0], OTHERS[0]))
    for key in list(store.rows):
        store.rows[key] = b"\x95\x09" + store.rows[key][2:] if len(store.rows[key]) > 1 else b"\x09"

    with pytest.raises(ValueError, match="format 9"):
        list_places(store, OWN, None, 1)
