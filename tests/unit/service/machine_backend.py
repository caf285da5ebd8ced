"""A gateway's backend made of machines in process, whose shards can be away or slow."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tests.engine.in_process import InProcessService
from tests.engine.messages import body_of
from unify_grpc.identity.events import from_segment_message
from unify_grpc.machines.batch import EVENT_TYPES, FLAG_ACCOUNT_SIDE, Batch
from unify_grpc.machines.control_records import RulesVersion, SpaceRecord
from unify_grpc.machines.framing import SpaceView
from unify_grpc.machines.links import encode
from unify_grpc.service.arrivals import Incoming
from unify_grpc.service.directory import Space
from unify_grpc.service.errors import ShardUnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from unify_grpc.machines.links import Append, Decided, PendingLink
    from unify_grpc.machines.owed_sides import ClearedSide, OwedSide
    from unify_grpc.placement.slots import ShardMap


class MachineBackend:
    """What of a `Backend` ingesting needs."""

    def __init__(self, shards: int = 3) -> None:
        self.service = InProcessService({}, shards=shards)
        self.away: set[int] = set()
        """Shards that take nothing in."""
        self.holding: dict[str, asyncio.Event] = {}
        """By message id: its batches wait for the event before they arrive."""
        self.appends: list[list[str]] = []
        """Of each call, `message id/collection` of its events, in the order of arrival."""
        self.links: list[list[str]] = []
        """Of each call, the same of its links."""
        self.appended, self.linked = asyncio.Event(), asyncio.Event()
        """Set by the first of these calls."""
        self.clears_count = 0

    @property
    def shard_map(self) -> ShardMap:
        """Which shard owns what."""
        return self.service.shard_map

    async def append(self, shard: int, batch: bytes) -> Append:
        """Stores a batch."""
        opened = Batch(batch)
        names = []
        for index in range(len(opened.offsets)):
            frame = opened.frame(index)
            message_id = opened.body(index, frame).message_id
            names.append(f"{message_id}/{'account' if frame.flags & FLAG_ACCOUNT_SIDE else 'user'}")
            if (held := self.holding.get(names[-1])) is not None:
                await held.wait()
        await asyncio.sleep(0)
        self._check(shard)
        self.appends.append(names)
        self.appended.set()
        here = self.service.shards[shard]
        reply: Append = here.execute(here.machine.append(batch, here.store.next_number))
        return reply

    async def link(self, links: list[PendingLink]) -> list[Decided]:
        """Has links decided."""
        await asyncio.sleep(0)
        service = self.service
        service.calls += 1
        names = ("user", "account")
        self.linked.set()
        self.links.append([f"{each.message_id}/{names[each.collection]}" for each in links])
        service.run_merge(service.merge.link(service.calls, links, service.merge_store.next_number))
        return service.answers.pop(service.calls)

    async def clear_owed(self, shard: int, sides: list[ClearedSide]) -> None:
        """Ends marks."""
        await asyncio.sleep(0)
        self._check(shard)
        self.clears_count += 1
        here = self.service.shards[shard]
        here.execute(here.machine.clear_owed(encode(sides)))

    async def list_owed(self, shard: int, *, before_us: int, sides_max: int) -> list[OwedSide]:
        """Lists what is owed."""
        await asyncio.sleep(0)
        self._check(shard)
        machine = self.service.shards[shard].machine
        return machine.list_owed(before_us=before_us, sides_max=sides_max)

    def owed_count(self) -> int:
        """Returns how many accounts' sides are owed."""
        return sum(len(shard.machine.owed) for shard in self.service.shards)

    def _check(self, shard: int) -> None:
        if shard in self.away:
            raise ShardUnavailableError(actor=f"shard {shard}")


class OneSpace:
    """A gateway's directory of one space; its rules may become newer than those it knows."""

    def __init__(self, backend: MachineBackend) -> None:
        self.backend = backend
        self.space = self._newest()

    async def renew(self) -> None:
        """Learns of the newest rules."""
        self.space = self._newest()

    def present(self, space: Space) -> Space:
        """Returns the space as it is known now."""
        assert space.record.number == self.space.record.number
        return self.space

    def spaces(self) -> list[Space]:
        """Returns all spaces."""
        return [self.space]

    async def see_types(self, space: Space, types: Iterable[str]) -> Space:
        """Meets new types."""
        service = self.backend.service
        rules = service.space.rules
        met = (rules.met_types or frozenset()).union(types)
        service.space = replace(service.space, rules=rules.meeting(met))
        await self.renew()
        return self.present(space)

    def _newest(self) -> Space:
        view: SpaceView = self.backend.service.space
        version = view.rules.version
        record = SpaceRecord(1, 1, view.number, "spc_1", "test", 0, b"", version)
        return Space(record, view, RulesVersion(1, version, b"{}", 0, ""))


def incoming(*messages: dict[str, Any]) -> list[Incoming]:
    """Returns Segment messages as an edge hands them to an `Ingestor`."""
    found = []
    for message in messages:
        assert message["type"] in EVENT_TYPES
        event = from_segment_message(message)
        found.append(Incoming(event, body_of(event, message, 1, 0)))
    return found
