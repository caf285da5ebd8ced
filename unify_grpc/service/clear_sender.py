"""Tells one shard which of its owed sides are durable, joining what waits into one call."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from unify_grpc.machines.owed_sides import ClearedSide
    from unify_grpc.service.backend import Backend

CALL_SIDES_MAX = 4000

_Parcel = tuple["list[ClearedSide]", "asyncio.Future[None]"]


class ClearSender:
    """Clears marks of one shard, one call at a time. It needs no bound: what waits was stored."""

    def __init__(self, shard: int, backend: Backend) -> None:
        self._shard = shard
        self._backend = backend
        self._queue: deque[_Parcel] = deque()
        self._worker: asyncio.Task[None] | None = None

    def send(self, sides: list[ClearedSide]) -> asyncio.Future[None]:
        """Queues sides; the future ends when users show their links too, or says why not."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()
        self._queue.append((sides, done))
        if self._worker is None or self._worker.done():
            self._worker = loop.create_task(self._work())
        return done

    async def _work(self) -> None:
        while self._queue:
            taken: list[_Parcel] = []
            count = 0
            while self._queue and count < CALL_SIDES_MAX:
                taken.append(self._queue.popleft())
                count += len(taken[-1][0])
            try:
                sides = [side for listed, _ in taken for side in listed]
                await self._backend.clear_owed(self._shard, sides)
            except Exception as error:  # noqa: BLE001 - told to everyone who waits for it
                for _, done in taken:
                    if not done.done():
                        done.set_exception(error)
                        done.exception()
                continue
            for _, done in taken:
                if not done.done():
                    done.set_result(None)
