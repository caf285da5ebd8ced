"""Taking broken text apart: the same parts as a parser finds where nothing is broken."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unify_grpc.http.splitting import (
    MEMBERS_MAX,
    NotSplitError,
    TooManyPartsError,
    split_array,
    split_object,
)

values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text(max_size=4), below),
    max_leaves=12,
)
indents = st.sampled_from([None, 0, 2])


@given(st.lists(values, max_size=5), indents)
def test_elements_are_those_of_the_array(elements: list[Any], indent: int | None) -> None:
    """`NaN`, lone surrogates, quotes and brackets in strings: wherever an element ends."""
    text = json.dumps(elements, indent=indent).encode()

    split = [json.loads(each) for each in split_array(b" " + text + b"\n", 1_000)]

    assert json.dumps(elements) == json.dumps(split)


@given(st.dictionaries(st.text(max_size=6), values, max_size=5), indents)
def test_members_are_those_of_the_object(members: dict[str, Any], indent: int | None) -> None:
    """Each key with its value."""
    text = json.dumps(members, indent=indent).encode()

    split = {
        json.loads(b'"%s"' % key): json.loads(value) for key, value in split_object(text).items()
    }

    assert json.dumps(members) == json.dumps(split)


@pytest.mark.parametrize(
    "text",
    [b"", b"[", b"]", b"[1", b"[1,", b"[,]", b"[1,]", b"[1 2]", b"[1]]", b"[1] x", b"{}", b"[[]",
     b'["a]', b'["a\\"]', b"[:]", b"null"],
)  # fmt: skip
def test_what_is_no_array_is_not_split(text: bytes) -> None:
    """Something is wrong outside of its elements."""
    with pytest.raises(NotSplitError):
        split_array(text, 1_000)


@pytest.mark.parametrize(
    "text",
    [b"", b"{", b"}", b'{"a"', b'{"a":', b'{"a":1', b'{"a":1,', b'{"a":1,}', b"{1:1}", b'{"a" 1}',
     b'{"a":1}}', b"{[]:1}", b"[]", b'{"a":1;"b":2}', b'{"a\\":1}'],
)  # fmt: skip
def test_what_is_no_object_is_not_split(text: bytes) -> None:
    """The same of an object."""
    with pytest.raises(NotSplitError):
        split_object(text)


def test_what_is_wrong_inside_a_value_stays_there() -> None:
    """Brackets are counted, not matched; scalars end at a comma or a bracket."""
    broken = [b"{1:}", b"[}", b"01", b"nul", b'{"a":NaN}', b'"\\x"', b"-", b'["\xff"]']

    assert broken == split_array(b"[%s]" % b" , ".join(broken), len(broken))


@pytest.mark.parametrize(
    "text",
    [
        b"[" * 500_000,
        b"[]," * 160_000,
        b'["' + b'\\"' * 250_000,
        b'["' + b"\\" * 499_998,
        b"[" + b" " * 499_999,
        b"[" + b'"",' * 160_000,
        b'[{"' + b'"' * 490_000,
    ],
)
def test_hostile_text_is_split_in_time_linear_in_its_length(text: bytes) -> None:
    """The largest body that may come, made to have everything tried again: no second of work."""
    started = time.process_time()

    with pytest.raises(NotSplitError):
        split_array(text, 1_000)

    assert time.process_time() - started < 1.0


def test_no_more_parts_are_looked_at_than_are_wanted() -> None:
    """As many as there may be are returned; at one more it ends, whatever follows."""
    members = b",".join([b'"a":1'] * MEMBERS_MAX)

    assert [b"1"] * 3 == split_array(b"[1,1,1]", 3)
    assert {b"a": b"1"} == split_object(b"{%s}" % members)
    with pytest.raises(TooManyPartsError):
        split_array(b"[1,1,1,1,???", 3)
    with pytest.raises(TooManyPartsError):
        split_object(b'{%s,"a":1,???' % members)
