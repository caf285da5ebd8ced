"""How gateways have identifiers deleted: both names looked up, then the merge actor is told."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from unify_grpc.identity.identifiers import ACCOUNTS, Identifier
from unify_grpc.machines.assembly import look_up_names
from unify_grpc.machines.deletions import DeleteCommand
from unify_grpc.placement.members import KEY_BYTES

if TYPE_CHECKING:
    from collections.abc import Generator

    from tests.simulation.deleters import DeletingCaller
    from tests.simulation.gateway import Gateway
    from tests.simulation.world import World
    from unify_grpc.machines.deletions import Deleted
    from unify_grpc.machines.reads import Answer, Question


class DeleteRequest(NamedTuple):
    """A deletion as its caller means it, the same with every attempt."""

    caller: DeletingCaller
    request_id: bytes
    named: Identifier | bytes
    """The profile: an identifier, or the member in a segment_id."""
    wanted: Identifier


@dataclass(slots=True)
class UnderWay:
    """An attempt at a gateway."""

    request: DeleteRequest
    begun_step: int
    reading: Generator[Any, Any, Any]
    """Of both names, at their shards."""
    waiting: dict[int, list[Question]]
    answers: dict[int, list[Answer]] = field(default_factory=dict)
    command: DeleteCommand | None = None
    """Once both names were looked up."""


class Deletions:
    """The deletions of one gateway: it looks both names up and tells the merge actor."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.under_way: dict[int, UnderWay] = {}

    def take(self, request: DeleteRequest) -> None:
        """Takes a request; one that is repeated is another attempt."""
        world = self.gateway.world
        keys = [world.control.key(request.wanted), named_key(world, request)[:KEY_BYTES]]
        reading = look_up_names(world.shard_map, keys)
        number = world.number()
        self.under_way[number] = UnderWay(request, world.step, reading, dict(next(reading)))
        self._ask(number)

    def ask_again(self) -> None:
        """Repeats what was not answered."""
        for number in list(self.under_way):
            self._ask(number)

    def give_up(self, before_step: int) -> None:
        """Forgets attempts that were begun before a step."""
        for number, each in list(self.under_way.items()):
            if each.begun_step < before_step:
                del self.under_way[number]

    def on_deleted(self, number: int, deleted: Deleted) -> None:
        """Takes the merge actor's answer, and answers the caller."""
        each = self.under_way.pop(number, None)
        if each is None:
            return
        world, request = self.gateway.world, each.request
        world.ledger.deletions.answered(request, deleted)
        caller = request.caller
        world.send(
            f"deletion {int.from_bytes(request.request_id)} ended",
            caller,
            lambda: caller.on_deleted(request, deleted),
        )

    def _ask(self, number: int) -> None:
        gateway, each = self.gateway, self.under_way[number]
        world, life, command = gateway.world, gateway.life, each.command
        if command is not None:
            world.send(
                f"{gateway.name} delete {number} {each.request.wanted.value}",
                world.merge,
                lambda: world.merge.delete(gateway, life, number, command),
            )
            return
        for shard, questions in each.waiting.items():
            node = world.shards[shard]
            world.call(
                gateway,
                node,
                f"look-up of names {number}",
                lambda node=node, questions=questions: node.read(questions),  # type: ignore[misc]  # bound early
                lambda answers, shard=shard: self._on_looked_up(number, shard, answers),  # type: ignore[misc]  # bound early
            )

    def _on_looked_up(self, number: int, shard: int, answers: list[Answer]) -> None:
        each = self.under_way.get(number)
        if each is None or each.waiting.pop(shard, None) is None:
            return
        each.answers[shard] = answers
        if each.waiting:
            return
        world, request = self.gateway.world, each.request
        try:
            each.reading.send(each.answers)
        except StopIteration as stop:
            looked_up, named_looked_up = stop.value
        wanted = request.wanted
        each.command = DeleteCommand(
            request.request_id,
            world.control.space,
            int(wanted.collection == ACCOUNTS),
            named_key(world, request),
            world.control.key(wanted),
            wanted.type,
            wanted.value,
            looked_up,
            named_looked_up,
        )
        self._ask(number)


def named_key(world: World, request: DeleteRequest) -> bytes:
    """Returns what a request names its profile by: an identifier's key, or a member."""
    named = request.named
    return named if isinstance(named, bytes) else world.control.key(named)


def told_request(request: DeleteRequest) -> str:
    """Returns a request as a line of the trace has it."""
    named = request.named
    by = named.hex()[:8] if isinstance(named, bytes) else named.value
    return f"{request.wanted.value} by {by}"
