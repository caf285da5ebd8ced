"""The blocking client."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import closing
from datetime import datetime
from types import TracebackType
from typing import Any, Self, TypeVar

import grpc

from unify_client import operations
from unify_client.blocking_stream import BlockingStream, StreamMethod
from unify_client.connection import STREAM_METHOD, STREAM_PATH, Call, Connection, stubs_of
from unify_client.errors import ClientClosed, EventRejected, ServiceError, UnifyClientError
from unify_client.events import Event
from unify_client.names import ProfileNamed
from unify_client.operations import Operation, PagedOperation, ProfilePart
from unify_client.profiles import Profile, ProfileEvent, ProfileExternalId, Trait
from unify_client.requests import chunks_of
from unify_client.results import EventResult
from unify_client.settings import MESSAGE_BYTES_MAX, Keepalive, RetryPolicy, TlsConfig
from unify_client.spaces import CreatedSpace, Rules, ServiceStatus, Space
from unify_client.vocabulary import Ack, ResultView, SortOrder, TraitClass
from unify_client.window import WINDOW, Batches, RawRequest, Window, raw_request
from unify_grpc._pb.unify.v1.ingest_service_pb2 import IngestStreamResponse

T = TypeVar("T")


class UnifyClient:
    """Talks to a Unify service; each call waits for its answer.

    May be shared between threads. Close it, or use it as a context manager. Every method raises
    the errors of `unify_client.errors` and no others of its own.
    """

    def __init__(
        self,
        address: str = "127.0.0.1:50051",
        *,
        key: str,
        space: str | None = None,
        timeout_s: float = 10.0,
        tls: TlsConfig | bool = False,
        retry: RetryPolicy | None = None,
        keepalive: Keepalive | None = None,
        message_bytes_max: int = MESSAGE_BYTES_MAX,
        channel: grpc.Channel | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """Prepares a connection, which is made with the first call.

        Args:
            address: Host and port of the service.
            key: A write key for events, an access token for reads, an admin token for spaces.
            space: The space, by id or name, that an admin token reads.
            timeout_s: How long one attempt at a call may take; a stream: one answer.
            tls: How the connection is encrypted; True trusts the usual authorities.
            retry: How patient the client is with a service that is away or overloaded.
            keepalive: How it notices that a silent connection is dead.
            message_bytes_max: The largest message sent or received.
            channel: For tests: what to talk through instead of connecting to `address`.
            clock: For tests: seconds that never go back.
            sleep: For tests: what waits between attempts.
            chance: For tests: a number from 0 to 1, which spreads the pauses.
        """
        self._connection = Connection(
            address,
            key=key,
            space=space,
            timeout_s=timeout_s,
            tls=tls,
            retry=retry,
            keepalive=keepalive,
            message_bytes_max=message_bytes_max,
            clock=clock,
            chance=chance,
        )
        self._sleep = sleep
        self._closed = False
        self._channel = channel or _open(self._connection)
        self._stubs = stubs_of(self._channel)
        # Bytes go through as they are: a request is written once, however often it is sent.
        self._stream_method: StreamMethod = self._channel.stream_stream(
            STREAM_PATH, response_deserializer=IngestStreamResponse.FromString
        )

    def close(self) -> None:
        """Closes the connection; calls under way fail. Harmless if repeated."""
        self._closed = True
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    # --- Events -------------------------------------------------------------------------------

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
                answered = self._run(operations.ingest(chunk, ack, view), timeout_s)
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

    # --- Profiles -----------------------------------------------------------------------------

    def get_profile(
        self, name: ProfileNamed, *, parts: Iterable[ProfilePart] | None = None
    ) -> Profile:
        """Returns the profile that goes by a name, or only some parts of it.

        A name is a segment_id, `type:value`, or an Identifier. Raises ProfileNotFound.
        """
        return self._run(operations.get_profile(name, parts))

    def list_traits(
        self,
        name: ProfileNamed,
        *,
        include: Iterable[str] = (),
        trait_class: TraitClass | None = None,
        verbose: bool = False,
        page_size: int | None = None,
    ) -> Iterator[Trait]:
        """Returns a profile's traits by name, those in `include` or all, page after page.

        With `verbose`, source, time and message id come along. So lists here are: what is
        returned asks for the next page when it is reached; without a `page_size`, pages are as
        large as the service allows.
        """
        return self._walk(
            operations.list_traits(
                name,
                include=include,
                trait_class=trait_class,
                verbose=verbose,
                page_size=page_size,
            )
        )

    def list_external_ids(
        self, name: ProfileNamed, *, include: Iterable[str] = (), page_size: int | None = None
    ) -> Iterator[ProfileExternalId]:
        """Returns a profile's identifiers by priority, of the types in `include` or all."""
        return self._walk(operations.list_external_ids(name, include=include, page_size=page_size))

    def list_events(
        self,
        name: ProfileNamed,
        *,
        start_time: datetime | None = None,
        end_time: datetime | None = None,
        include: Iterable[str] = (),
        exclude: Iterable[str] = (),
        types: Iterable[str] = (),
        sort: SortOrder = SortOrder.DESCENDING,
        page_size: int | None = None,
    ) -> Iterator[ProfileEvent]:
        """Returns a profile's history strictly between two event times.

        `include` and `exclude` are names of events; `types` are kinds of calls, by default track,
        page and screen.
        """
        return self._walk(
            operations.list_events(
                name,
                start_time=start_time,
                end_time=end_time,
                include=include,
                exclude=exclude,
                types=types,
                sort=sort,
                page_size=page_size,
            )
        )

    # --- Administration -----------------------------------------------------------------------

    def create_space(
        self,
        name: str,
        rules: Mapping[str, Any] | None = None,
        *,
        request_id: str | None = None,
    ) -> CreatedSpace:
        """Creates a space with a write key and an access token, ready for use.

        `rules` is the document of rules, or None for the default ones. `request_id`, a UUID,
        makes a repetition by the caller harmless. Raises SpaceNameTaken; SecretsNotShown where
        the space was created and the answer with its secrets was lost.
        """
        return self._run(operations.create_space(name, rules, request_id))

    def get_space(self, space: str) -> Space:
        """Returns a space by its id or its name. Raises SpaceNotFound."""
        return self._run(operations.get_space(space))

    def list_spaces(self, *, page_size: int | None = None) -> Iterator[Space]:
        """Returns all spaces, the oldest first."""
        return self._walk(operations.list_spaces(page_size))

    def get_rules(self, space: str = "", *, version: int = 0) -> Rules:
        """Returns the rules of a space as they stand, or as they stood in an earlier version.

        An access token needs no `space`: it has its own.
        """
        return self._run(operations.get_rules(space, version))

    def get_status(self) -> ServiceStatus:
        """Returns how the parts of the service are doing."""
        return self._run(operations.get_status())

    # --- How calls are made -------------------------------------------------------------------

    def _run(self, operation: Operation[T], timeout_s: float | None = None) -> T:
        method = getattr(self._stubs[operation.service], operation.method)
        call = Call(operation.method)
        attempts = self._connection.attempts(
            timeout_s=timeout_s, after_deadline=operation.after_deadline
        )
        while True:
            self._check_open()
            try:
                response = method(
                    operation.request,
                    timeout=attempts.timeout_s(),
                    metadata=self._connection.metadata(call.request_id),
                )
            except grpc.RpcError as error:
                failure = call.failure(error)
            else:
                return operation.read(response)
            # Outside of `except`, so that no error of gRPC hangs on ours.
            self._sleep(attempts.pause_s(failure))

    def _walk(self, operation: PagedOperation[T]) -> Iterator[T]:
        page_token = ""
        while True:
            items, page_token = self._run(operation.page(page_token))
            yield from items
            if not page_token:
                return

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
        return BlockingStream(
            self._stream_method,
            call=call,
            metadata=self._connection.metadata(call.request_id),
            requests=window.unanswered,
        )

    def _check_open(self) -> None:
        if self._closed:
            raise ClientClosed("The client is closed.")


def _open(connection: Connection) -> grpc.Channel:
    credentials = connection.tls_credentials()
    if credentials is None:
        return grpc.insecure_channel(connection.address, options=connection.options())
    return grpc.secure_channel(connection.address, credentials, options=connection.options())


def _taken(
    responses: Generator[IngestStreamResponse, None, None], account: Batches
) -> Generator[list[EventResult], None, None]:
    # Closed with the outer iterator, so that whoever stops early ends the stream at once.
    with closing(responses):
        for response in responses:
            results = account.take(response)
            if results is not None:
                yield results
