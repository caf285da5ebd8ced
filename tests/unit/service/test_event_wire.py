"""One event off the wire: Struct and JSON alike, and its own reason for whatever is wrong."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from google.protobuf.struct_pb2 import Struct
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from unify_grpc._pb.unify.v1.event_pb2 import Event, ExternalId
from unify_grpc.identity.outcomes import RejectionReason
from unify_grpc.service.arrivals import Incoming
from unify_grpc.service.event_wire import EVENT_BYTES_MAX, STRUCT_DEPTH_MAX, event_from_wire
from unify_grpc.service.refused_event import Unreadable


def read(wire: Event) -> Incoming:
    """Reads an event that is right."""
    incoming = event_from_wire(wire)
    assert isinstance(incoming, Incoming), incoming
    return incoming


def refusal_of(wire: Event) -> RejectionReason:
    """Reads an event that is wrong, and returns why it is refused."""
    incoming = event_from_wire(wire)
    assert isinstance(incoming, Unreadable), incoming
    return incoming.reason


def struct_of(values: dict[str, Any]) -> Struct:
    """Returns a dict as a Struct."""
    struct = Struct()
    struct.update(values)
    return struct


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8"), max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=4), inner, max_size=3)
    ),
    max_leaves=6,
)
objects = st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=4), values, max_size=4)


@given(objects)
def test_a_struct_and_its_json_are_one_event(payload: dict[str, Any]) -> None:
    """Whichever form a caller chooses, the same values are promoted and stored."""
    struct = read(Event(type="track", name="Seen", properties=struct_of(payload)))
    text = json.dumps(payload).encode()
    plain = read(Event(type="track", name="Seen", properties_json=text))

    assert struct.event.properties == plain.event.properties
    assert json.loads(struct.body.properties) == json.loads(plain.body.properties)


def test_json_is_kept_as_it_was_sent() -> None:
    """What a caller wrote is stored byte by byte: nothing is encoded twice."""
    text = b'{ "a" : 1.0 }'

    assert text == read(Event(type="identify", traits_json=text)).body.traits


def test_the_last_of_duplicate_keys_counts() -> None:
    """As JSON readers everywhere have it."""
    incoming = read(Event(type="identify", traits_json=b'{"a": 1, "a": 2}'))

    assert {"a": 2} == incoming.event.traits


def test_ids_that_are_absent_are_none() -> None:
    """An empty id is a value that cannot identify anybody; an absent one is no value."""
    absent, empty = read(Event(type="page")), read(Event(type="page", user_id=""))

    assert absent.event.user_id is None
    assert not empty.event.user_id
    assert empty.event.user_id is not None


def test_external_ids_come_with_the_event() -> None:
    """They are promoted like those of the context, and stored."""
    listed = ExternalId(id="c1", type="crm_id", collection="users", encoding="none")
    incoming = read(Event(type="page", external_ids=[listed]))

    assert ["c1"] == [each.id for each in incoming.event.external_ids or []]
    assert [{"id": "c1", "type": "crm_id", "collection": "users", "encoding": "none"}] == (
        json.loads(incoming.body.external_ids)
    )


@pytest.mark.parametrize(
    "text",
    [
        b"{",
        b"[]",
        b"1",
        b"null",
        b'"text"',
        b'{"a": NaN}',
        b'{"a": Infinity}',
        b'{"a": 1e999}',
        b'{"a": "\\ud800"}',
        b'{"a": "\xff"}',
        b"{'a': 1}",
        b'{"a": 1,}',
        b'{"a": 1} {"b": 2}',
        b'{"a": "\x01"}',
    ],
)
@pytest.mark.parametrize("field", ["traits_json", "properties_json", "context_json"])
def test_what_is_no_json_object_is_refused(field: str, text: bytes) -> None:
    """Not standard JSON, or not an object: refused as such, whichever field it is in."""
    fields: dict[str, Any] = {field: text}

    assert RejectionReason.INVALID_JSON == refusal_of(Event(type="track", **fields))


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_a_struct_may_not_hold_what_json_cannot(number: float) -> None:
    """NaN and the infinities are refused in a Struct as in JSON."""
    wire = Event(type="track", properties=struct_of({"a": [number]}))

    assert RejectionReason.INVALID_JSON == refusal_of(wire)


def test_an_event_may_be_large_and_not_larger() -> None:
    """32 KB are taken; one byte more is refused, and the rest of the event is not read."""
    room = EVENT_BYTES_MAX - len('{"a": ""}')
    full = b'{"a": "' + b"x" * room + b'"}'

    assert isinstance(event_from_wire(Event(type="identify", traits_json=full)), Incoming)
    over = full.replace(b'"}', b'x"}')
    assert RejectionReason.EVENT_TOO_LARGE == refusal_of(Event(type="identify", traits_json=over))
    assert RejectionReason.EVENT_TOO_LARGE == refusal_of(
        Event(type="track", traits_json=full, properties_json=b'{"b": 1}')
    )


def nested(depth: int) -> dict[str, Any]:
    """Returns objects inside one another, so many."""
    value: dict[str, Any] = {}
    for _ in range(depth - 1):
        value = {"a": value}
    return value


@pytest.mark.parametrize("depth", [STRUCT_DEPTH_MAX + 1, 30])
def test_a_struct_that_is_too_deep_is_refused_unread(depth: int) -> None:
    """Hostile depth is refused as such before it costs a recursion."""
    wire = Event(type="track", properties=struct_of(nested(depth)))

    assert RejectionReason.TOO_DEEP == refusal_of(wire)


def test_json_that_is_too_deep_is_refused() -> None:
    """Thousands of brackets are an answer to their caller, not an error of ours."""
    text = b'{"a":' + b"[" * 9_000 + b"]" * 9_000 + b"}"

    refusal = refusal_of(Event(type="track", properties_json=text))
    assert refusal in {RejectionReason.TOO_DEEP, RejectionReason.INVALID_JSON}


@pytest.mark.parametrize("field", ["timestamp", "original_timestamp", "sent_at"])
@pytest.mark.parametrize(
    "time",
    [
        Timestamp(seconds=1, nanos=-1),
        Timestamp(seconds=1, nanos=1_000_000_000),
        Timestamp(seconds=2**62),
    ],
)
def test_a_time_that_cannot_be_is_refused(field: str, time: Timestamp) -> None:
    """A Timestamp out of its range is unreadable, whichever of the three it is."""
    fields: dict[str, Any] = {field: time}

    assert RejectionReason.INVALID_TIMESTAMP == refusal_of(Event(type="page", **fields))


def test_times_are_in_microseconds() -> None:
    """The client's time is the original one, else the timestamp; each is kept as it came."""
    wire = Event(
        type="page", timestamp=Timestamp(seconds=2), sent_at=Timestamp(seconds=3, nanos=1_999)
    )
    incoming = read(wire)

    assert (2_000_000, None, 3_000_001) == (
        incoming.event.timestamp_us,
        incoming.event.original_timestamp_us,
        incoming.event.sent_at_us,
    )
    assert (2_000_000, 3_000_001) == (incoming.body.client_time_us, incoming.body.sent_at_us)
