"""From a request's events to what became of each: promote, store, link, answer.

The edges (gRPC, HTTP) turn what they receive into `Incoming` events and the `EventOutcome`s
back; between the two nothing knows of a protocol.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from unify_grpc.service.clear_sender import ClearSender
from unify_grpc.service.ingest_run import Run
from unify_grpc.service.link_sender import LinkSender
from unify_grpc.service.owed_sweeper import OwedSweeper
from unify_grpc.service.plain_events import PlainFraming
from unify_grpc.service.refusals import RefusalKeeper
from unify_grpc.service.shard_sender import ShardSender
from unify_grpc.service.side_storing import Places, SideStoring

if TYPE_CHECKING:
    from collections.abc import Sequence

    from unify_grpc.service.arrivals import Arrivals
    from unify_grpc.service.backend import Backend
    from unify_grpc.service.directory import Space, SpaceDirectory
    from unify_grpc.service.ingest_run import EventOutcome
    from unify_grpc.service.turns import Turns


class Ingestor:
    """Takes events in for all spaces."""

    def __init__(
        self, backend: Backend, directory: SpaceDirectory, *, queue_events_max: int
    ) -> None:
        self._directory = directory
        self._shard_map = backend.shard_map
        self._senders = [
            ShardSender(shard, backend, queue_events_max=queue_events_max)
            for shard in range(self._shard_map.shard_count)
        ]
        self._links = LinkSender(backend, queue_links_max=queue_events_max)
        clears = [ClearSender(shard, backend) for shard in range(self._shard_map.shard_count)]
        self._storing = SideStoring(
            self._shard_map, directory, self._senders, self._links, clears, self._keep
        )
        self.sweeper = OwedSweeper(backend, directory, self._senders, clears, self._storing.in_hand)
        self._refusals = RefusalKeeper(self._shard_map, directory, self._senders, self._keep)
        self._framings: dict[int, PlainFraming] = {}
        self._stamp_us = 0
        self._background: set[asyncio.Task[object]] = set()

    @property
    def queued_events(self) -> int:
        """How many events wait for all shards."""
        return sum(sender.queued_events for sender in self._senders)

    def take_stamps(self, count: int) -> int:
        """Returns the first of `count` stamps, one after another from the microsecond of receipt.

        All that were ever taken rise strictly. They run ahead of the clock by as many microseconds
        as a request has events, which it takes many times longer to read.
        """
        first_us = max(time.time_ns() // 1000, self._stamp_us + 1)
        self._stamp_us = first_us + count - 1
        return first_us

    async def ingest(
        self,
        incoming: Arrivals,
        space: Space,
        source: int,
        turns: Turns,
        *,
        is_resolved: bool,
        only_notable: bool,
        deadline_s: float,
    ) -> list[tuple[int, EventOutcome]]:
        """Stores events and, if `is_resolved`, waits until their links are decided and visible.

        Args:
            incoming: events in their order, also those that could not be read.
            space: whose they are.
            source: number of the source that sent them.
            turns: of the caller's stream; a unary request has its own.
            is_resolved: wait for links; else only for durability.
            only_notable: leave out what was plainly stored.
            deadline_s: from now; links that are not decided by then are answered PENDING.

        Returns:
            (index in `incoming`, what became of it), in order.

        Raises:
            ShardOverloadedError: too much is waiting; nothing of the batch was stored.
            ShardUnavailableError, StorageFullError: some of the batch may be stored.
        """
        for sender in self._senders:
            sender.check_room(deadline_s)
        loop = asyncio.get_running_loop()
        give_up = loop.time() + deadline_s
        self._links.check_room()
        first_stamp_us = self.take_stamps(len(incoming))
        run = Run(incoming, space, source, turns.stream, first_stamp_us, self._framing(space))
        task = loop.create_task(self._storing.store(run, Places.take(run, turns)))
        self._keep(task)
        handed = await asyncio.shield(task)
        await self._refusals.keep(run, timeout_s=give_up - loop.time())
        rest = handed.futures()
        if not rest:
            return run.outcomes(only_notable=only_notable)
        finish = loop.create_task(_finish(rest))
        self._keep(finish)
        if not is_resolved:
            return run.outcomes(only_notable=only_notable)
        await asyncio.wait({finish}, timeout=max(0.0, give_up - loop.time()))
        # Events whose links could not be handed over are durable all the same, and will be swept.
        for links, decided in handed.links:
            if decided.done() and decided.exception() is None:
                run.decided(links, decided.result())
        if handed.clears is not None and not _is_well(handed.clears):
            run.not_cleared()
        return run.outcomes(only_notable=only_notable)

    def _framing(self, space: Space) -> PlainFraming:
        """Returns what frames plain events of a space, under the rules it has now."""
        view = space.view
        framing = self._framings.get(view.number)
        if framing is None or framing.view is not view:
            framing = self._framings[view.number] = PlainFraming(view)
        return framing

    def _keep(self, task: asyncio.Task[object] | asyncio.Future[object]) -> None:
        """Lets work go on that nobody waits for any more."""
        assert isinstance(task, asyncio.Task)
        self._background.add(task)
        task.add_done_callback(self._forget)

    def _forget(self, task: asyncio.Task[object]) -> None:
        self._background.discard(task)
        if not task.cancelled():
            task.exception()  # whoever waits for it has it too

    async def drain(self, timeout_s: float) -> None:
        """Waits for what is under way; links left over are durable, and will be swept."""
        if self._background:
            await asyncio.wait(set(self._background), timeout=timeout_s)


def _is_well(future: asyncio.Future[None]) -> bool:
    return future.done() and not future.cancelled() and future.exception() is None


async def _finish(futures: Sequence[asyncio.Future[Any]]) -> None:
    """Waits for what goes on after an answer; what fails is swept up later."""
    await asyncio.wait(futures)
