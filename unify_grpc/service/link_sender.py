"""Hands links over to the merge actor, in the order in which they are queued.

What waits is joined into one call, and one call is under way at a time: calls to an asynchronous
actor may start in another order than they were made in.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from unify_grpc.service.backend import CommandFailedError
from unify_grpc.service.errors import ShardOverloadedError, StoreFullError, UnifyError

if TYPE_CHECKING:
    from unify_grpc.machines.links import Decided, PendingLink
    from unify_grpc.service.backend import Backend

CALL_LINKS_MAX = 2000
FULL_PAUSE_S: Final = 1.0
"""While the merge actor has no room and enough links stay pending: between two attempts."""
LOOK_TIMEOUT_S: Final = 5.0

_Parcel = tuple["list[PendingLink]", "asyncio.Future[list[Decided]]"]


class LinkSender:
    """Sends links to the merge actor."""

    def __init__(self, backend: Backend, *, queue_links_max: int) -> None:
        self._backend = backend
        self._queue_links_max = queue_links_max
        self._links = 0
        self._queue: deque[_Parcel] = deque()
        self._worker: asyncio.Task[None] | None = None
        self._left = 0
        """Links that stay pending since the merge actor last had room."""
        self._full: StoreFullError | None = None
        self._attempt_due = 0.0
        self._look: asyncio.Task[None] | None = None

    def check_room(self) -> None:
        """Refuses more work while too many links wait for the merge actor, or for room there."""
        now = asyncio.get_running_loop().time()
        if self._full is not None and self._left >= self._queue_links_max:
            if now < self._attempt_due:
                raise StoreFullError(str(self._full), **self._full.metadata)
            self._attempt_due = now + FULL_PAUSE_S
            # What is let through now may bring no link, hence tell nothing.
            if self._look is None or self._look.done():
                self._look = asyncio.get_running_loop().create_task(self._look_for_room(self._full))
        if self._links >= self._queue_links_max:
            raise ShardOverloadedError(
                "Too many links wait to be decided; try again after a pause."
            )

    def send(self, links: list[PendingLink]) -> asyncio.Future[list[Decided]]:
        """Queues links; the future tells how they were decided, once that is visible."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[list[Decided]] = loop.create_future()
        self._queue.append((links, done))
        self._links += len(links)
        if self._worker is None or self._worker.done():
            self._worker = loop.create_task(self._work())
        return done

    async def _look_for_room(self, refusal: StoreFullError) -> None:
        """Takes all again if the merge actor and the shards that it pushes to say there is room."""
        shards = range(self._backend.shard_map.shard_count)
        # Without an answer nothing is known, and the next attempt asks again.
        with suppress(UnifyError, CommandFailedError, TimeoutError):
            async with asyncio.timeout(LOOK_TIMEOUT_S):
                merge = await self._backend.merge_status()
                reports = [await self._backend.shard_status(shard) for shard in shards]
            is_full = merge.is_full or any(report.is_full for report in reports)
            # A refusal that came in the meantime is newer than what was found.
            if not is_full and self._full is refusal:
                self._left, self._full = 0, None

    async def _work(self) -> None:
        while self._queue:
            taken: list[_Parcel] = []
            count = 0
            while self._queue and count < CALL_LINKS_MAX:
                taken.append(self._queue.popleft())
                count += len(taken[-1][0])
            try:
                decided = await self._backend.link([link for links, _ in taken for link in links])
            except Exception as error:  # noqa: BLE001 - told to everyone who waits for it
                if isinstance(error, StoreFullError):
                    self._left += count
                    self._full = error
                for _, done in taken:
                    if not done.done():
                        done.set_exception(error)
                        done.exception()
                continue
            finally:
                self._links -= count
            self._left, self._full = 0, None
            start = 0
            for links, done in taken:
                if not done.done():
                    done.set_result(decided[start : start + len(links)])
                start += len(links)
