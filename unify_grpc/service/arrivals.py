"""The events of one request as an edge received them: read only as far as somebody has to.

Most events are plain and are framed straight from their wire form (`plain_events`). One that is
not, or that has to be promoted again, is read whole.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from unify_grpc.identity.events import ClientEvent
    from unify_grpc.machines.batch import Body
    from unify_grpc.machines.framing import Framed
    from unify_grpc.service.plain_events import PlainFraming
    from unify_grpc.service.refused_event import Unreadable


class Incoming(NamedTuple):
    """An event that could be read."""

    event: ClientEvent
    body: Body


class Arrivals(Protocol):
    """The events of a request, in their order."""

    def __len__(self) -> int:
        """Returns how many there are."""

    def frame(self, index: int, framing: PlainFraming, stamp_us: int) -> Framed | None:
        """Frames an event that is plain; None for any other, which is then to be read."""

    def read(self, index: int) -> Incoming | Unreadable:
        """Reads an event whole; the same object each time."""


class ReadEvents:
    """Events that were read whole already."""

    def __init__(self, events: Sequence[Incoming | Unreadable]) -> None:
        self._events = events

    def __len__(self) -> int:
        """Returns how many there are."""
        return len(self._events)

    def frame(self, index: int, framing: PlainFraming, stamp_us: int) -> Framed | None:
        """Frames none: there is nothing left to be saved."""
        del index, framing, stamp_us
        return None

    def read(self, index: int) -> Incoming | Unreadable:
        """Returns an event."""
        return self._events[index]
