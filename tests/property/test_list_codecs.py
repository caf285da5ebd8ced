"""Questions about spaces and their answers, read back as they were packed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unify_grpc.machines import list_questions, reads
from unify_grpc.machines.batch import Batch, Body, pack_batch
from unify_grpc.machines.list_questions import (
    ActiveMembers,
    Counted,
    CountSpaces,
    FindByPrefix,
    FindByTrait,
    FoundMembers,
    FoundViolation,
    FoundViolations,
    ListActive,
    ListSpaceViolations,
    TailedEvent,
    TailedEvents,
    TailSpace,
)
from unify_grpc.machines.noted_drops import NotedDrop, pack_drops, unpack_drops
from unify_grpc.machines.refusals import RefusedBody
from unify_grpc.machines.stored_event import StoredEvent

if TYPE_CHECKING:
    from collections.abc import Callable

u32 = st.integers(0, 2**32 - 1)
i64 = st.integers(-(2**63), 2**63 - 1)
positions = st.integers(-1, 2**63 - 1)
texts = st.text(max_size=8)
data = st.binary(max_size=30)
members = st.binary(min_size=20, max_size=20)
numbers = st.lists(u32, max_size=3)
noted = st.builds(NotedDrop, st.integers(0, 1), texts, texts, u32, data)
events = st.builds(
    StoredEvent,
    *(i64, texts, members, st.integers(0, 5), i64, u32),
    st.lists(st.tuples(texts, texts), max_size=2),
    st.integers(0, 1),
    data,
    u32,
    st.lists(st.tuples(u32, u32), max_size=2),
    st.lists(noted, max_size=2),
)
refusals = st.builds(
    RefusedBody,
    u32,
    u32,
    texts,
    st.builds(Body, texts, texts, data, data, data, data, st.none() | texts),
    st.lists(texts, max_size=2),
    st.lists(noted, max_size=2),
)
found_members = st.builds(
    FoundMembers, st.lists(st.tuples(data, members), max_size=3), st.booleans()
)
PAIRS: dict[type, tuple[st.SearchStrategy[Any], st.SearchStrategy[Any]]] = {
    ListActive: (
        st.builds(ListActive, u32, u32, positions, u32),
        st.builds(
            ActiveMembers, st.lists(st.tuples(i64, positions, members), max_size=3), positions, i64
        ),
    ),
    TailSpace: (
        st.builds(TailSpace, u32, positions, numbers, numbers, u32),
        st.builds(
            TailedEvents,
            st.lists(st.builds(TailedEvent, positions, st.booleans(), events), max_size=2),
            positions,
            st.booleans(),
        ),
    ),
    ListSpaceViolations: (
        st.builds(
            ListSpaceViolations,
            *(u32, positions, numbers, texts),
            st.lists(data, max_size=2),
            *(st.none() | i64, st.none() | i64, u32),
        ),
        st.builds(
            FoundViolations,
            st.lists(
                st.builds(
                    FoundViolation,
                    *(u32, i64, i64, u32, u32),
                    st.none() | events,
                    st.none() | refusals,
                ),
                max_size=2,
            ),
            positions,
        ),
    ),
    FindByPrefix: (st.builds(FindByPrefix, u32, u32, texts, texts, data, u32), found_members),
    FindByTrait: (st.builds(FindByTrait, u32, u32, texts, texts, data, u32), found_members),
    CountSpaces: (st.builds(CountSpaces), st.builds(Counted, u32, u32, u32)),
}


def test_every_question_is_tried() -> None:
    """A question that is added is added here."""
    assert set(PAIRS) == set(list_questions.LIST_ANSWERS)


@given(st.data(), st.lists(st.sampled_from(list(PAIRS)), max_size=4))
def test_questions_and_answers_are_read_back_as_packed(
    drawn: st.DataObject, kinds: list[type]
) -> None:
    """Questions keep their kind, and each answer is read as that of its question."""
    draw: Callable[[st.SearchStrategy[Any]], Any] = drawn.draw
    asked = [draw(PAIRS[kind][0]) for kind in kinds]
    answers = [draw(PAIRS[kind][1]) for kind in kinds]

    assert asked == reads.decode_questions(reads.encode_questions(asked))
    assert answers == reads.decode_answers(asked, reads.encode_answers(answers))


@given(st.lists(noted, min_size=1, max_size=4))
def test_drops_are_read_back_as_packed(drops: list[NotedDrop]) -> None:
    """What promotion left out survives; a frame without drops has none."""
    assert drops == unpack_drops(pack_drops(drops))
    assert [] == unpack_drops(b"")


names = st.dictionaries(u32, st.lists(texts, max_size=3, unique=True), max_size=2)


@given(names, st.lists(st.tuples(u32, u32), max_size=2), data)
def test_a_batch_says_which_traits_are_searchable(
    searchable: dict[int, list[str]], rules: list[tuple[int, int]], before: bytes
) -> None:
    """Of each space its own names, whatever stands before and behind them."""
    packed = pack_batch(bytes(16), rules, [b"frame"], searchable)
    batch = Batch(before + packed, len(before))

    assert rules == batch.rules
    assert b"frame" == batch.data[batch.start + batch.offsets[0] :]
    for space, listed in searchable.items():
        assert frozenset(listed) == batch.searchable(space)
    assert frozenset() == batch.searchable(2**32)


def test_a_batch_of_another_format_is_refused() -> None:
    """The format before had no names of traits."""
    packed = pack_batch(bytes(16), [], [])

    with pytest.raises(ValueError, match="format 1"):
        Batch(b"\x01" + packed[1:])
