"""Has shards make search complete after a space names another searchable trait.

Every gateway does, and it is the shards that know how far they are: what several ask for is done
once.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from unify_grpc.telemetry.logs import get_logger

if TYPE_CHECKING:
    from unify_grpc.service.backend import Backend

INTERVAL_S: Final = 5.0
SLICE_PAUSE_S: Final = 0.05
"""Between two slices of a shard, so that batches go in between."""


class SearchFiller:
    """Asks the shards from time to time."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    async def run(self) -> None:
        """Asks now and then for as long as the gateway serves."""
        log = get_logger("gateway")
        while True:
            try:
                await self.fill()
            except Exception as error:  # noqa: BLE001 - tried again in a moment
                log.warning("search_not_filled", error=type(error).__name__)
            await asyncio.sleep(INTERVAL_S)

    async def fill(self) -> None:
        """Returns when search is complete on all shards.

        Raises:
            ShardUnavailableError, StoreFullError: some shard does not answer or has no room.
        """
        shards = range(self._backend.shard_map.shard_count)
        await asyncio.gather(*(self._fill_shard(shard) for shard in shards))

    async def _fill_shard(self, shard: int) -> None:
        while True:
            if await self._backend.fill_search(shard):
                return
            await asyncio.sleep(SLICE_PAUSE_S)
