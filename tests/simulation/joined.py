"""Batches of several spaces that a gateway sends to a shard in one call."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from msgspec.structs import replace

from unify_grpc.machines.batch import pack_batch
from unify_grpc.machines.links import Append

if TYPE_CHECKING:
    from tests.simulation.calls import Call, Part, Stream
    from tests.simulation.gateway import Gateway
    from tests.simulation.world import World

JOINS = 0.5
"""Chance that a batch waits for one of another space to travel with."""


class Parcel(NamedTuple):
    """A batch that wants to be sent, and who sends it."""

    gateway: Gateway
    life: int
    stream: Stream
    call: Call
    part: Part


class JoinedCall(NamedTuple):
    """Batches that travel together, the same with every attempt."""

    shard: int
    data: bytes
    parcels: tuple[Parcel, ...]


class Post:
    """Where batches wait for others; one for all spaces of a world."""

    def __init__(self, world: World) -> None:
        self.rng = world.stream(f"spaces post {world.plan.seed}")
        self.waiting: dict[int, Parcel] = {}
        """By shard."""

    def send(self, parcel: Parcel) -> None:
        """Sends a batch, alone or with one of another space; or lets it wait for such a one."""
        part = parcel.part
        if part.joined is not None:
            _call(parcel, part.joined)
            return
        other = self.waiting.pop(part.shard, None)
        if other is None:
            if self.rng.random() < JOINS:
                self.waiting[part.shard] = parcel
                return
        elif other.part.is_answered or other.life != other.gateway.life or other.part is part:
            other = None
        elif other.gateway.world is parcel.gateway.world:
            self._send(other)
            other = None
        self._send(parcel, other)

    def _send(self, *parcels: Parcel | None) -> None:
        sent = [each for each in parcels if each is not None]
        first = sent[0]
        rules = [(each.gateway.world.control.space, each.part.version) for each in sent]
        frames = [placed.frame for each in sent for placed in each.part.placed]
        data = pack_batch(first.part.call_id, rules, frames)
        joined = JoinedCall(first.part.shard, data, tuple(sent))
        for each in sent:
            each.part.joined = joined
        _call(first, joined)


def _call(parcel: Parcel, joined: JoinedCall) -> None:
    gateway = parcel.gateway
    shard = gateway.world.shards[joined.shard]
    names = " ".join(
        each.call.attempt.events[placed.event].message_id + each.gateway.world.of_space
        for each in joined.parcels
        for placed in each.part.placed
    )
    gateway.world.call(
        gateway,
        shard,
        f"append {int.from_bytes(joined.parcels[0].part.call_id, 'big')} [{names}]",
        lambda: shard.append(joined.data),
        lambda reply: _answer(joined, reply),
    )


def _answer(joined: JoinedCall, reply: Append) -> None:
    """Hands each sender its part of the answer; who was refused for another's rules sends again."""
    start = 0
    for gateway, life, stream, call, part in joined.parcels:
        count = len(part.placed)
        its = _cut(reply, start, start + count)
        start += count
        if not gateway.up or gateway.life != life or part.is_answered:
            continue
        space = gateway.world.control.space
        if reply.stale and space not in reply.stale:
            gateway.world.note(f"{gateway.name} sends again what was refused for another space")
            # As another call: what travels with it now is in other places.
            part.call_id = gateway.world.number().to_bytes(16, "big")
            part.joined, part.is_sent = None, False
            gateway.go_on(stream)
            continue
        gateway.on_appended(stream, call, part, its)


def _cut(reply: Append, start: int, end: int) -> Append:
    """Returns what an answer says of the events from one place to another."""
    return Append(
        reply.stale,
        reply.statuses[start:end],
        reply.roots[20 * start : 20 * end],
        [
            replace(each, index=each.index - start)
            for each in reply.pending
            if start <= each.index < end
        ],
        {at - start: drops for at, drops in reply.drops.items() if start <= at < end},
        [
            replace(each, index=each.index - start)
            for each in reply.owed
            if start <= each.index < end
        ],
        {at - start: life for at, life in reply.lives.items() if start <= at < end},
    )
