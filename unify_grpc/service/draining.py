"""Whether this gateway is about to stop, for everything that has to know."""

from __future__ import annotations

import asyncio

from unify_grpc.service.errors import ShardUnavailableError


class Draining:
    """Off while the gateway serves; turned on once, for good."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def start(self) -> None:
        """From now on new calls are refused, and streams take no further batches."""
        self._event.set()

    @property
    def is_on(self) -> bool:
        """Whether draining has started."""
        return self._event.is_set()

    async def wait(self) -> None:
        """Returns when draining starts."""
        await self._event.wait()

    def check(self) -> None:
        """Refuses new work while draining; the caller may try again, here or elsewhere."""
        if self._event.is_set():
            raise ShardUnavailableError("The service is stopping; try again after a pause.")
