"""The blocking client."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from contextlib import closing

from unify_client import ingest_operations
from unify_client.blocking_administration import BlockingAdministration
from unify_client.blocking_profiles import BlockingProfiles
from unify_client.blocking_stream import BlockingStream, StreamMethod
from unify_client.connection import STREAM_METHOD, STREAM_PATH, Call
from unify_client.errors import EventRejected, ServiceError, UnifyClientError
from unify_client.events import Event
from unify_client.requests import chunks_of
from unify_client.results import EventResult
from unify_client.vocabulary import Ack, ResultView
from unify_client.window import WINDOW, Batches, RawRequest, Window, raw_request
from unify_grpc._pb.unify.v1.ingest_service_pb2 import IngestStreamResponse


class UnifyClient(BlockingProfiles, BlockingAdministration):
    """Talks to a Unify service; each call waits for its answer.

    May be shared between threads. Close it, or use it as a context manager. Every method raises
    the errors of `unify_client.errors` and no others of its own.
    """

    def ingest(
        self,
        events: Iterable[Event],
        *,
        ack: Ack = Ack.RESOLVED,
        view: ResultView = ResultView.FULL,
        raise_on_rejected: bool = False,
        timeout_s: float | None = None,
    ) -> list[EventResult]:
        """Sends events in order, in as many requests as it takes, and returns their results.

        A request that fails is sent again, with the same message ids. Where it fails for good,
        `results_before` of the error holds the results so far. With `raise_on_rejected`, refused
        events raise EventRejected once all have been sent. `timeout_s` is for one attempt at one
        request.
        """
        results: list[EventResult] = []
        # Cut as a whole first: an event that cannot be sent is found before any was.
        for chunk in list(chunks_of(events)):
            try:
                answered = self._run(ingest_operations.ingest(chunk, ack, view), timeout_s)
            except UnifyClientError as error:
                error.results_before = tuple(results)
                raise
            results += answered
        if raise_on_rejected and any(result.rejected for result in results):
            raise EventRejected(results)
        return results

    def ingest_stream(
        self,
        batches: Iterable[Iterable[Event]],
        *,
        ack: Ack = Ack.RESOLVED,
        view: ResultView = ResultView.FULL,
        window: int = WINDOW,
    ) -> Generator[list[EventResult], None, None]:
        """Sends batches over one call and returns their results, a list for each, in order.

        Up to `window` requests are under way, and so many batches are taken before the first
        result comes. A stream that breaks is opened again, and what was not answered is sent
        again with the same message ids. Results are numbered within their batch. Whoever stops
        early closes the iterator, or leaves batches under way.
        """
        account = Batches(ack, view)
        requests = (request for batch in batches for request in account.cut(batch))
        responses = self._exchange(requests, Window(window))
        return _taken(responses, account)

    def ingest_raw(
        self, requests: Iterable[RawRequest], *, window: int = WINDOW
    ) -> Generator[IngestStreamResponse, None, None]:
        """Sends requests as they are, written already or not, and returns the bare answers.

        For measurements and bulk; every event needs a message id of its own.
        """
        return self._exchange(map(raw_request, requests), Window(window))

    def _exchange(
        self, requests: Iterator[bytes], window: Window
    ) -> Generator[IngestStreamResponse, None, None]:
        attempts = self._connection.attempts(after_deadline=True)
        stream: BlockingStream | None = None
        try:
            while True:
                while window.has_room and (request := next(requests, None)) is not None:
                    window.sent(request)
                    if stream:
                        stream.send(request)
                if not window.unanswered:
                    break
                try:
                    stream = stream or self._open_stream(window)
                    response = stream.receive(self._connection.timeout_s)
                except ServiceError as error:
                    failure = error
                else:
                    window.answered()
                    attempts.progressed()
                    yield response
                    continue
                if stream:
                    stream.close()
                    stream = None
                self._sleep(attempts.pause_s(failure))
            if stream:
                stream.finish(self._connection.timeout_s)
        finally:
            if stream:
                stream.close()

    def _open_stream(self, window: Window) -> BlockingStream:
        self._check_open()
        call = Call(STREAM_METHOD)
        # Bytes go through as they are: a request is written once, however often it is sent.
        stream_method: StreamMethod = self._channel.stream_stream(
            STREAM_PATH, response_deserializer=IngestStreamResponse.FromString
        )
        return BlockingStream(
            stream_method,
            call=call,
            metadata=self._connection.metadata(call.request_id),
            requests=window.unanswered,
        )


def _taken(
    responses: Generator[IngestStreamResponse, None, None], account: Batches
) -> Generator[list[EventResult], None, None]:
    # Closed with the outer iterator, so that whoever stops early ends the stream at once.
    with closing(responses):
        for response in responses:
            results = account.take(response)
            if results is not None:
                yield results
