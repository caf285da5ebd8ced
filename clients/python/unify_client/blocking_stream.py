"""One bidirectional call of the blocking client.

The caller's own thread takes batches from their source and results to their consumer. Two threads
stand between it and gRPC: gRPC's, which sends what lies in the outbox, and ours, which puts what
arrives into the inbox; gRPC's own iterator would wait for an answer without end.
"""

from __future__ import annotations

from queue import Empty, SimpleQueue
from threading import Thread
from typing import TypeAlias

import grpc

from unify_client.connection import Call
from unify_grpc._pb.unify.v1.ingest_service_pb2 import IngestStreamResponse

# Quoted: gRPC's class is generic for type checkers only.
StreamMethod: TypeAlias = "grpc.StreamStreamMultiCallable[bytes, IngestStreamResponse]"


class BlockingStream:
    """Sends requests and receives their answers, until the first failure."""

    def __init__(
        self,
        method: StreamMethod,
        *,
        call: Call,
        metadata: tuple[tuple[str, str | bytes], ...],
        requests: tuple[bytes, ...],
    ) -> None:
        """Opens the stream with the requests that it has to begin with."""
        self._call = call
        # None ends it: a half-close.
        self._outbox: SimpleQueue[bytes | None] = SimpleQueue()
        # None is the orderly end.
        self._inbox: SimpleQueue[IngestStreamResponse | grpc.RpcError | None] = SimpleQueue()
        for request in requests:
            self._outbox.put(request)
        self._responses = method(iter(self._outbox.get, None), metadata=metadata)
        self._reader = Thread(target=self._read, name="unify-ingest-stream", daemon=True)
        self._reader.start()

    def send(self, request: bytes) -> None:
        """Sends one more request; does not wait."""
        self._outbox.put(request)

    def receive(self, timeout_s: float) -> IngestStreamResponse:
        """Returns the next answer; raises ServiceError where there will be none."""
        try:
            arrived = self._inbox.get(timeout=timeout_s)
        except Empty:
            raise self._call.unanswered(timeout_s) from None
        if arrived is None:
            raise self._call.ended()
        if isinstance(arrived, grpc.RpcError):
            raise self._call.failure(arrived)
        return arrived

    def finish(self, timeout_s: float) -> None:
        """Ends the stream in order: half-closes it and waits for the other side, but not long."""
        self._outbox.put(None)
        self._reader.join(timeout_s)

    def close(self) -> None:
        """Ends the stream at once; harmless after its end."""
        self._outbox.put(None)
        self._responses.cancel()
        self._reader.join()

    def _read(self) -> None:
        try:
            for response in self._responses:
                self._inbox.put(response)
        except grpc.RpcError as error:
            self._inbox.put(error)
        else:
            self._inbox.put(None)
