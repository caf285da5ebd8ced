"""What one connection may send, hold and leave: raw bytes to a server on loopback."""

from __future__ import annotations

import asyncio
import json
import re
import resource
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, cast

import pytest

from tests.unit.http.tracking_edge import KEY, TrackingEdge, basic, until
from unify_grpc.http import connection
from unify_grpc.http.connection import HEADERS_MAX, PATH_BYTES_MAX, PIPELINE_MAX
from unify_grpc.http.server import HttpServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.timeout(20)
HEALTH = b"GET /healthz HTTP/1.1\r\n\r\n"
BODY = b'{"userId":"u","event":"E","messageId":"m"}'
AUTHORIZATION = f"Authorization: {basic(KEY)}\r\n".encode()
UPGRADE = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"
UNKNOWN = b"POST /v1/track HTTP/1.1\r\nAuthorization: Basic d3Jvbmc6\r\n"


class Served:
    """A server, and callers of it."""

    def __init__(self, edge: TrackingEdge, server: HttpServer) -> None:
        self.edge = edge
        self.server = server
        self._writers: list[asyncio.StreamWriter] = []

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Opens a connection."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.server.port)
        self._writers.append(writer)
        return reader, writer

    async def say(self, *parts: bytes) -> bytes:
        """Returns all that comes until the server hangs up; a packet for each part."""
        reader, writer = await self.connect()
        for part in parts:
            writer.write(part)
            await writer.drain()
        return await told(reader)

    async def stop(self) -> None:
        """Ends all."""
        for writer in self._writers:
            writer.close()
        await self.server.stop()


@asynccontextmanager
async def serving(**settings: Any) -> AsyncIterator[Served]:
    """A server on loopback."""
    edge = TrackingEdge(http_port=0, **settings)
    server = HttpServer(edge.edge)
    await server.start()
    served = Served(edge, server)
    await until(lambda: server._server is not None and server._server.started)
    yield served
    await served.stop()


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    """A server with the bounds that all have."""
    async with serving() as made:
        yield made


async def told(reader: asyncio.StreamReader) -> bytes:
    """Returns what was sent before the connection ended, one way or another."""
    found = b""
    try:
        async with asyncio.timeout(10):
            while part := await reader.read(65536):
                found += part
    except ConnectionResetError:
        pass
    return found


def statuses(text: bytes) -> list[int]:
    """Returns the statuses of answers."""
    return [int(found) for found in re.findall(rb"HTTP/1\.1 (\d+)", text)]


def track(*headers: bytes, body: bytes = BODY) -> bytes:
    """Returns the head of a track call."""
    length = b"Content-Length: %d\r\n" % len(body)
    return b"POST /v1/track HTTP/1.1\r\n" + AUTHORIZATION + length + b"".join(headers) + b"\r\n"


async def test_requests_that_wait_are_bounded(served: Served) -> None:
    """Those that fit are answered, in their order; then the connection ends."""
    answers = await served.say(HEALTH * 10 * PIPELINE_MAX)

    assert [200] * (1 + PIPELINE_MAX) == statuses(answers)


async def test_requests_that_follow_one_another_are_answered(served: Served) -> None:
    """As many as there are, while no more wait than may."""
    reader, writer = await served.connect()
    for _ in range(3):
        writer.write(HEALTH * PIPELINE_MAX)
        for _ in range(PIPELINE_MAX):
            assert b"200" in await reader.readuntil(b"}")


@pytest.mark.parametrize("is_cut", [False, True])
@pytest.mark.parametrize("kind", [UPGRADE, b"Connection: upgrade\r\nUpgrade: websocket\r\n"])
async def test_a_wish_for_another_protocol_loses_no_event(
    served: Served, kind: bytes, *, is_cut: bool
) -> None:
    """Some callers have it by default; they are answered as if they had not."""
    reader, writer = await served.connect()
    whole = track(kind) + BODY
    cuts = [5, len(whole) - len(BODY) - 9, len(whole) - len(BODY), len(whole) - 3] if is_cut else []
    for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True):
        writer.write(whole[start:end])
        await writer.drain()
        await asyncio.sleep(0)
    head = await reader.readuntil(b"\r\n\r\n")

    assert [200] == statuses(head)
    assert ["m"] == list(served.edge.backend.stored)


async def test_a_body_behind_such_a_wish_is_no_request(served: Served) -> None:
    """Or whoever sends bodies through a proxy could send requests."""
    inner = b"GET /metrics HTTP/1.1\r\n\r\n"
    ending = b"GET /healthz HTTP/1.1\r\nConnection: close\r\n\r\n"

    answers = await served.say(track(UPGRADE, body=inner), inner + track(UPGRADE) + BODY, ending)

    assert [400, 200, 200] == statuses(answers)
    assert b"unify_http_requests_total" not in answers


async def test_what_is_wrong_does_not_overtake_what_was_right(served: Served) -> None:
    """A call that was stored is answered as such, then what followed it is refused."""
    answers = await served.say(track() + BODY + b"GARBAGE\r\n\r\n")

    assert [200, 400] == statuses(answers)
    assert b"invalid_http" in answers


async def test_a_body_that_is_wrong_is_refused_at_once(served: Served) -> None:
    """Nothing else can come of the call."""
    head = b"POST /v1/track HTTP/1.1\r\n" + AUTHORIZATION + b"Transfer-Encoding: chunked\r\n\r\n"

    assert [400] == statuses(await served.say(head + b"5\r\nabcdeXX"))
    assert [200, 400] == statuses(await served.say(track() + BODY + head + b"5\r\nabcdeXX"))


async def test_what_follows_a_body_is_bounded(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Trailers belong to nobody and are not kept; like all of a message they are counted."""
    monkeypatch.setattr(connection, "MESSAGE_BYTES_MAX", 1 << 20)
    reader, writer = await served.connect()
    writer.write(UNKNOWN + b"Transfer-Encoding: chunked\r\n\r\n0\r\n")
    assert [401] == statuses(await reader.readuntil(b"}"))
    try:
        async with asyncio.timeout(10):
            for _ in range(1000):
                writer.write(b"A: b\r\n" * 10_000)
                await writer.drain()
    except (ConnectionError, OSError):
        pass

    assert writer.is_closing()


async def test_trailers_are_not_among_the_headers(served: Served) -> None:
    """Nobody could tell them from what came before the body."""
    head = b"POST /v1/track HTTP/1.1\r\n" + AUTHORIZATION
    chunked = b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n" % (len(BODY), BODY)

    answers = await served.say(
        head + chunked + b"Unify-Strict: 1\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nConnection: close\r\n\r\n",
    )

    assert [200, 200] == statuses(answers)
    assert b"results" not in answers


@pytest.mark.parametrize(
    ("first", "then"),
    [
        (UNKNOWN + b"Content-Length: 100\r\n\r\n", b"x"),
        (b"POST /nowhere HTTP/1.1\r\nContent-Length: 100\r\n\r\n", b"x"),
        (HEALTH, b"GET /he"),
        (HEALTH + b"GET /he", b""),
        (UNKNOWN + b"Content-Length: 3\r\n\r\n", b"abc"),
        (HEALTH, b"\r\n"),
    ],
)
async def test_every_connection_ends(
    monkeypatch: pytest.MonkeyPatch, first: bytes, then: bytes
) -> None:
    """Whatever is left unsaid after an answer."""
    for name in ("HEAD_S_MAX", "MESSAGE_S_MAX"):
        monkeypatch.setattr(connection, name, 0.2)
    monkeypatch.setattr("unify_grpc.http.server.IDLE_S_MAX", 0.2)
    async with serving() as served:
        reader, writer = await served.connect()
        writer.write(first)
        await reader.readuntil(b"}")
        writer.write(then)

        assert b"" == await told(reader)


async def test_a_caller_that_reads_nothing_is_hung_up_on(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it was answered would wait for ever."""
    monkeypatch.setattr(connection, "WRITE_S_MAX", 0.2)
    _, writer = await served.connect()
    cast("asyncio.Transport", writer.transport).pause_reading()
    assert served.server._server is not None
    connections = served.server._server.server_state.connections
    await until(lambda: connections)
    try:
        async with asyncio.timeout(10):
            while True:
                writer.write(b"GET /metrics HTTP/1.1\r\n\r\n" * PIPELINE_MAX)
                await writer.drain()
                await asyncio.sleep(0)
    except (ConnectionError, OSError):
        pass
    await until(lambda: not connections)


async def test_one_connection_too_many_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that are there are served on."""
    monkeypatch.setattr("unify_grpc.http.server.allow_connections", lambda: 1)
    async with serving() as served:
        reader, writer = await served.connect()
        writer.write(HEALTH)
        await reader.readuntil(b"}")
        refused = await served.say(b"")
        writer.write(HEALTH)

        assert [503] == statuses(refused)
        assert b"Retry-After: 1\r\n" in refused
        assert "too_many_connections" == json.loads(refused.partition(b"\r\n\r\n")[2])["code"]
        assert b"200" in await reader.readuntil(b"}")


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET /" + b"a" * PATH_BYTES_MAX + b" HTTP/1.1\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\n" + b"a:b\r\n" * (HEADERS_MAX + 1) + b"\r\n", 400),
        (b"CONNECT a.example:1 HTTP/1.1\r\n\r\n", 400),
    ],
)
async def test_heads_nobody_needs_are_refused(served: Served, head: bytes, status: int) -> None:
    """Before anything looks into them."""
    answer = await served.say(head)

    assert [status] == statuses(answer)
    assert b"Connection: close" in answer


def test_a_process_may_have_as_many_connections_as_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit is raised as far as it may be, and some files are left for others."""
    raised = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: (100, 4096))
    monkeypatch.setattr(resource, "setrlimit", lambda _, both: raised.append(both))

    assert 4096 - connection.OTHER_FILES_MAX == connection.allow_connections()
    assert [(4096, 4096)] == raised


async def test_a_side_that_ends_by_itself_leaves_no_gateway_that_is_ready(served: Served) -> None:
    """What is half alive takes nothing more."""
    server = served.server
    assert server._serving is not None
    server._serving.cancel()

    await until(lambda: served.edge.edge.draining.is_on)
