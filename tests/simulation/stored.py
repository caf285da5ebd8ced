"""What the shards' logs hold, read on its own: the events, and which of them were links."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

from tests.simulation.violation import require
from unify_grpc.identity.identifiers import ACCOUNTS, USERS, Identifier
from unify_grpc.machines.batch import (
    EVENT_TYPES,
    FLAG_ACCOUNT_SIDE,
    FLAG_COUNTERPART,
    FLAG_HISTORY,
    Batch,
)
from unify_grpc.machines.links import Push, decoder
from unify_grpc.placement.members import KEY_BYTES, incarnation_of, member_of

if TYPE_CHECKING:
    from tests.simulation.ledger import MessageKey
    from tests.simulation.nodes import ShardNode
    from tests.simulation.world import World

_HEAD = struct.Struct("<BH")
_DUPLICATE = struct.Struct("<HQ")
_PUSH = decoder(Push)
LinkKey = tuple[int, int]
"""(shard, log position)."""


class Stored(NamedTuple):
    """One event in a log."""

    at: LinkKey
    type: str
    identifiers: tuple[Identifier, ...]
    """The anchor first."""
    message_id: str
    traits: bytes
    time_us: int
    stamp_us: int
    stream: int
    rules_version: int
    member: bytes
    """Of the anchor: in the life that its name was in then."""
    is_history: bool
    """Whether it links nothing and founds nothing: an alias where rules link none."""
    is_pair: bool
    """Whether it is a side of an event that has another."""

    @property
    def key(self) -> MessageKey:
        """What makes it this message."""
        return self.identifiers[0], self.message_id


class Logs:
    """All events of one space in all logs, and its links that were cleared."""

    def __init__(self, world: World) -> None:
        self.space = world.control.space
        self.events: dict[LinkKey, Stored] = {}
        self.by_key: dict[MessageKey, list[Stored]] = {}
        """The same; of one shard, so in the order they were stored."""
        self.of_others: set[LinkKey] = set()
        """Events of other spaces."""
        self.cleared: set[LinkKey] = set()
        for shard in world.shards:
            self._read(shard)
        self.cleared -= self.of_others

    def _read(self, shard: ShardNode) -> None:
        newest = 0
        lives: dict[bytes, int] = {}
        for number, record in sorted(shard.store.log.items()):
            if record[:1] == b"P":
                push = _PUSH.decode(record[1:])
                self.cleared.update((shard.number, clear.position) for clear in push.clears)
                _follow(lives, push)
                continue
            if record[:1] == b"W":
                continue
            _, count = _HEAD.unpack_from(record)
            duplicates = {
                _DUPLICATE.unpack_from(record, _HEAD.size + each * _DUPLICATE.size)[0]
                for each in range(count)
            }
            batch = Batch(record, _HEAD.size + count * _DUPLICATE.size)
            for _, version in (each for each in batch.rules if each[0] == self.space):
                require(version >= newest, f"{shard.name}: stored under rules {version} < {newest}")
                newest = version
            for index in range(len(batch.offsets)):
                if index in duplicates:
                    continue
                if batch.frame(index).space != self.space:
                    self.of_others.add((shard.number, number << 16 | index))
                    continue
                stored = _stored(shard.number, number, batch, index, lives)
                self.events[stored.at] = stored
                self.by_key.setdefault(stored.key, []).append(stored)


def _follow(lives: dict[bytes, int], push: Push) -> None:
    """Moves names on: as they were deleted, or as a later life of theirs was bound."""
    begun = [(each.key, each.incarnation) for each in push.names]
    begun += [(each.member[:KEY_BYTES], incarnation_of(each.member)) for each in push.bindings]
    for key, life in begun:
        lives[key] = max(life, lives.get(key, 0))


def _stored(shard: int, number: int, batch: Batch, index: int, lives: dict[bytes, int]) -> Stored:
    key = batch.keys(index, 1)[0]
    frame = batch.frame(index)
    body = batch.body(index, frame)
    collection = ACCOUNTS if frame.flags & FLAG_ACCOUNT_SIDE else USERS
    return Stored(
        (shard, number << 16 | index),
        EVENT_TYPES[frame.type],
        tuple(Identifier(collection, each.type, each.value) for each in batch.identifiers(index)),
        body.message_id,
        body.traits,
        frame.time_us,
        frame.stamp_us,
        frame.stream,
        max(version for space, version in batch.rules if space == frame.space),
        member_of(key, lives.get(key, 0)),
        bool(frame.flags & FLAG_HISTORY),
        bool(frame.flags & FLAG_COUNTERPART),
    )
