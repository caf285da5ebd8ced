"""Callers that have identifiers deleted."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, cast

from tests.simulation.clients import Caller
from tests.simulation.deleting import DeleteRequest, told_request
from tests.simulation.gateway import Attempt
from tests.simulation.plan import CLIENT_PATIENCE_STEPS
from tests.simulation.traffic import FIRST_EVENT_US, SECOND_US, Sent, priority
from unify_grpc.identity.identifiers import USERS, Identifier

if TYPE_CHECKING:
    from tests.simulation.world import World
    from unify_grpc.machines.deletions import Deleted

HASTE = 0.1
"""Chance that a deleter whose turn it is asks for something new."""
AGAIN = 0.6
"""Chance that it then sends an event with both identifiers."""
NEWEST = 0.3
"""Chance that it takes the event whose answer came last, which may still be on its way."""
LONELY = 0.3
"""Chance that it takes any event for what it knows, and not one with several identifiers."""


class DeletingCaller(Caller):
    """Who is told what became of a deletion."""

    @abstractmethod
    def on_deleted(self, request: DeleteRequest, deleted: Deleted) -> None:
        """Takes an answer."""


class Deleter(DeletingCaller):
    """Has identifiers deleted, one after another, that it knows of from what others were told.

    Sometimes it then sends an event that names both: what was known before a deletion is news.
    """

    def __init__(self, world: World, count: int) -> None:
        super().__init__(world, "d")
        self.remaining = count
        self.asked: DeleteRequest | None = None
        self.again: Sent | None = None
        """An event that is not acked yet."""
        self._events = 0
        self._sent_step = 0

    @property
    def is_done(self) -> bool:
        """Whether everything was asked for and answered."""
        return not (self.asked or self.again or (self.remaining and self.world.ledger.kept))

    def go_on(self, *, impatient: bool = False) -> None:
        """Asks again for what was not answered, or for something new."""
        world = self.world
        if self.asked or self.again:
            overdue = world.step - self._sent_step > CLIENT_PATIENCE_STEPS
            if impatient or overdue or world.happens(0.02):
                self._send()
        elif not self.is_done and (impatient or world.happens(HASTE)):
            self.remaining -= 1
            self.asked = self._draw()
            world.ledger.deletions.ask(self.asked)
            self._send()

    def on_deleted(self, request: DeleteRequest, deleted: Deleted) -> None:
        """Takes an answer; any attempt's will do."""
        if self.asked != request:
            return
        self.asked = None
        named, wanted, world = request.named, request.wanted, self.world
        is_done = not deleted.refusal and isinstance(named, Identifier)
        if is_done and wanted.collection == USERS and world.happens(AGAIN):
            self._events += 1
            users = tuple(sorted((cast("Identifier", named), wanted), key=priority))
            time_us = FIRST_EVENT_US + world.rng.randrange(200) * SECOND_US
            self.again = Sent(f"d-{self._events}", "track", users, (), time_us, ())
            self._send()

    def on_acked(self, attempt: Attempt) -> None:
        """Takes the ack of an event; any attempt's will do."""
        if self.again is not None and attempt.events[0] == self.again:
            self.again = None

    def _draw(self) -> DeleteRequest:
        """Draws identifiers that some event was kept with, mostly."""
        world, rng = self.world, self.world.rng
        known = list(world.ledger.kept.values())
        together = [each for each in known if len(each.identifiers) > 1]
        kept = rng.choice(known if rng.random() < LONELY else together or known)
        if together and rng.random() < NEWEST:
            kept = together[-1]
        wanted = rng.choice(kept.identifiers)
        draw = rng.random()
        named: Identifier | bytes
        if draw < 0.75 and len(kept.identifiers) > 1:
            others = [each for each in kept.identifiers if each != wanted]
            named = rng.choice(others)
        elif draw < 0.9:
            named = kept.root
        else:
            others = [each for each in world.ledger.shown if each.collection == wanted.collection]
            named = rng.choice(others or kept.identifiers)
        return DeleteRequest(self, world.number().to_bytes(16, "big"), named, wanted)

    def _send(self) -> None:
        world = self.world
        self._sent_step = world.step
        gateway = world.rng.choice(world.gateways)
        request, sent = self.asked, self.again
        if request is not None:
            number = int.from_bytes(request.request_id)
            world.send(
                f"d deletion {number} [{told_request(request)}]",
                gateway,
                lambda: gateway.deletions.take(request),
            )
        elif sent is not None:
            attempt = Attempt(self, 0, world.number(), 0, (sent,), resolved=True)
            world.ledger.sent(attempt)
            names = " ".join(each.value for each in sent.users)
            world.send(f"d {sent.message_id} [{names}]", gateway, lambda: gateway.take(attempt))
