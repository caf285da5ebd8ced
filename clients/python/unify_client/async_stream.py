"""One bidirectional call of the asynchronous client.

A task of its own writes: the service may stop reading until its answers are read, so nobody may
wait for a write before reading.

grpc.aio replaces the status of a call that has ended by an INTERNAL of its own where a write comes
too late (grpc/grpc#36066), and with it the code, the reason and the delay that decide whether to
come back. So the status is noted at the moment it arrives. Where it is lost all the same, the
stream has merely ended: a new one goes on, or is told the reason anew.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any, TypeAlias, TypeVar

import grpc.aio

from unify_client.connection import Call
from unify_client.errors import ServiceError
from unify_grpc._pb.unify.v1.ingest_service_pb2 import IngestStreamResponse

# Quoted: gRPC's classes are generic for type checkers only.
AsyncStreamMethod: TypeAlias = "grpc.aio.StreamStreamMultiCallable[bytes, IngestStreamResponse]"

T = TypeVar("T")

# How grpc.aio begins the detail of the status that stands for its own failed write.
_LATE_WRITE = "Internal error from Core"


class AsyncStream:
    """Sends requests and receives their answers, until the first failure."""

    def __init__(
        self,
        method: AsyncStreamMethod,
        *,
        call: Call,
        metadata: tuple[tuple[str, str | bytes], ...],
        requests: tuple[bytes, ...],
    ) -> None:
        """Opens the stream with the requests that it has to begin with."""
        self._call = call
        # None ends it: a half-close.
        self._outbox: asyncio.Queue[bytes | None] = asyncio.Queue()
        for request in requests:
            self._outbox.put_nowait(request)
        self._failure: ServiceError | None = None
        self._stream = method(metadata=metadata)
        self._stream.add_done_callback(self._note_status)
        self._writer = asyncio.create_task(self._write(), name="unify-ingest-stream")

    def send(self, request: bytes) -> None:
        """Sends one more request; does not wait."""
        self._outbox.put_nowait(request)

    async def receive(self, timeout_s: float) -> IngestStreamResponse:
        """Returns the next answer; raises ServiceError where there will be none."""
        try:
            arrived = await asyncio.wait_for(self._stream.read(), timeout_s)
        except TimeoutError:
            failure = self._call.unanswered(timeout_s)
        except grpc.RpcError:
            # Once more: where a write was faster than the status, it is noted only now, or lost.
            self._note_status(self._stream)
            failure = self._failure or self._call.ended()
        else:
            if isinstance(arrived, IngestStreamResponse):
                return arrived
            failure = self._call.ended()
        raise failure

    async def finish(self, timeout_s: float) -> None:
        """Ends the stream in order: half-closes it and waits for the other side, but not long."""
        self._outbox.put_nowait(None)
        # Everything was answered, so how the other side ends does not matter any more.
        with contextlib.suppress(TimeoutError, grpc.RpcError):
            await asyncio.wait_for(self._stream.read(), timeout_s)

    async def close(self) -> None:
        """Ends the stream at once, for good; harmless after its end."""
        self._stream.cancel()
        self._writer.cancel()
        await asyncio.gather(self._writer, return_exceptions=True)
        # A call holds its connection, and an error's traceback may hold this object for long.
        del self._stream

    async def _write(self) -> None:
        # A failure shows at the reader, with its reason; a write learns only that there is one.
        with contextlib.suppress(grpc.RpcError, asyncio.InvalidStateError):
            while (request := await self._outbox.get()) is not None:
                await self._stream.write(request)
            await self._stream.done_writing()

    def _note_status(self, stream: Any) -> None:
        code = _at_once(stream.code())
        detail = _at_once(stream.details())
        late_write = code is grpc.StatusCode.INTERNAL and detail.startswith(_LATE_WRITE)
        if self._failure is None and not late_write and code is not grpc.StatusCode.OK:
            trailing_metadata = _at_once(stream.trailing_metadata())
            self._failure = self._call.failure_of(code, detail, trailing_metadata)


def _at_once(known: Coroutine[Any, Any, T]) -> T:
    """Returns what a coroutine has to say without waiting: the status of a call that has one."""
    try:
        known.send(None)
    except StopIteration as said:
        value: T = said.value
        return value
    known.close()
    raise AssertionError("A call that is done has a status.")
