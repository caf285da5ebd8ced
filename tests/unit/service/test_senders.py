"""What is sent together: joined calls, bounds, and a failure that stays with whom it belongs to."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from unify_grpc.machines.batch import Batch
from unify_grpc.machines.links import Append, Decided, PendingLink
from unify_grpc.machines.part_reports import MergeReport, ShardReport
from unify_grpc.placement.slots import ShardMap
from unify_grpc.service.backend import CommandFailedError
from unify_grpc.service.errors import (
    ShardOverloadedError,
    StoreDamagedError,
    StoreFullError,
)
from unify_grpc.service.link_sender import LinkSender
from unify_grpc.service.read_sender import ReadSender
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


async def test_nobody_waits_longer_than_they_can() -> None:
    """While a shard is slow, more than its caller can wait for is refused at once; one slow call
    alone, as after a restart, refuses nobody, and neither does an empty queue.
    """
    backend = Shards()
    sender = ShardSender(0, backend, queue_events_max=100)  # type: ignore[arg-type]  # a part of it
    sender._call_s = (0.0, 6.0)
    waiting = [sender.send([b"a"], 1, 1)]
    sender.check_room(5.0)
    sender._call_s = (6.0, 6.0)
    sender.check_room(7.0)
    with pytest.raises(ShardOverloadedError):
        sender.check_room(5.0)
    backend.going_on.set()
    await asyncio.gather(*waiting)
    sender._call_s = (6.0, 6.0)
    await asyncio.sleep(0)

    sender.check_room(5.0)


class FullMerging:
    """A backend whose merge actor has no room, until it has."""

    def __init__(self) -> None:
        self.is_full = True
        self.is_shard_full = False
        self.shard_map = ShardMap(1)

    async def merge_status(self) -> MergeReport:
        """Says whether there is room."""
        return MergeReport(0, 0, 0, 0, self.is_full, 0)

    async def shard_status(self, shard: int) -> ShardReport:
        """Says whether a push has room."""
        del shard
        return ShardReport(0, 0, 0, 0, 0, 0, 0, 0, self.is_shard_full, 0)

    async def link(self, links: list[PendingLink]) -> list[Decided]:
        """Decides, if there is room."""
        if self.is_full:
            raise StoreFullError(actor="merge-0", full="disk")
        return [Decided(0, 1, 1, bytes(20), [])] * len(links)


async def test_links_that_stay_pending_for_want_of_room_are_bounded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """So many may; then events are refused, but for an attempt now and then, and all are taken
    again when one succeeds.
    """
    link = PendingLink(0, 1, 0, 1, 0, 1, 1, 1, 1, 1, "m", bytes(20), None, [])
    backend = FullMerging()
    sender = LinkSender(backend, queue_links_max=2)  # type: ignore[arg-type]  # a part of it
    for _ in range(2):
        sender.check_room()
        with pytest.raises(StoreFullError):
            await sender.send([link])
    sender.check_room()
    with pytest.raises(StoreFullError) as refused:
        sender.check_room()
    assert {"actor": "merge-0", "full": "disk"} == refused.value.metadata
    monkeypatch.setattr("unify_grpc.service.link_sender.FULL_PAUSE_S", 0.0)
    backend.is_full = False
    sender._attempt_due = 0.0
    sender.check_room()
    await sender.send([link])

    sender.check_room()
    sender.check_room()


async def test_events_are_taken_again_where_no_link_tells_of_room() -> None:
    """Once all stores have room an attempt without a link is followed by all the rest; while the
    merge actor or a shard is full, one refusal more follows each attempt.
    """
    link = PendingLink(0, 1, 0, 1, 0, 1, 1, 1, 1, 1, "m", bytes(20), None, [])
    backend = FullMerging()
    sender = LinkSender(backend, queue_links_max=1)  # type: ignore[arg-type]  # a part of it
    with pytest.raises(StoreFullError):
        await sender.send([link])

    async def attempt() -> None:
        sender._attempt_due = 0.0
        sender.check_room()
        assert sender._look is not None
        await sender._look

    for merge_full, shard_full in ((True, False), (False, True)):
        backend.is_full, backend.is_shard_full = merge_full, shard_full
        await attempt()
        with pytest.raises(StoreFullError):
            sender.check_room()
    backend.is_full, backend.is_shard_full = False, False
    await attempt()

    sender.check_room()
    sender.check_room()


class DamagedShards(Shards):
    """A backend whose shard meets a damaged value in a call with a bad frame or question in it."""

    async def append(self, shard: int, batch: bytes) -> Append:
        """Stores all of a batch, or meets damage."""
        await self.going_on.wait()
        if BAD in batch:
            raise StoreDamagedError(actor=f"shard-{shard}")
        return await super().append(shard, batch)

    async def read(self, shard: int, questions: list[Any]) -> list[Any]:
        """Answers all questions, or meets damage."""
        await self.going_on.wait()
        self.calls.append(len(questions))
        if BAD in questions:
            raise StoreDamagedError(actor=f"shard-{shard}")
        return questions


async def test_a_damaged_value_fails_its_own_batch() -> None:
    """Callers whose events travelled in the same call get their answers."""
    backend = DamagedShards()
    sender = ShardSender(0, backend, queue_events_max=100)  # type: ignore[arg-type]  # a part of it
    first = sender.send([b"a"], 1, 1)
    await asyncio.sleep(0)
    bad, after = sender.send([BAD], 1, 1), sender.send([b"c"], 1, 1)
    backend.going_on.set()

    assert b"\1" == (await first).statuses
    assert b"\1" == (await after).statuses
    with pytest.raises(StoreDamagedError):
        await bad


async def test_a_damaged_value_fails_its_own_reader() -> None:
    """Questions that travelled in the same call are answered."""
    backend: Any = DamagedShards()
    sender = ReadSender(0, backend)
    questions: list[Any] = [b"a", b"b", b"c", BAD, b"e"]
    asked = [asyncio.ensure_future(sender.ask([each])) for each in questions]
    await asyncio.sleep(0)
    backend.going_on.set()
    answers: list[Any] = await asyncio.gather(*asked, return_exceptions=True)

    assert [[b"a"], [b"b"], [b"c"]] == answers[:3]
    assert [b"e"] == answers[4]
    assert isinstance(answers[3], StoreDamagedError)
