"""The sending process: builds its traffic beforehand, sends it when told, checks what came of it.

Started by `client_process`. Reads one word a line from standard input and answers each step with
one JSON object a line on standard output, so that the process that started it can look at the
clocks in between.
"""

from __future__ import annotations

import asyncio
import dataclasses
import gc
import json
import sys
import time
from collections import Counter, deque
from typing import TYPE_CHECKING, Any

import grpc

from bench.conversation import Built, Checked, Order, Sent
from bench.ledger import Tally
from bench.profile_check import check_profiles
from bench.workload import Stream, check_sample
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


def main() -> None:
    """Does what it is told, step by step, until standard input ends."""
    order = Order(**json.loads(sys.argv[1]))
    streams = [Stream(order.seed, number) for number in range(order.streams)]
    warm_up = _build(streams, order.warm_up_events, order.batch, order.warm_up_arrivals)
    measured = _build(streams, order.events, order.batch, order.arrivals)
    # What was built stays until the end: looking through it for garbage would cost the send.
    gc.freeze()
    gc.disable()
    _say(Built(warm_up[1], measured[1]))
    sender = Sender(_hear(), order.write_key, order.window)
    _say(asyncio.run(sender.send(warm_up[0])))
    _hear()
    _say(asyncio.run(sender.send(measured[0])))
    address = _hear()
    sample = check_sample(streams, order.seed, order.profiles_checked)
    _say(Checked(*asyncio.run(check_profiles(address, order.access_token, sample))))
    _hear()


def _build(
    streams: list[Stream], events: int, batch: int, arrivals: int
) -> tuple[list[list[bytes]], Tally]:
    """Returns the batches of each stream, and what is in all of them."""
    built: list[list[bytes]] = []
    total = Tally()
    for stream in streams:
        batches, tally = stream.batches(
            events // len(streams), batch_events=batch, arrivals_per_mille=arrivals
        )
        built.append(batches)
        total.add(tally)
    return built, total


def _say(step: Built | Sent | Checked) -> None:
    sys.stdout.write(json.dumps(dataclasses.asdict(step)) + "\n")
    sys.stdout.flush()


def _hear() -> str:
    return sys.stdin.readline().strip()


if __name__ == "__main__":
    main()
