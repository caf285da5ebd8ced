"""Events are cut into requests that the service takes, in order."""

from __future__ import annotations

from typing import Any

import pytest
from unify_client import EventInvalid, identify, track
from unify_client.events import Event
from unify_client.requests import REQUEST_BYTES_MAX, REQUEST_EVENTS_MAX, chunks_of

from unify_grpc._pb.unify.v1.ingest_service_pb2 import IngestRequest


def test_no_events_make_no_request() -> None:
    """Nothing is sent for nothing."""
    assert not list(chunks_of([]))


def test_a_request_holds_at_most_2500_events() -> None:
    """The next event begins the next request, and positions count through all of them."""
    event = identify(user_id="u1")
    chunks = list(chunks_of([event] * (2 * REQUEST_EVENTS_MAX + 1)))

    assert [(0, 2_500), (2_500, 2_500), (5_000, 1)] == [
        (chunk.index_first, len(chunk.events)) for chunk in chunks
    ]


def test_a_request_holds_at_most_3_5_megabytes() -> None:
    """The size on the wire counts, and no event is lost or moved by a cut."""
    events = [
        track("Read", user_id="u1", message_id=str(number), properties={"text": "x" * 30_000})
        for number in range(300)
    ]
    chunks = list(chunks_of(events))

    sizes = [IngestRequest(events=chunk.events).ByteSize() for chunk in chunks]
    assert max(sizes) <= REQUEST_BYTES_MAX
    assert 3 == len(chunks)
    assert [str(number) for number in range(300)] == [
        event.message_id for chunk in chunks for event in chunk.events
    ]


def test_an_event_that_no_request_can_carry_is_refused_by_its_position() -> None:
    """An event above the message bound is named before anything was sent."""
    events = [identify(user_id="u1"), track("Read", properties={"text": "x" * 5_000_000})]

    with pytest.raises(EventInvalid, match="Event 1 "):
        list(chunks_of(events))


def test_an_event_without_a_message_id_gets_one_and_the_callers_is_left_alone() -> None:
    """What is sent twice is one event, even where its maker gave it no id."""
    bare = Event(type="identify", user_id="u1")
    (chunk,) = chunks_of([bare])

    assert chunk.events[0].message_id
    assert not bare.message_id


def test_what_is_no_event_is_refused() -> None:
    """A dictionary is no event."""
    events: Any = [{"type": "identify"}]
    with pytest.raises(EventInvalid, match="Event 0 is no event"):
        list(chunks_of(events))
