"""How events become requests: in order, and small enough for the service to take.

A request holds at most 2,500 events and 3.5 MB: well below the service's own bounds (10,000 and
4 MiB), so that an answer with a result for each event stays below 4 MiB too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from unify_client.errors import EventInvalid
from unify_client.events import Event, new_message_id
from unify_client.settings import MESSAGE_BYTES_MAX

REQUEST_EVENTS_MAX = 2_500
REQUEST_BYTES_MAX = 3_500_000

# An event's own size is followed by its field's tag and its length, of at most 4 bytes.
_EVENT_FRAME_BYTES = 5
_EVENT_BYTES_MAX = MESSAGE_BYTES_MAX - 1_024


@dataclass(slots=True)
class Chunk:
    """The events of one request."""

    index_first: int
    """The position of the first one in what the caller passed."""
    events: list[Event] = field(default_factory=list)
    """The events, each with a message id."""


def chunks_of(
    events: Iterable[Event],
    *,
    events_max: int = REQUEST_EVENTS_MAX,
    bytes_max: int = REQUEST_BYTES_MAX,
) -> Iterator[Chunk]:
    """Cuts events into requests, in order; nothing for no events.

    An event without a message id is copied and given one: sent again, it must be the same event.
    Raises EventInvalid for what is no event, and for an event that no request can carry.
    """
    chunk = Chunk(0)
    chunk_bytes = 0
    for index, event in enumerate(events):
        identified = _identified(event, index)
        event_bytes = identified.ByteSize() + _EVENT_FRAME_BYTES
        if event_bytes > _EVENT_BYTES_MAX:
            raise EventInvalid(f"Event {index} is larger than a request may be.")
        full = len(chunk.events) >= events_max or chunk_bytes + event_bytes > bytes_max
        if chunk.events and full:
            yield chunk
            chunk = Chunk(index)
            chunk_bytes = 0
        chunk.events.append(identified)
        chunk_bytes += event_bytes
    if chunk.events:
        yield chunk


def _identified(event: object, index: int) -> Event:
    if not isinstance(event, Event):
        raise EventInvalid(f"Event {index} is no event: build it by identify, track and the like.")
    if event.message_id:
        return event
    copy = Event()
    copy.CopyFrom(event)
    copy.message_id = new_message_id()
    return copy
