"""Both ports of a gateway with certificates, in this process, and what replaces them."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import warnings
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from tests.integration.handshakes import GRPC, HTTP, ask, certificate_of, connected, context_of
from tests.integration.handshakes import is_let_in as gets_in
from tests.unit.http.tracking_edge import TrackingEdge
from tests.unit.service.authority import Authority, Issued
from unify_grpc.http import server
from unify_grpc.http.server import HttpServer
from unify_grpc.service.certificates import CertificateFiles, CertificateKeeper, Pems

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

HSTS = "strict-transport-security"
AUTHORITY, OTHER = Authority("one"), Authority("another")
FIRST, SECOND, CALLER, STRANGER = (
    *(AUTHORITY.issue() for _ in range(3)),
    OTHER.issue(),
)


class Ports:
    """An HTTP and a gRPC port that are served with the same certificates."""

    def __init__(self, files: CertificateFiles) -> None:
        self.keeper = CertificateKeeper(files)
        self.http = HttpServer(TrackingEdge(http_port=0).edge, self.keeper)
        self.grpc = grpc.aio.server()
        health_pb2_grpc.add_HealthServicer_to_server(health.aio.HealthServicer(), self.grpc)
        port, again = (
            self.grpc.add_secure_port("127.0.0.1:0", self.keeper.grpc_credentials())
            for _ in range(2)
        )
        self.grpc_addresses = [f"127.0.0.1:{port}", f"127.0.0.1:{again}"]

    @property
    def http_address(self) -> str:
        """Where HTTP is served."""
        return f"127.0.0.1:{self.http.port}"

    def serve_with(self, issued: Issued, client_ca: bytes | None = None) -> None:
        """Has the files hold something else at two looks."""
        for _ in range(2):
            self.keeper.take(Pems(issued.chain, issued.key, client_ca))

    async def shown(self) -> list[bytes | None]:
        """Returns the certificates that new connections to all ports are shown."""
        places = [(self.http_address, HTTP), *((each, GRPC) for each in self.grpc_addresses)]
        return [
            await asyncio.to_thread(certificate_of, where, context_of(AUTHORITY.pem), protocol)
            for where, protocol in places
        ]

    def channel(self, own: Issued | None, *, is_new: bool = True) -> grpc.aio.Channel:
        """Returns a channel of a caller, which shares no connection with others."""
        credentials = grpc.ssl_channel_credentials(
            AUTHORITY.pem,
            *((None, None) if own is None else (own.key, own.chain)),
        )
        options = [("grpc.use_local_subchannel_pool", int(is_new))]
        return grpc.aio.secure_channel(self.grpc_addresses[0], credentials, options)

    async def let_in(self, own: Issued | None) -> list[bool]:
        """Returns whether a caller with a certificate gets through to HTTP, and to gRPC."""
        http = await asyncio.to_thread(gets_in, self.http_address, context_of(AUTHORITY.pem, own))
        async with self.channel(own) as channel:
            return [http, await is_served(channel)]


async def is_served(channel: grpc.aio.Channel) -> bool:
    """Whether a call gets an answer."""
    stub: Any = health_pb2_grpc.HealthStub(channel)  # its types know blocking channels only
    try:
        await stub.Check(health_pb2.HealthCheckRequest(), timeout=20)
    except grpc.aio.AioRpcError as error:
        if error.code() is not grpc.StatusCode.UNAVAILABLE:
            raise
        return False
    return True


@contextlib.asynccontextmanager
async def opened(ports: Ports, own: Issued | None = None) -> AsyncIterator[ssl.SSLSocket]:
    """Connects to HTTP; the connection ends with the context."""
    connecting = connected(ports.http_address, context_of(AUTHORITY.pem, own))
    with contextlib.ExitStack() as stack:
        yield await asyncio.to_thread(stack.enter_context, connecting)


async def serving(tmp_path: Path, client_ca: bytes | None) -> AsyncIterator[Ports]:
    """Serves with the first certificate."""
    files = CertificateFiles(tmp_path / "chain", tmp_path / "key", None)
    FIRST.write(files.chain, files.key)
    if client_ca is not None:
        files = files._replace(client_ca=tmp_path / "ca")
        (tmp_path / "ca").write_bytes(client_ca)
    ports = Ports(files)
    await ports.grpc.start()
    await ports.http.start()
    yield ports
    await ports.http.stop()
    await ports.grpc.stop(None)


@pytest.fixture
async def ports(tmp_path: Path) -> AsyncIterator[Ports]:
    """Ports that ask callers for nothing."""
    async for each in serving(tmp_path, None):
        yield each


@pytest.fixture
async def closed_ports(tmp_path: Path) -> AsyncIterator[Ports]:
    """Ports that let in who has a certificate of the first authority."""
    async for each in serving(tmp_path, AUTHORITY.pem):
        yield each


async def test_new_connections_see_the_new_certificate(ports: Ports) -> None:
    """Those that are there stay, and go on with what they began with."""
    assert [FIRST.der] * 3 == await ports.shown()
    async with opened(ports) as old, ports.channel(None) as channel:
        assert await is_served(channel)
        for replacing in (SECOND, FIRST, SECOND):
            ports.serve_with(replacing)

            assert [replacing.der] * 3 == await ports.shown()
        assert 200 == (await asyncio.to_thread(ask, old)).status
        assert FIRST.der == old.getpeercert(binary_form=True)
        assert await is_served(channel)


async def test_a_broken_pair_does_not_reach_the_ports(ports: Ports) -> None:
    """They go on with the last that was good."""
    ports.serve_with(FIRST._replace(key=SECOND.key))

    assert [FIRST.der] * 3 == await ports.shown()


async def test_who_shows_no_certificate_is_not_let_in(closed_ports: Ports) -> None:
    """Nor one of somebody whom the service does not trust."""
    answers = {
        name: await closed_ports.let_in(own)
        for name, own in {"caller": CALLER, "stranger": STRANGER, "nobody": None}.items()
    }

    assert {"caller": [True] * 2, "stranger": [False] * 2, "nobody": [False] * 2} == answers


async def test_another_authority_of_callers_is_taken_over(closed_ports: Ports) -> None:
    """Who is connected stays; whom nobody vouches for any more does not come in again."""
    async with opened(closed_ports, CALLER) as old:
        closed_ports.serve_with(FIRST, client_ca=OTHER.pem)

        assert [[False] * 2, [True] * 2] == [
            await closed_ports.let_in(own) for own in (CALLER, STRANGER)
        ]
        assert 200 == (await asyncio.to_thread(ask, old)).status


async def test_nothing_stands_for_a_callers_certificate(closed_ports: Ports) -> None:
    """No session is resumed over HTTP, and the version in which that could be is not taken."""
    context = context_of(AUTHORITY.pem, CALLER)

    def resume() -> tuple[ssl.SSLSession | None, bool | None]:
        with connected(closed_ports.http_address, context) as first:
            ask(first)
            session = first.session
        with connected(closed_ports.http_address, context, session=session) as second:
            ask(second)
            return session, second.session_reused

    session, is_resumed = await asyncio.to_thread(resume)

    assert not is_resumed
    assert session is None or not session.has_ticket
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    assert not await asyncio.to_thread(gets_in, closed_ports.http_address, context)


@pytest.mark.parametrize(
    ("version", "is_taken"),
    [
        (ssl.TLSVersion.TLSv1_1, False),
        (ssl.TLSVersion.TLSv1_2, True),
        (ssl.TLSVersion.TLSv1_3, True),
    ],
)
async def test_versions_before_1_2_are_refused(
    ports: Ports, version: ssl.TLSVersion, *, is_taken: bool
) -> None:
    """By both ports, whatever the caller is content with."""
    context = context_of(AUTHORITY.pem)
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # what the old ones are, as meant here
        context.maximum_version = version
    for where, protocol in ((ports.http_address, HTTP), (ports.grpc_addresses[0], GRPC)):
        try:
            shown = await asyncio.to_thread(certificate_of, where, context, protocol)
        except (ssl.SSLError, ConnectionError):
            shown = None
        assert is_taken == (shown == FIRST.der)


async def test_answers_over_tls_ask_browsers_to_keep_to_it(ports: Ports) -> None:
    """All answers have the headers, one that no application made as well."""
    answers = []
    for path in ("/healthz", "/no/such/route", "/with space"):
        async with opened(ports) as connection:
            answers.append(await asyncio.to_thread(ask, connection, path))

    assert [200, 404, 400] == [each.status for each in answers]
    assert {"max-age=31536000"} == {each.getheader(HSTS) for each in answers}


async def test_who_does_not_encrypt_gets_nothing(ports: Ports) -> None:
    """Plain HTTP at an encrypted port is hung up on, and harms nobody."""
    reader, writer = await asyncio.open_connection(*ports.http_address.split(":"))
    writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")

    assert b"HTTP" not in await reader.read()
    writer.close()
    assert [FIRST.der] * 3 == await ports.shown()


async def test_a_handshake_has_no_longer_than_a_head(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever connects and says nothing is hung up on: the library alone would wait a minute."""
    monkeypatch.setattr(server, "HEAD_S_MAX", 0.2)
    async for ports in serving(tmp_path, None):
        reader, writer = await asyncio.open_connection(*ports.http_address.split(":"))
        async with asyncio.timeout(30):
            assert b"" == await reader.read()
        writer.close()
