"""Has refused events kept among the violations, before their callers are told.

A refused event goes to the shard of its message id's mark, in the batches that events go in. A
caller is told even if that shard is away: a refusal is no promise about a store.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from unify_grpc.machines.noted_drops import note_drops
from unify_grpc.machines.refusals import FORMAT, RefusedBody, cut_body, pack_refusal
from unify_grpc.service.shard_sender import StaleRulesError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from unify_grpc.placement.slots import ShardMap
    from unify_grpc.service.directory import Space, SpaceDirectory
    from unify_grpc.service.ingest_run import Run
    from unify_grpc.service.refused_event import RefusedEvent
    from unify_grpc.service.shard_sender import ShardSender

WAIT_S_MAX: Final = 1.0
"""For the record of a refusal; after that the caller is told, and it is kept when that succeeds."""
STALE_RETRIES_MAX: Final = 5
TYPE_CHARS_MAX: Final = 64


class RefusalKeeper:
    """Sends refused events to shards."""

    def __init__(
        self,
        shard_map: ShardMap,
        directory: SpaceDirectory,
        senders: Sequence[ShardSender],
        keep: Callable[[asyncio.Task[object]], None],
    ) -> None:
        """Takes the senders by shard; `keep` holds tasks that nobody waits for."""
        self._shard_map = shard_map
        self._directory = directory
        self._senders = senders
        self._keep = keep

    async def keep(self, run: Run, *, timeout_s: float) -> None:
        """Returns when a request's refused events are kept, or after a moment without that."""
        refused = run.refused()
        if not refused:
            return
        by_shard: dict[int, list[bytes]] = {}
        for each in refused:
            mark, frame = _frame(each, run)
            by_shard.setdefault(self._shard_map.shard_of(mark), []).append(frame)
        tasks = [
            asyncio.get_running_loop().create_task(self._send(run.space, shard, frames))
            for shard, frames in by_shard.items()
        ]
        for task in tasks:
            self._keep(task)
        await asyncio.wait(tasks, timeout=min(WAIT_S_MAX, max(0.0, timeout_s)))

    async def _send(self, space: Space, shard: int, frames: list[bytes]) -> None:
        for _ in range(STALE_RETRIES_MAX):
            try:
                await self._senders[shard].send(frames, space.view.number, space.view.rules.version)
            except StaleRulesError:
                # Refused is refused; only the shard wants to hear of the rules that it knows.
                await self._directory.renew()
                space = self._directory.present(space)
            else:
                return


def _frame(refused: RefusedEvent, run: Run) -> tuple[bytes, bytes]:
    """Returns the mark of a refused event's message id, and its frame."""
    view = run.space.view
    mark = view.marks.mark(refused.body.message_id)
    body, omitted = cut_body(refused.body)
    kept = RefusedBody(
        FORMAT,
        int(refused.reason),
        refused.type[:TYPE_CHARS_MAX],
        body,
        list(dict.fromkeys([*refused.omitted, *omitted])),
        note_drops(refused.drops, view.keys),
    )
    frame = pack_refusal(
        kept,
        space=view.number,
        source=run.source,
        stamp_us=refused.stamp_us,
        stream=run.stream,
        mark=mark,
    )
    return mark, frame
