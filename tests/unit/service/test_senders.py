"""What is sent together: joined calls, bounds, and a failure that stays with whom it belongs to."""

from __future__ import annotations

import asyncio

import pytest

from unify_grpc.machines.batch import Batch
from unify_grpc.machines.links import Append, Decided, PendingLink
from unify_grpc.service.backend import CommandFailedError
from unify_grpc.service.errors import ShardOverloadedError
from unify_grpc.service.link_sender import LinkSender
from unify_grpc.service.shard_sender import ShardSender

BAD = b"bad frame"


class Shards:
    """A backend whose shard cannot handle a call with a bad frame in it."""

    def __init__(self) -> None:
        self.calls: list[int] = []
        self.going_on = asyncio.Event()

    async def append(self, shard: int, batch: bytes) -> Append:
        """Stores all of a batch, or fails."""
        del shard
        await self.going_on.wait()
        count = len(Batch(batch).offsets)
        self.calls.append(count)
        if BAD in batch:
            raise CommandFailedError
        return Append({}, b"\1" * count, bytes(20 * count), [], {})


class Merging:
    """A backend whose merge actor does not answer."""

    async def link(self, links: list[PendingLink]) -> list[Decided]:
        """Never returns."""
        del links
        await asyncio.Event().wait()
        return []


async def test_what_waits_for_a_shard_travels_in_one_call() -> None:
    """While one call is under way the next one fills."""
    backend = Shards()
    sender = ShardSender(0, backend, queue_events_max=100)  # type: ignore[arg-type]  # a part of it
    first = sender.send([b"a"], 1, 1)
    await asyncio.sleep(0)
    others = [sender.send([b"b", b"c"], 1, 1) for _ in range(3)]
    backend.going_on.set()
    await asyncio.gather(first, *others)

    assert [1, 6] == backend.calls


async def test_a_batch_that_cannot_be_handled_fails_alone() -> None:
    """Callers whose events travelled in the same call get their answers."""
    backend = Shards()
    sender = ShardSender(0, backend, queue_events_max=100)  # type: ignore[arg-type]  # a part of it
    first = sender.send([b"a"], 1, 1)
    await asyncio.sleep(0)
    before, bad, after = (sender.send([each], 1, 1) for each in (b"b", BAD, b"c"))
    backend.going_on.set()

    assert b"\1" == (await first).statuses
    assert b"\1" == (await before).statuses
    assert b"\1" == (await after).statuses
    with pytest.raises(CommandFailedError):
        await bad


async def test_events_beyond_the_bound_are_refused() -> None:
    """A shard that does not answer holds up what it may, and no more."""
    sender = ShardSender(0, Shards(), queue_events_max=3)  # type: ignore[arg-type]  # a part of it
    sender.send([b"a", b"b"], 1, 1)
    sender.check_room()
    sender.send([b"c"], 1, 1)

    with pytest.raises(ShardOverloadedError):
        sender.check_room()


async def test_links_beyond_the_bound_are_refused() -> None:
    """A merge actor that does not answer holds up what it may, and no more."""
    link = PendingLink(0, 1, 0, 1, 0, 1, 1, 1, 1, 1, "m", bytes(20), None, [])
    sender = LinkSender(Merging(), queue_links_max=2)  # type: ignore[arg-type]  # a part of it
    sender.send([link])
    sender.check_room()
    sender.send([link])

    with pytest.raises(ShardOverloadedError):
        sender.check_room()
