"""Joins what waits for one shard into as few calls as it takes.

One call is under way at a time, so that what a stream sends arrives in order; while it is under
way the next one fills. A call that fails is made again with the same bytes: its batch may have
been stored, and then finds itself.
"""

from __future__ import annotations

import asyncio
import math
import secrets
import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from unify_grpc.machines.batch import CALL_ID_BYTES, pack_batch
from unify_grpc.service.backend import CommandFailedError
from unify_grpc.service.errors import ShardOverloadedError, StoreDamagedError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from unify_grpc.machines.links import PendingLink
    from unify_grpc.machines.owed_sides import OwedSide
    from unify_grpc.service.backend import Backend

CALL_EVENTS_MAX = 4000
CALL_BYTES_MAX = 8 << 20


class StaleRulesError(Exception):
    """The rules that the frames were promoted under are older than the shard's."""


@dataclass(slots=True)
class Stored:
    """What became of a parcel's frames, in their order."""

    statuses: bytearray
    roots: bytearray
    """20 bytes each."""
    pending: list[tuple[int, PendingLink]]
    """(index of the frame, its link)."""
    drops: dict[int, list[tuple[str, str, int]]]
    """Index of a duplicate frame to its stored drops: (type, value, reason)."""
    owed: list[tuple[int, OwedSide]] = field(default_factory=list)
    """(index of the frame, what it owes or owed) of each user's side that has an account's."""
    lives: dict[int, int] = field(default_factory=dict)
    """Index of an account's side to its incarnation, but for the first."""


@dataclass(slots=True)
class _Parcel:
    frames: list[bytes]
    space: int
    rules_version: int
    bytes_count: int
    searchable: Sequence[str] | None
    done: asyncio.Future[Stored] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )


class ShardSender:
    """Sends frames to one shard."""

    def __init__(self, shard: int, backend: Backend, *, queue_events_max: int) -> None:
        self._shard = shard
        self._backend = backend
        self._queue_events_max = queue_events_max
        self._queue: deque[_Parcel] = deque()
        self._events = 0
        self._worker: asyncio.Task[None] | None = None
        self._call_s = (0.0, 0.0)
        """How long the last two calls took that were answered."""

    @property
    def queued_events(self) -> int:
        """How many events wait for the shard."""
        return self._events

    def check_room(self, patience_s: float = math.inf) -> None:
        """Refuses more work while too much is waiting, or more than its caller can wait for.

        Args:
            patience_s: the caller's. A slow disk shows in the last two calls, a restart in one
                of them only. The queue is emptied a call at a time; an empty one refuses nobody.
        """
        calls = -(-self._events // CALL_EVENTS_MAX)
        if self._events >= self._queue_events_max or calls * min(self._call_s) > patience_s:
            raise ShardOverloadedError(shard=str(self._shard))

    def send(
        self,
        frames: list[bytes],
        space: int,
        rules_version: int,
        searchable: Sequence[str] | None = None,
    ) -> asyncio.Future[Stored]:
        """Queues frames; the future tells what became of them, or why not.

        Args:
            frames: all of one space.
            space: its number.
            rules_version: that they were promoted under.
            searchable: the names of the traits that its profiles are found by; None: not said.
        """
        parcel = _Parcel(frames, space, rules_version, sum(map(len, frames)), searchable)
        self._queue.append(parcel)
        self._events += len(frames)
        if self._worker is None or self._worker.done():
            self._worker = asyncio.get_running_loop().create_task(self._work())
        return parcel.done

    async def _work(self) -> None:
        while self._queue:
            parcels = self._take()
            try:
                await self._call_apart(parcels)
            except Exception as error:  # noqa: BLE001 - told to everyone who waits for it
                for parcel in parcels:
                    if not parcel.done.done():
                        parcel.done.set_exception(error)
                        parcel.done.exception()
            finally:
                self._events -= sum(len(parcel.frames) for parcel in parcels)

    async def _call_apart(self, parcels: list[_Parcel]) -> None:
        """Sends parcels in one call; if the shard cannot handle that, one by one.

        So what one caller sent, or wants to add to, cannot fail what others did.
        """
        try:
            await self._call(parcels)
        except (CommandFailedError, StoreDamagedError):
            if len(parcels) == 1:
                raise
            for parcel in parcels:
                try:
                    await self._call([parcel])
                except (CommandFailedError, StoreDamagedError) as error:
                    parcel.done.set_exception(error)
                    parcel.done.exception()

    def _take(self) -> list[_Parcel]:
        """Takes what fits one call: whole parcels, each space under one version of its rules."""
        taken: list[_Parcel] = []
        events = bytes_count = 0
        versions: dict[int, int] = {}
        while self._queue:
            parcel = self._queue[0]
            events += len(parcel.frames)
            bytes_count += parcel.bytes_count
            too_much = events > CALL_EVENTS_MAX or bytes_count > CALL_BYTES_MAX
            version = versions.setdefault(parcel.space, parcel.rules_version)
            if taken and (too_much or version != parcel.rules_version):
                break
            taken.append(self._queue.popleft())
        return taken

    async def _call(self, parcels: list[_Parcel]) -> None:
        versions = {parcel.space: parcel.rules_version for parcel in parcels}
        searchable = {
            parcel.space: parcel.searchable for parcel in parcels if parcel.searchable is not None
        }
        frames = [frame for parcel in parcels for frame in parcel.frames]
        call_id = secrets.token_bytes(CALL_ID_BYTES)
        batch = pack_batch(call_id, list(versions.items()), frames, searchable)
        began = time.monotonic()
        reply = await self._backend.append(self._shard, batch)
        self._call_s = self._call_s[1], time.monotonic() - began
        if reply.stale:
            for parcel in reversed(parcels):
                if parcel.space in reply.stale:
                    parcel.done.set_exception(StaleRulesError())
                else:
                    self._queue.appendleft(parcel)
                    self._events += len(parcel.frames)
            return
        start = 0
        pending, owed = deque(reply.pending), deque(reply.owed)
        for parcel in parcels:
            end = start + len(parcel.frames)
            stored = Stored(
                bytearray(reply.statuses[start:end]),
                bytearray(reply.roots[20 * start : 20 * end]),
                [],
                {},
            )
            while pending and pending[0].index < end:
                link = pending.popleft()
                stored.pending.append((link.index - start, link))
            if reply.drops:
                stored.drops = {
                    index - start: drops
                    for index, drops in reply.drops.items()
                    if start <= index < end
                }
            while owed and owed[0].index < end:
                side = owed.popleft()
                stored.owed.append((side.index - start, side))
            if reply.lives:
                stored.lives = {
                    index - start: life
                    for index, life in reply.lives.items()
                    if start <= index < end
                }
            start = end
            if not parcel.done.done():
                parcel.done.set_result(stored)
