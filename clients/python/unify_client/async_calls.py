"""How the asynchronous client makes calls: the connection, repetitions, pages and tails."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from types import TracebackType
from typing import Self, TypeVar

import grpc.aio

from unify_client.connection import Call, Connection, stubs_of
from unify_client.errors import ClientClosed
from unify_client.operations import Operation, PagedOperation
from unify_client.settings import MESSAGE_BYTES_MAX, Keepalive, RetryPolicy, TlsConfig
from unify_client.tailing import TAIL_METHOD, Tail
from unify_client.watched_events import TailedEvent

T = TypeVar("T")


class AsyncCalls:
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
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """Prepares a connection, which is made with the first call; arguments as in UnifyClient."""
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
        # Opened with the first call: a channel belongs to a loop, and there may be none yet.
        self._opened: _Opened | None = None

    async def close(self) -> None:
        """Closes the connection; calls under way fail. Harmless if repeated."""
        self._closed = True
        if self._opened:
            await self._opened.channel.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def _run(self, operation: Operation[T], timeout_s: float | None = None) -> T:
        call = Call(operation.method)
        attempts = self._connection.attempts(
            timeout_s=timeout_s, after_deadline=operation.after_deadline
        )
        while True:
            method = getattr(self._open().stubs[operation.service], operation.method)
            try:
                response = await method(
                    operation.request,
                    timeout=attempts.timeout_s(),
                    metadata=self._connection.metadata(call.request_id),
                )
            except grpc.RpcError as error:
                failure = call.failure(error)
            else:
                return operation.read(response)
            # Outside of `except`, so that no error of gRPC hangs on ours.
            await self._sleep(attempts.pause_s(failure))

    async def _walk(self, operation: PagedOperation[T]) -> AsyncIterator[T]:
        page_token = ""
        while True:
            items, page_token = await self._run(operation.page(page_token))
            for item in items:
                yield item
            if not page_token:
                return

    async def _follow(self, tail: Tail) -> AsyncGenerator[TailedEvent, None]:
        while True:
            call = Call(TAIL_METHOD)
            responses = (
                self._open()
                .stubs["OperationsService"]
                .TailEvents(tail.open(), metadata=self._connection.metadata(call.request_id))
            )
            try:
                async for response in responses:
                    event = tail.take(response)
                    if event is not None:
                        yield event
                failure = call.ended()
            except grpc.RpcError as error:
                failure = call.failure(error)
            finally:
                responses.cancel()
            self._check_open()
            await self._sleep(tail.pause_s(failure, call))

    def _open(self) -> _Opened:
        self._check_open()
        self._opened = self._opened or _Opened(self._connection)
        return self._opened

    def _check_open(self) -> None:
        if self._closed:
            raise ClientClosed("The client is closed.")


class _Opened:
    """A channel and what is called through it."""

    def __init__(self, connection: Connection) -> None:
        address, options = connection.address, connection.options()
        credentials = connection.tls_credentials()
        if credentials is None:
            self.channel = grpc.aio.insecure_channel(address, options=options)
        else:
            self.channel = grpc.aio.secure_channel(address, credentials, options=options)
        self.stubs = stubs_of(self.channel)
