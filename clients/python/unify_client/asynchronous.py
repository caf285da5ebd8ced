"""The client for asyncio: the blocking one's methods, to be awaited or iterated over."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Iterable
from contextlib import aclosing
from typing import TypeVar

from unify_client import ingest_operations
from unify_client.async_administration import AsyncAdministration
from unify_client.async_profiles import AsyncProfiles
from unify_client.async_stream import AsyncStream, AsyncStreamMethod
from unify_client.connection import STREAM_METHOD, STREAM_PATH, Call
from unify_client.errors import EventRejected, ServiceError, UnifyClientError
from unify_client.events import Event
from unify_client.requests import chunks_of
from unify_client.results import EventResult
from unify_client.vocabulary import Ack, ResultView
from unify_client.window import WINDOW, Batches, RawRequest, Window, raw_request
from unify_grpc._pb.unify.v1.ingest_service_pb2 import IngestStreamResponse

T = TypeVar("T")


class AsyncUnifyClient(AsyncProfiles, AsyncAdministration):
    """Talks to a Unify service without blocking the event loop.

    Belongs to the loop in which it makes its first call. Close it, or use it as an asynchronous
    context manager. Methods mean what they mean in UnifyClient.
    """

    async def ingest(
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
                answered = await self._run(ingest_operations.ingest(chunk, ack, view), timeout_s)
            except UnifyClientError as error:
                error.results_before = tuple(results)
                raise
            results += answered
        if raise_on_rejected and any(result.rejected for result in results):
            raise EventRejected(results)
        return results

    def ingest_stream(
        self,
        batches: Iterable[Iterable[Event]] | AsyncIterable[Iterable[Event]],
        *,
        ack: Ack = Ack.RESOLVED,
        view: ResultView = ResultView.FULL,
        window: int = WINDOW,
    ) -> AsyncGenerator[list[EventResult], None]:
        """Sends batches over one call and returns their results, a list for each, in order.

        Up to `window` requests are under way, and so many batches are taken before the first
        result comes. A stream that breaks is opened again, and what was not answered is sent
        again with the same message ids. Results are numbered within their batch. Whoever stops
        early closes the iterator, or leaves batches under way.
        """
        account = Batches(ack, view)
        responses = self._exchange(_cut(batches, account), Window(window))
        return _taken(responses, account)

    def ingest_raw(
        self,
        requests: Iterable[RawRequest] | AsyncIterable[RawRequest],
        *,
        window: int = WINDOW,
    ) -> AsyncGenerator[IngestStreamResponse, None]:
        """Sends requests as they are, written already or not, and returns the bare answers.

        For measurements and bulk; every event needs a message id of its own.
        """
        return self._exchange(_raw(requests), Window(window))

    async def _exchange(
        self, requests: AsyncIterator[bytes], window: Window
    ) -> AsyncGenerator[IngestStreamResponse, None]:
        attempts = self._connection.attempts(after_deadline=True)
        stream: AsyncStream | None = None
        try:
            while True:
                while window.has_room and (request := await anext(requests, None)) is not None:
                    window.sent(request)
                    if stream:
                        stream.send(request)
                if not window.unanswered:
                    break
                try:
                    stream = stream or self._open_stream(window)
                    response = await stream.receive(self._connection.timeout_s)
                except ServiceError as error:
                    failure = error
                else:
                    window.answered()
                    attempts.progressed()
                    yield response
                    continue
                if stream:
                    await stream.close()
                    stream = None
                await self._sleep(attempts.pause_s(failure))
            if stream:
                await stream.finish(self._connection.timeout_s)
        finally:
            if stream:
                await stream.close()

    def _open_stream(self, window: Window) -> AsyncStream:
        call = Call(STREAM_METHOD)
        # Bytes go through as they are: a request is written once, however often it is sent.
        stream_method: AsyncStreamMethod = self._open().channel.stream_stream(
            STREAM_PATH, response_deserializer=IngestStreamResponse.FromString
        )
        return AsyncStream(
            stream_method,
            call=call,
            metadata=self._connection.metadata(call.request_id),
            requests=window.unanswered,
        )


async def _cut(
    batches: Iterable[Iterable[Event]] | AsyncIterable[Iterable[Event]], account: Batches
) -> AsyncIterator[bytes]:
    async for batch in _each(batches):
        for request in account.cut(batch):
            yield request


async def _taken(
    responses: AsyncGenerator[IngestStreamResponse, None], account: Batches
) -> AsyncGenerator[list[EventResult], None]:
    # Closed with the outer iterator, so that whoever stops early ends the stream at once.
    async with aclosing(responses):
        async for response in responses:
            results = account.take(response)
            if results is not None:
                yield results


async def _raw(
    requests: Iterable[RawRequest] | AsyncIterable[RawRequest],
) -> AsyncIterator[bytes]:
    async for request in _each(requests):
        yield raw_request(request)


async def _each(source: Iterable[T] | AsyncIterable[T]) -> AsyncIterator[T]:
    if isinstance(source, AsyncIterable):
        async for item in source:
            yield item
    else:
        for item in source:
            yield item
