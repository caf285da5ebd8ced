"""The sockets of the HTTP port."""

from __future__ import annotations

import asyncio
import socket

import pytest

from unify_grpc.http.server import listen


class Connected(asyncio.Protocol):
    """Tells of the first connection."""

    def __init__(self, told: asyncio.Future[int]) -> None:
        self._told = told

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Tells whether small answers are sent at once."""
        made = transport.get_extra_info("socket")
        self._told.set_result(made.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))


@pytest.mark.parametrize("is_shared", [False, True])
async def test_small_answers_are_sent_at_once(*, is_shared: bool) -> None:
    """An answer does not wait for the acknowledgement of what was sent before it."""
    loop = asyncio.get_running_loop()
    (listening,) = listen("127.0.0.1", 0, is_shared=is_shared)
    told: asyncio.Future[int] = loop.create_future()
    server = await loop.create_server(lambda: Connected(told), sock=listening)
    _, writer = await asyncio.open_connection(*listening.getsockname())

    assert 0 != await told
    writer.close()
    await writer.wait_closed()
    server.close()
    await server.wait_closed()
