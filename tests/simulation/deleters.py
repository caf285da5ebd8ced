"""Callers that have identifiers deleted."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from tests.simulation.clients import Caller
from tests.simulation.deleting import DeleteRequest, told_request
from tests.simulation.plan import CLIENT_PATIENCE_STEPS

if TYPE_CHECKING:
    from tests.simulation.gateway import Gateway
    from tests.simulation.world import World
    from unify_grpc.identity.identifiers import Identifier
    from unify_grpc.machines.deletions import Deleted

HASTE = 0.1
"""Chance that a deleter whose turn it is asks for something new."""


class DeletingCaller(Caller):
    """Who is told what became of a deletion."""

    def on_deleted(self, request: DeleteRequest, deleted: Deleted) -> None:
        """Takes an answer."""
        raise NotImplementedError


class Deleter(DeletingCaller):
    """Has identifiers deleted, one after another, that it knows of from what others were told."""

    def __init__(self, world: World, count: int) -> None:
        super().__init__(world, "d")
        self.remaining = count
        self.asked: DeleteRequest | None = None
        self._asked_step = 0

    @property
    def is_done(self) -> bool:
        """Whether everything was asked for and answered."""
        return self.asked is None and not (self.remaining and self.world.ledger.kept)

    def go_on(self, *, impatient: bool = False) -> None:
        """Asks again for what was not answered, or for something new."""
        world = self.world
        if self.asked is not None:
            overdue = world.step - self._asked_step > CLIENT_PATIENCE_STEPS
            if impatient or overdue or world.happens(0.02):
                self._send(self.asked)
        elif not self.is_done and (impatient or world.happens(HASTE)):
            self.remaining -= 1
            self.asked = self._draw()
            world.ledger.deletions.ask(self.asked)
            self._send(self.asked)

    def on_deleted(self, request: DeleteRequest, deleted: Deleted) -> None:
        """Takes an answer; any attempt's will do."""
        del deleted
        if self.asked == request:
            self.asked = None

    def _draw(self) -> DeleteRequest:
        """Draws identifiers that some event was kept with, mostly."""
        world, rng = self.world, self.world.rng
        known = world.ledger.kept
        together = [each for each in known.values() if len(each.identifiers) > 1]
        kept = rng.choice(together or list(known.values()))
        wanted = rng.choice(kept.identifiers)
        draw = rng.random()
        named: Identifier | bytes
        if draw < 0.75:
            others = [each for each in kept.identifiers if each != wanted]
            named = rng.choice(others or kept.identifiers)
        elif draw < 0.9:
            named = kept.root
        else:
            others = [each for each in world.ledger.shown if each.collection == wanted.collection]
            named = rng.choice(others or kept.identifiers)
        return DeleteRequest(self, world.number().to_bytes(16, "big"), named, wanted)

    def _send(self, request: DeleteRequest) -> None:
        world = self.world
        self._asked_step = world.step
        gateway = cast("Gateway", world.rng.choice(world.gateways))
        number = int.from_bytes(request.request_id)
        world.send(
            f"d deletion {number} [{told_request(request)}]",
            gateway,
            lambda: gateway.deletions.take(request),
        )
