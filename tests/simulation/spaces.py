"""Several spaces in one world: each has its rules, secrets, gateways, callers and books.

Shards, the merge actor, the network and the clock are everybody's. What is a space's own sees a
`Tenant` for its world: it has what is the space's, and passes everything else on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from tests.simulation.clients import Caller, StreamClient, UnaryClient
from tests.simulation.control import Control
from tests.simulation.deleters import Deleter
from tests.simulation.ledger import Ledger
from tests.simulation.readers import Reader
from tests.simulation.violation import require
from unify_grpc.machines.assembly import locate

if TYPE_CHECKING:
    from tests.simulation.plan import Plan
    from tests.simulation.world import World

GATEWAYS = 2


class Tenant:
    """A space's part of a world, to be taken for the world by whoever belongs to it."""

    def __init__(self, world: World, plan: Plan) -> None:
        own = self.__dict__
        own["everything"] = world
        own["plan"] = plan
        own["of_space"] = f" of space {plan.space}"
        fill(cast("World", self))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["everything"], name)

    def __setattr__(self, name: str, value: object) -> None:
        if name in OWN:
            self.__dict__[name] = value
        else:
            setattr(self.__dict__["everything"], name, value)


OWN = frozenset({"ledger", "control", "gateways", "clients", "readers", "strange_sides"})
"""What each space has for itself."""


def fill(world: World) -> None:
    """Gives a world, or a space's part of it, what belongs to one space."""
    plan, parts, of_space = world.plan, world.parts, world.of_space
    world.strange_sides = set()
    world.ledger = Ledger(world)
    world.control = Control(world)
    world.gateways = [parts.gateway(world, f"g{each}{of_space}") for each in range(GATEWAYS)]
    clients: list[Caller] = [
        (StreamClient if plan.streaming[each] else UnaryClient)(world, each)
        for each in range(plan.clients)
    ]
    if plan.deletions:
        clients.append(Deleter(world, plan.deletions))
    for client in clients:
        client.name += of_space
    world.clients = clients
    world.readers = [Reader(world, each) for each in range(plan.readers)]


def divide(world: World) -> list[World]:
    """Returns the spaces of a world, each as a world of its own; one alone has the world."""
    if not world.plan.further:
        fill(world)
        return [world]
    spaces = [cast("World", Tenant(world, plan)) for plan in (world.plan, *world.plan.further)]
    world.control, world.ledger = spaces[0].control, spaces[0].ledger
    world.strange_sides = spaces[0].strange_sides
    world.gateways = [each for space in spaces for each in space.gateways]
    world.clients = [each for space in spaces for each in space.clients]
    world.readers = [each for space in spaces for each in space.readers]
    return spaces


def check_apart(world: World) -> None:
    """Nothing of one space is reached from another, by no name and by no segment_id."""
    for space in world.spaces:
        for other in world.spaces:
            if other is space:
                continue
            number = other.control.space
            for name in [*map(space.control.key, space.ledger.shown), *space.ledger.roots]:
                found = world.read_now(locate(world.shard_map, number, name))
                told = f"{name.hex()[:8]} of space {space.control.space}"
                require(found is None, f"{told} is found in space {number}")
