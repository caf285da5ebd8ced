"""What gateways of the simulation do about accounts' sides that users' sides owe."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from unify_grpc.identity.identifiers import ACCOUNTS, Identifier
from unify_grpc.machines.batch import Batch, pack_batch
from unify_grpc.machines.owed_sides import ClearedSide
from unify_grpc.placement.members import member_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.simulation.gateway import Gateway
    from unify_grpc.machines.framing import Side
    from unify_grpc.machines.links import Append
    from unify_grpc.machines.owed_sides import OwedSide


def is_account(side: Side) -> bool:
    """Whether a side is an account's."""
    return side.identifiers[0].collection == ACCOUNTS


def anchor_of(frame: bytes) -> Identifier:
    """Returns the anchor of an account's frame."""
    first = _open(frame).identifiers(0)[0]
    return Identifier(ACCOUNTS, first.type, first.value)


def stream_of(frame: bytes) -> int:
    """Returns the stream whose event a frame is."""
    return _open(frame).frame(0).stream


def stamp_of(frame: bytes) -> int:
    """Returns the stamp of a frame."""
    return _open(frame).frame(0).stamp_us


def _open(frame: bytes) -> Batch:
    return Batch(pack_batch(bytes(16), [], [frame]))


def clear_at(
    gateway: Gateway, number: int, sides: list[ClearedSide], then: Callable[[], None]
) -> None:
    """Tells a shard that accounts' sides are durable."""
    world = gateway.world
    shard = world.shards[number]
    positions = " ".join(f"{side.position:x}" for side in sides)
    world.call(
        gateway,
        shard,
        f"clear owed [{positions}]",
        lambda: shard.clear_owed(sides),
        lambda _: then(),
    )


def sweep_owed(gateway: Gateway, before_us: int) -> None:
    """Asks every shard for what is owed, and finishes it."""
    world = gateway.world
    for shard in world.shards:
        world.call(
            gateway,
            shard,
            "sweep owed",
            partial(shard.list_owed, before_us),
            partial(_take, gateway, shard.number),
        )


def _take(gateway: Gateway, number: int, sides: list[OwedSide]) -> None:
    for side in sides:
        is_own = side.space == gateway.world.control.space
        if is_own and not gateway.has_in_hand(number, side.position):
            _store(gateway, number, side)


def _store(gateway: Gateway, number: int, side: OwedSide) -> None:
    world = gateway.world
    anchor = anchor_of(side.frame)
    key = world.control.key(anchor)
    opened = _open(side.frame)
    world.strange_sides.add((anchor, opened.body(0, opened.frame(0)).message_id))
    shard = world.shards[world.shard_map.shard_of(key)]
    call_id = world.number()
    rules = [(world.control.space, gateway.version)]
    data = pack_batch(call_id.to_bytes(16, "big"), rules, [side.frame])

    def on_stored(reply: Append) -> None:
        if reply.stale:
            gateway.refresh_rules()  # the next sweep finds it again
            return
        cleared = ClearedSide(side.position, member_of(key, reply.lives.get(0, 0)))
        clear_at(gateway, number, [cleared], lambda: None)

    world.call(
        gateway,
        shard,
        f"append owed {call_id} of {side.position:x}",
        lambda: shard.append(data),
        on_stored,
    )
