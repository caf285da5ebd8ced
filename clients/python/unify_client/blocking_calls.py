"""How the blocking client makes calls: the connection, repetitions, pages and tails."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Generator, Iterator
from types import TracebackType
from typing import Self, TypeVar

import grpc

from unify_client.connection import Call, Connection, stubs_of
from unify_client.errors import ClientClosed
from unify_client.operations import Operation, PagedOperation
from unify_client.settings import MESSAGE_BYTES_MAX, Keepalive, RetryPolicy, TlsConfig
from unify_client.tailing import TAIL_METHOD, Tail
from unify_client.watched_events import TailedEvent

T = TypeVar("T")


class BlockingCalls:
    """Holds a connection and makes every kind of call but streams of events."""

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
        sleep: Callable[[float], object] | None = None,
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
            sleep: For tests: what waits between attempts, in place of a wait that `close` ends.
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
        self._closed = threading.Event()
        self._sleep = sleep or self._closed.wait
        self._channel = channel or _open(self._connection)
        self._stubs = stubs_of(self._channel)

    def close(self) -> None:
        """Closes the connection; calls under way fail, pauses end. Harmless if repeated."""
        self._closed.set()
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

    def _follow(self, tail: Tail) -> Generator[TailedEvent, None, None]:
        method = self._stubs["OperationsService"].TailEvents
        while True:
            self._check_open()
            call = Call(TAIL_METHOD)
            responses = method(tail.open(), metadata=self._connection.metadata(call.request_id))
            try:
                for response in responses:
                    event = tail.take(response)
                    if event is not None:
                        yield event
                failure = call.ended()
            except grpc.RpcError as error:
                failure = call.failure(error)
            finally:
                responses.cancel()
            self._check_open()
            self._sleep(tail.pause_s(failure, call))

    def _check_open(self) -> None:
        if self._closed.is_set():
            raise ClientClosed("The client is closed.")


def _open(connection: Connection) -> grpc.Channel:
    credentials = connection.tls_credentials()
    if credentials is None:
        return grpc.insecure_channel(connection.address, options=connection.options())
    return grpc.secure_channel(connection.address, credentials, options=connection.options())
