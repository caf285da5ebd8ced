"""Sends batches that are written already, each stream over a connection of its own."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from typing import TYPE_CHECKING, Any

import grpc

from bench.conversation import Sent
from unify_grpc._pb.unify.v1 import ingest_service_pb2

if TYPE_CHECKING:
    from collections.abc import Iterable

INGEST_STREAM = "/unify.v1.IngestService/IngestStream"
ANSWER_TIMEOUT_S = 60.0
_CHANNEL_OPTIONS = [("grpc.use_local_subchannel_pool", 1)]
"""So that each stream is a connection of its own, as of different callers."""


class Sender:
    """Sends the batches of all streams, each with a window of its own, and keeps the times."""

    def __init__(self, address: str, write_key: str, window_batches: int) -> None:
        """Takes where to send, and how many batches of a stream may await their answer."""
        self._address = address
        self._metadata = (("authorization", f"Bearer {write_key}"),)
        self._window_batches = window_batches
        self._answers_ms: list[float] = []
        self._results: Counter[str] = Counter()

    async def send(self, streams: Iterable[list[bytes]]) -> Sent:
        """Sends everything; the time counts from the first batch to the last answer."""
        self._answers_ms, self._results = [], Counter()
        began = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for batches in streams:
                group.create_task(self._send_stream(batches))
        return Sent(time.perf_counter() - began, self._answers_ms, dict(self._results))

    async def _send_stream(self, batches: list[bytes]) -> None:
        async with grpc.aio.insecure_channel(self._address, _CHANNEL_OPTIONS) as channel:
            call: Any = channel.stream_stream(
                INGEST_STREAM,
                request_serializer=None,
                response_deserializer=ingest_service_pb2.IngestStreamResponse.FromString,
            )(metadata=self._metadata)
            sent: deque[float] = deque()
            for batch in batches:
                if len(sent) == self._window_batches:
                    await self._take_answer(call, sent)
                sent.append(time.perf_counter())
                await call.write(batch)
            await call.done_writing()
            while sent:
                await self._take_answer(call, sent)

    async def _take_answer(self, call: Any, sent: deque[float]) -> None:
        answer = await asyncio.wait_for(call.read(), ANSWER_TIMEOUT_S)
        if answer is grpc.aio.EOF:
            message = f"the stream ended early: {await call.code()}: {await call.details()}"
            raise ConnectionError(message)
        self._answers_ms.append((time.perf_counter() - sent.popleft()) * 1000)
        for result in answer.results:
            self._results[ingest_service_pb2.EventStatus.Name(result.status)] += 1
            self._results["DROPS"] += len(result.drops)
