"""The account of one stream of batches: what awaits its answer, and what an answer completes.

It decides and does no I/O: the blocking and the asynchronous client both drive it. A caller's
batch may be too large for one request; it is cut into several then, and their answers are put
together again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from unify_client.errors import ArgumentInvalid
from unify_client.events import Event
from unify_client.requests import Chunk, chunks_of
from unify_client.results import EventResult, event_result
from unify_client.vocabulary import Ack, ResultView, number_of
from unify_grpc._pb.unify.v1.ingest_service_pb2 import (
    IngestStreamRequest,
    IngestStreamResponse,
)

WINDOW = 4
"""How many requests are under way unless a caller says otherwise."""

RawRequest = IngestStreamRequest | bytes
"""One request of a stream: a message, or the bytes of one."""


def raw_request(request: RawRequest) -> bytes:
    """Returns a request's bytes; those that are bytes already go as they are."""
    return request if isinstance(request, bytes) else request.SerializeToString()


class Window:
    """Keeps the requests of a stream that were taken and not answered yet, in order."""

    def __init__(self, requests_max: int) -> None:
        """Starts empty. Raises ArgumentInvalid unless at least one request may be under way."""
        if requests_max < 1:
            raise ArgumentInvalid("window is at least 1.")
        self._requests_max = requests_max
        self._unanswered: deque[bytes] = deque()

    @property
    def has_room(self) -> bool:
        """Says whether one more request may be sent."""
        return len(self._unanswered) < self._requests_max

    @property
    def unanswered(self) -> tuple[bytes, ...]:
        """What a new stream has to begin with, in this order."""
        return tuple(self._unanswered)

    def sent(self, request: bytes) -> None:
        """Notes a request that goes out for the first time."""
        self._unanswered.append(request)

    def answered(self) -> None:
        """Notes an answer: it is one to the oldest request."""
        self._unanswered.popleft()


@dataclass(slots=True)
class _Batch:
    indexes_first: deque[int]
    results: list[EventResult] = field(default_factory=list)


class Batches:
    """Cuts a caller's batches into requests, and puts the answers together again."""

    def __init__(self, ack: Ack, view: ResultView) -> None:
        """Takes what every request asks for."""
        self._ack = number_of(Ack(ack))
        self._view = number_of(ResultView(view))
        self._under_way: deque[_Batch] = deque()

    def cut(self, events: Iterable[Event]) -> list[bytes]:
        """Returns the requests of one batch: at least one, so that an empty one is answered."""
        chunks = list(chunks_of(events)) or [Chunk(0)]
        self._under_way.append(_Batch(deque(chunk.index_first for chunk in chunks)))
        return [
            IngestStreamRequest(
                events=chunk.events, ack=self._ack, result_view=self._view
            ).SerializeToString()
            for chunk in chunks
        ]

    def take(self, response: IngestStreamResponse) -> list[EventResult] | None:
        """Takes the answer to the oldest request; returns a batch's results once complete."""
        batch = self._under_way[0]
        index_first = batch.indexes_first.popleft()
        batch.results.extend(
            event_result(result, index_first=index_first) for result in response.results
        )
        if batch.indexes_first:
            return None
        self._under_way.popleft()
        return batch.results
