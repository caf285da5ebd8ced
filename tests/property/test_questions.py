"""What shards are asked and answer survives the way there and back."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.property.fields import drops, i64, keys, members, pairs, texts, u8, u32
from unify_grpc.machines import reads
from unify_grpc.machines.links import Founding, LookedUp
from unify_grpc.machines.stored_event import StoredEvent

questions = st.one_of(
    st.builds(reads.Locate, u32, keys | members),
    st.builds(reads.LookUpName, keys),
    st.builds(reads.Gather, members, st.booleans()),
    st.builds(
        reads.ListEvents,
        st.lists(members, max_size=2),
        st.lists(st.integers(0, 5), max_size=2),
        st.none() | i64,
        st.none() | i64,
        st.none() | st.lists(texts, max_size=2),
        st.lists(texts, max_size=2),
        st.booleans(),
        st.none() | st.tuples(i64, texts, members),
        u32,
    ),
)
sent = st.none() | st.builds(reads.Sent, i64, u32, texts)
foundings = st.builds(Founding, i64, u32, i64, u32, texts)
ANSWERS: dict[type, st.SearchStrategy[Any]] = {
    reads.Locate: st.builds(
        reads.Located,
        *(st.none() | members, st.none() | st.lists(members, max_size=2), u32, i64),
        st.lists(members, max_size=2),
    ),
    reads.LookUpName: st.builds(
        LookedUp, u32, st.none() | st.builds(Founding, i64, u32, i64, u32, texts)
    ),
    reads.Gather: st.builds(
        reads.Gathered,
        *(members, texts, texts, i64, u32, texts),
        st.lists(u32, max_size=6),
        *(i64, i64, sent, sent),
        st.binary(max_size=20),
    ),
    reads.ListEvents: st.lists(
        st.builds(
            StoredEvent,
            *(i64, texts, members, st.integers(0, 5), i64, u32),
            st.lists(pairs, max_size=2),
            st.integers(0, 1),
            st.binary(max_size=20),
            u8,
            drops,
        ),
        max_size=2,
    ),
}


@given(st.lists(questions, max_size=4), st.data())
def test_questions_and_answers_are_read_back_as_packed(
    asked: list[Any], data: st.DataObject
) -> None:
    """Questions keep their kind, and each answer is read as that of its question."""
    answers = [data.draw(ANSWERS[type(each)]) for each in asked]

    assert asked == reads.decode_questions(reads.encode_questions(asked))
    assert answers == reads.decode_answers(asked, reads.encode_answers(answers))
