"""Callers of the merge actor that wait for what their command ends in."""

from __future__ import annotations

import asyncio
from typing import Generic, TypeVar

from actors.hosting import RefusedError

ResultT = TypeVar("ResultT")


class WaitingCalls(Generic[ResultT]):
    """Calls by the number that the machine knows them by. For one event loop."""

    def __init__(self) -> None:
        self._calls: dict[int, tuple[float, asyncio.Future[ResultT]]] = {}

    def add(self, number: int) -> asyncio.Future[ResultT]:
        """Returns what a call waits for; `RefusedError` if it is told to wait no longer."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[ResultT] = loop.create_future()
        self._calls[number] = loop.time(), future
        return future

    def answer(self, number: int, result: ResultT) -> None:
        """Answers a call; one that is not waited for any more is passed over."""
        _, future = self._calls.pop(number, (0.0, None))
        if future is not None and not future.done():
            future.set_result(result)

    def refuse(self, reason: str, *, waited_s_min: float = 0.0) -> None:
        """Has the calls that have waited for so long wait no longer."""
        before = asyncio.get_running_loop().time() - waited_s_min
        for number, (since, future) in list(self._calls.items()):
            if since > before:
                return  # they are in the order of their beginning
            del self._calls[number]
            if not future.done():
                future.set_exception(RefusedError(reason))
