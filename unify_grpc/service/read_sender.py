"""Joins questions that wait for one shard into one call."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

from unify_grpc.service.errors import StoreDamagedError

if TYPE_CHECKING:
    from unify_grpc.machines.reads import Answer, Question
    from unify_grpc.service.backend import Backend

_Asked = tuple["list[Question]", "asyncio.Future[list[Answer]]"]

QUESTIONS_MAX = 500
CALLS_MAX = 2
"""One is answered while one is under way."""


class ReadSender:
    """Joins questions that wait for one shard into one call, at most two at a time."""

    def __init__(self, shard: int, backend: Backend) -> None:
        self._shard = shard
        self._backend = backend
        self._queue: deque[_Asked] = deque()
        self._workers: set[asyncio.Task[None]] = set()

    async def ask(self, questions: list[Question]) -> list[Answer]:
        """Returns the answers to questions, in their order."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[list[Answer]] = loop.create_future()
        self._queue.append((questions, answer))
        if len(self._workers) < CALLS_MAX:
            worker = loop.create_task(self._work())
            self._workers.add(worker)
            worker.add_done_callback(self._workers.discard)
        return await answer

    async def _work(self) -> None:
        while self._queue:
            taken: list[_Asked] = []
            count = 0
            while self._queue and count < QUESTIONS_MAX:
                taken.append(self._queue.popleft())
                count += len(taken[-1][0])
            await self._call_apart(taken)

    async def _call_apart(self, taken: list[_Asked]) -> None:
        """Asks in one call; where that meets a damaged value, each caller's by themselves."""
        try:
            await self._call(taken)
        except Exception as error:  # noqa: BLE001 - told to everyone who waits for it
            if isinstance(error, StoreDamagedError) and len(taken) > 1:
                for each in taken:
                    await self._call_apart([each])
                return
            for _, answer in taken:
                if not answer.done():
                    answer.set_exception(error)

    async def _call(self, taken: list[_Asked]) -> None:
        questions = [question for asked, _ in taken for question in asked]
        answers = await self._backend.read(self._shard, questions)
        start = 0
        for asked, answer in taken:
            if not answer.done():
                answer.set_result(answers[start : start + len(asked)])
            start += len(asked)
