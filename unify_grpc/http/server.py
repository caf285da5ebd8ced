"""The HTTP server inside a gateway's process, on the gateway's loop."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from functools import partial
from typing import TYPE_CHECKING, Final

import uvicorn

from unify_grpc.http.app import build_app
from unify_grpc.http.connection import HEAD_S_MAX, BoundedProtocol, allow_connections
from unify_grpc.http.security_headers import SecurityHeaders
from unify_grpc.telemetry.logs import get_logger

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator

    from unify_grpc.http.edge import Edge
    from unify_grpc.service.certificates import CertificateKeeper

IDLE_S_MAX: Final = 75
BACKLOG: Final = 2048
STOP_S: Final = 1.0


class _Server(uvicorn.Server):
    """The library's server; signals are the gateway's."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leaves signals alone."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listens as the library does, but with TLS a handshake has no longer than a head."""
        config, loop = self.config, asyncio.get_running_loop()
        if config.ssl is None:
            await super().startup(sockets)
            return
        self.servers = [
            await loop.create_server(
                lambda: config.http_protocol_class(  # type: ignore[call-arg]  # one of HTTP
                    config=config, server_state=self.server_state, app_state=self.lifespan.state
                ),
                sock=each,
                ssl=config.ssl,
                ssl_handshake_timeout=HEAD_S_MAX,
                backlog=BACKLOG,
            )
            for each in sockets or ()
        ]
        self.started = True


class HttpServer:
    """Serves HTTP from when the gateway serves gRPC until it has drained."""

    def __init__(self, edge: Edge, certificates: CertificateKeeper | None = None) -> None:
        self._edge = edge
        self._certificates = certificates
        self.port = edge.settings.http_port
        """The port it listens on, once it was started."""
        self._sockets: list[socket.socket] = []
        self._server: _Server | None = None
        self._serving: asyncio.Task[None] | None = None

    @property
    def calls_count(self) -> int:
        """How many calls are under way."""
        return self._edge.counts.calls

    async def start(self) -> None:
        """Opens the port; `OSError` if it cannot be had."""
        settings = self._edge.settings
        self._sockets = listen(settings.host, self.port, is_shared=settings.shares_ports)
        self.port = self._sockets[0].getsockname()[1]
        config = uvicorn.Config(
            SecurityHeaders(build_app(self._edge)),
            http=partial(BoundedProtocol, connections_max=allow_connections()),  # type: ignore[arg-type]  # called as a class is
            loop="none",
            lifespan="off",
            ws="none",
            log_config=None,
            log_level="error",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=IDLE_S_MAX,
            timeout_graceful_shutdown=int(STOP_S),
            backlog=BACKLOG,
            ssl_context_factory=_context_factory(self._certificates),
        )
        self._server = _Server(config)
        self._serving = asyncio.create_task(self._server.serve(sockets=self._sockets))
        self._serving.add_done_callback(self._ended)

    def _ended(self, serving: asyncio.Task[None]) -> None:
        """Has the gateway take nothing more if its HTTP side ends by itself: it is half alive."""
        assert self._server is not None, "it was served by it"
        if not self._server.should_exit:
            error = None if serving.cancelled() else serving.exception()
            get_logger("gateway").error("http_ended", error=type(error).__name__)
            self._edge.draining.start()

    async def stop(self) -> None:
        """Closes the port and what is still open on it; calls have ended by then."""
        if self._server is None or self._serving is None:
            return
        self._server.should_exit = True
        await asyncio.wait({self._serving}, timeout=2 * STOP_S)
        if not self._serving.done():
            self._serving.cancel()
        for each in self._sockets:
            each.close()


def _context_factory(
    certificates: CertificateKeeper | None,
) -> Callable[[object, object], ssl.SSLContext] | None:
    """Returns how the library gets what to encrypt with; None: it does not encrypt."""
    if certificates is None:
        return None
    return lambda _config, _default: certificates.http_context()


def listen(host: str, port: int, *, is_shared: bool) -> list[socket.socket]:
    """Returns sockets on every address of a host, all of one port.

    Args:
        host: a name or an address.
        port: 0 picks a free one.
        is_shared: by SO_REUSEPORT, with the other gateways of the service.

    Raises:
        OSError: the port cannot be had.
    """
    sockets: list[socket.socket] = []
    problem = OSError(f"the address {host} cannot be had")
    for family, _, _, _, (address, *_) in socket.getaddrinfo(
        host, None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    ):
        # With the protocol named the loop turns Nagle's algorithm off: else a small answer waits
        # for the other side's delayed acknowledgement, 40 ms.
        made = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        try:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if is_shared:
                made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            if family == socket.AF_INET6:
                made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            made.bind((address, port))
            made.listen(BACKLOG)
        except OSError as error:
            made.close()
            problem = error
            continue
        made.setblocking(False)
        port = made.getsockname()[1]
        sockets.append(made)
    if not sockets:
        raise OSError(f"the port {port} of {host} cannot be had") from problem
    return sockets
