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
    from collections.abc import Sequence

INGEST_STREAM = "/unify.v1.IngestService/IngestStream"
INGEST = "/unify.v1.IngestService/Ingest"
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

    async def send(
        self, streams: Sequence[list[bytes]], *, is_unary: bool = False, interval_s: float = 0.0
    ) -> Sent:
        """Sends everything; the time counts from the first batch to the last answer.

        Args:
            streams: the batches of each.
            is_unary: whether each batch is a call of its own, sent when the one before it is
                answered.
            interval_s: from one batch of a stream to its next, whatever is answered by then;
                0: as soon as the window has room.
        """
        self._answers_ms, self._results = [], Counter()
        began = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for number, batches in enumerate(streams):
                if interval_s:
                    # By turns, as callers who know nothing of each other would on average.
                    due = began + interval_s * number / len(streams)
                    group.create_task(self._send_at_intervals(batches, due, interval_s))
                else:
                    send = self._send_calls if is_unary else self._send_stream
                    group.create_task(send(batches))
        return Sent(time.perf_counter() - began, self._answers_ms, dict(self._results))

    async def _send_stream(self, batches: list[bytes]) -> None:
        async with grpc.aio.insecure_channel(self._address, _CHANNEL_OPTIONS) as channel:
            call = self._open_stream(channel)
            sent: deque[float] = deque()
            for batch in batches:
                if len(sent) == self._window_batches:
                    await self._take_answer(call, sent)
                sent.append(time.perf_counter())
                await call.write(batch)
            await call.done_writing()
            while sent:
                await self._take_answer(call, sent)

    async def _send_at_intervals(
        self, batches: list[bytes], began: float, interval_s: float
    ) -> None:
        async with grpc.aio.insecure_channel(self._address, _CHANNEL_OPTIONS) as channel:
            call = self._open_stream(channel)
            sent: deque[float] = deque()
            async with asyncio.TaskGroup() as group:
                group.create_task(self._take_answers(call, sent, len(batches)))
                for number, batch in enumerate(batches):
                    due = began + number * interval_s
                    await asyncio.sleep(max(0.0, due - time.perf_counter()))
                    # From when it was due: a service that does not take it yet delays it.
                    sent.append(due)
                    await call.write(batch)
                await call.done_writing()

    def _open_stream(self, channel: grpc.aio.Channel) -> Any:
        return channel.stream_stream(
            INGEST_STREAM,
            request_serializer=None,
            response_deserializer=ingest_service_pb2.IngestStreamResponse.FromString,
        )(metadata=self._metadata)

    async def _take_answers(self, call: Any, sent: deque[float], count: int) -> None:
        for _ in range(count):
            await self._take_answer(call, sent)

    async def _send_calls(self, batches: list[bytes]) -> None:
        async with grpc.aio.insecure_channel(self._address, _CHANNEL_OPTIONS) as channel:
            # A call's time is not that of connecting.
            await channel.channel_ready()
            ingest: Any = channel.unary_unary(
                INGEST,
                # Both requests have the same fields.
                request_serializer=None,
                response_deserializer=ingest_service_pb2.IngestResponse.FromString,
            )
            for batch in batches:
                began = time.perf_counter()
                answer = await ingest(batch, metadata=self._metadata, timeout=ANSWER_TIMEOUT_S)
                self._note(answer, began)

    async def _take_answer(self, call: Any, sent: deque[float]) -> None:
        answer = await asyncio.wait_for(call.read(), ANSWER_TIMEOUT_S)
        if answer is grpc.aio.EOF:
            message = f"the stream ended early: {await call.code()}: {await call.details()}"
            raise ConnectionError(message)
        self._note(answer, sent.popleft())

    def _note(self, answer: Any, began: float) -> None:
        self._answers_ms.append((time.perf_counter() - began) * 1000)
        for result in answer.results:
            self._results[ingest_service_pb2.EventStatus.Name(result.status)] += 1
            self._results["DROPS"] += len(result.drops)
