"""Rows on their way to the shards: what was sent, what was acked, and who waits for it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Final

from unify_grpc.machines.flights import Flight, Outbox, Request
from unify_grpc.machines.links import Push, encode
from unify_grpc.machines.merge_messages import SendPush

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from unify_grpc.machines.links import Decided
    from unify_grpc.machines.merge_messages import Message

VISIBLE_PHASES: Final = 2
"""After these, profiles and bindings, a link shows through every kept identifier."""


class Pushing(ABC):
    """The half of the merge machine that makes visible what the other half decided."""

    def __init__(self) -> None:
        self.confirmed = 0
        """The last record that, like all before it, every shard has."""
        self._flights: dict[int, Flight] = {}
        self._newest_landed = 0
        self._outboxes: dict[int, Outbox] = {}
        self._push_number = 0

    @abstractmethod
    def _landed(self, record: int) -> Iterable[Message]:
        """Says what follows once every shard has a record."""

    def _acked(self, shard: int, push_number: int) -> list[Message] | None:
        """Takes an ack; returns what is sent next, or None for the ack of an earlier push."""
        outbox = self._outboxes.get(shard)
        if outbox is None or outbox.message is None or outbox.message.number != push_number:
            return None
        flights, outbox.sent, outbox.message = outbox.sent, [], None
        messages: list[Message] = []
        for flight in flights:
            flight.awaited.discard(shard)
            if not flight.awaited:
                messages.extend(self._next_phase(flight))
        messages.extend(self._send(shard))
        return messages

    def _unacked(self) -> list[SendPush]:
        """Returns the pushes that await an ack."""
        return [box.message for box in self._outboxes.values() if box.message]

    def _fly(self, record: int, phases: list[dict[int, Push]]) -> list[Message]:
        """Starts the phases of a durable record that nobody's link waits for."""
        flight = self._flights[record] = Flight(record, phases)
        return self._next_phase(flight)

    def _await_record(
        self, request: Request, index: int, answer: Decided, record: int
    ) -> Iterator[Message]:
        """Answers a link when the round that decided it is visible."""
        if request.number is None:
            return
        flight = self._flights.get(record)
        if flight is None or flight.visible:
            yield from request.tell(index, answer)
        else:
            flight.waiting.append((request, index, answer))

    def _next_phase(self, flight: Flight) -> list[Message]:
        """Starts a flight's next phase that has rows; only the phases of one flight are ordered."""
        messages: list[Message] = []
        while not flight.awaited:
            if flight.phase == VISIBLE_PHASES and not flight.visible:
                flight.visible = True
                for request, index, answer in flight.waiting:
                    messages.extend(request.tell(index, answer))
                flight.waiting.clear()
            if flight.phase == len(flight.phases):
                self._flights.pop(flight.record, None)
                self._confirm(flight.record)
                messages.extend(self._landed(flight.record))
                return messages
            rows = flight.phases[flight.phase]
            flight.phase += 1
            flight.awaited = set(rows)
            for shard, push in sorted(rows.items()):
                self._outboxes.setdefault(shard, Outbox()).queue.append((flight, push))
            for shard in sorted(rows):
                messages.extend(self._send(shard))
        return messages

    def _confirm(self, record: int) -> None:
        """Moves the confirmed record up to the oldest flight still under way."""
        self._newest_landed = max(self._newest_landed, record)
        self.confirmed = min(self._flights, default=self._newest_landed + 1) - 1

    def _send(self, shard: int) -> Iterator[SendPush]:
        """Sends all that is queued for a shard, if nothing is under way to it."""
        outbox = self._outboxes[shard]
        if outbox.message is not None or not outbox.queue:
            return
        joined = Push([], [], [], [], [], [])
        for _, push in outbox.queue:
            joined.extend(push)
        outbox.sent = [flight for flight, _ in outbox.queue]
        outbox.queue = []
        self._push_number += 1
        outbox.message = SendPush(shard, self._push_number, encode(joined))
        yield outbox.message
