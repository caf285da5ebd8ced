"""Callers: they send, wait, lose patience and send again, and sometimes send what was acked."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from tests.simulation.gateway import Attempt
from tests.simulation.nodes import Node
from tests.simulation.plan import CLIENT_PATIENCE_STEPS
from tests.simulation.traffic import Traffic

if TYPE_CHECKING:
    from tests.simulation.traffic import Sent
    from tests.simulation.world import World

WINDOW_REQUESTS = 3


class Caller(Node, ABC):
    """Who sends something and waits for the answer; callers do not end."""

    @property
    @abstractmethod
    def is_done(self) -> bool:
        """Whether everything is sent and answered."""

    @abstractmethod
    def go_on(self, *, impatient: bool = False) -> None:
        """Does the next thing, if there is one."""

    def on_acked(self, attempt: Attempt) -> None:
        """Takes an ack; only those whose acks are noted in the books get any."""
        raise AssertionError(f"{self.name} awaits no ack of {attempt}")


class Client(Caller):
    """What callers that send drawn traffic have in common."""

    def __init__(self, world: World, number: int) -> None:
        super().__init__(world, f"c{number}")
        self.traffic = Traffic(world.plan, number)
        self.requests = self.traffic.requests()
        self.next_request = 0
        self.unacked: dict[int, int] = {}
        """Requests without an ack, to the step in which they were last sent; in order."""
        self.acked_as: dict[int, tuple[Sent, ...]] = {}
        """By request, the events that were acked first."""
        self.repeats_all = False
        """Whether everything was sent and acked, and is sent again."""
        self.refused: set[int] = set()
        """Requests that are not sent again then, for nothing of them is stored."""

    @property
    def is_done(self) -> bool:
        """Whether everything is sent and acked."""
        return self.next_request == len(self.requests) and not self.unacked

    def on_acked(self, attempt: Attempt) -> None:
        """Takes an ack; any attempt's finishes the request."""
        self.unacked.pop(attempt.request, None)
        self.acked_as.setdefault(attempt.request, attempt.events)

    def send(self, request: int, stream: int, at: int, gateway: int, *, altered: bool) -> None:
        """Sends a request, in full."""
        world = self.world
        events = list(self.requests[request].events)
        if altered and not self.repeats_all:
            index = world.rng.randrange(len(events))
            events[index] = self.traffic.altered(events[index])
        attempt = Attempt(self, request, stream, at, tuple(events), self.requests[request].resolved)
        world.ledger.sent(attempt)
        node = world.gateways[gateway]
        names = " ".join(_describe(each) for each in events)
        mode = "" if attempt.resolved else " accepted"
        world.send(
            f"{self.name} request {request}{mode} [{names}]", node, lambda: node.take(attempt)
        )

    def send_all_again(self) -> None:
        """Sends every request once more, as it was acked, and waits for acks as before.

        Without what was refused then: nobody remembers that, and other rules may take it.
        """
        self.repeats_all = True
        for request, acked in list(self.acked_as.items()):
            events = tuple(each for each in acked if self.world.ledger.is_told(each))
            if not events:
                self.refused.add(request)
                continue
            self.requests[request] = self.requests[request]._replace(events=events)
            self.unacked[request] = self.world.step
            gateway = self.world.rng.randrange(len(self.world.gateways))
            self.send(request, self.world.number(), 0, gateway, altered=False)

    def is_overdue(self) -> bool:
        """Whether some ack has not come for long."""
        oldest = min(self.unacked.values(), default=self.world.step)
        return self.world.step - oldest > CLIENT_PATIENCE_STEPS


class UnaryClient(Client):
    """Sends one request after another; repeats go to any gateway."""

    def go_on(self, *, impatient: bool = False) -> None:
        """Sends the next request when the last is acked, or sends again."""
        rng = self.world.rng
        if self.unacked:
            if impatient or self.is_overdue() or rng.random() < 0.02:
                self._send(next(iter(self.unacked)), altered=rng.random() < 0.1)
        elif self.next_request and rng.random() < 0.1:
            request, altered = rng.randrange(self.next_request), rng.random() < 0.2
            if request not in self.refused:
                self._send(request, altered=altered)
        elif self.next_request < len(self.requests):
            self.next_request += 1
            self._send(self.next_request - 1, altered=False)

    def _send(self, request: int, *, altered: bool) -> None:
        world = self.world
        if request == self.next_request - 1:
            self.unacked.setdefault(request, world.step)
            self.unacked[request] = world.step
        gateway = world.rng.randrange(len(world.gateways))
        self.send(request, world.number(), 0, gateway, altered=altered)


class StreamClient(Client):
    """Pipelines requests on a stream; when it seems broken, sends all unacked on another."""

    def __init__(self, world: World, number: int) -> None:
        super().__init__(world, number)
        self.gateway = number % len(world.gateways)
        self.open()

    def go_on(self, *, impatient: bool = False) -> None:
        """Sends the next request while few are unacked, or all of them again."""
        world = self.world
        if self.unacked and (impatient or self.is_overdue()):
            self.gateway = world.rng.randrange(len(world.gateways))
            self.open()
            for request in self.unacked:
                self._send(request)
        elif self.next_request < len(self.requests) and len(self.unacked) < WINDOW_REQUESTS:
            self.next_request += 1
            self._send(self.next_request - 1)

    def open(self) -> None:
        """Begins another stream."""
        self.stream = self.world.number()
        self.at = 0

    def _send(self, request: int) -> None:
        self.unacked[request] = self.world.step
        self.send(request, self.stream, self.at, self.gateway, altered=False)
        self.at += 1


def _describe(sent: Sent) -> str:
    named = ",".join(each.value for each in (*sent.users, *sent.accounts))
    return f"{sent.message_id}({named})"
