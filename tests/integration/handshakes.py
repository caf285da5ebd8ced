"""Handshakes with a service that encrypts, one by one."""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
import tempfile
from http import HTTPStatus
from typing import TYPE_CHECKING

from tests.unit.service.authority import Issued

if TYPE_CHECKING:
    from collections.abc import Iterator

TIMEOUT_S = 20.0
HTTP, GRPC = "http/1.1", "h2"
"""What each port speaks, and asks for in the handshake."""


def context_of(roots: bytes, own: Issued | None = None) -> ssl.SSLContext:
    """Returns how a caller encrypts: whom it trusts, and what it shows of itself."""
    context = ssl.create_default_context(cadata=roots.decode())
    if own is not None:
        with tempfile.NamedTemporaryFile() as file:
            file.write(own.key + own.chain)
            file.flush()
            context.load_cert_chain(file.name)
    return context


@contextlib.contextmanager
def connected(
    address: str,
    context: ssl.SSLContext,
    protocol: str = HTTP,
    session: ssl.SSLSession | None = None,
) -> Iterator[ssl.SSLSocket]:
    """Connects to `host:port`; the connection ends with the context."""
    host, _, port = address.rpartition(":")
    context.set_alpn_protocols([protocol])
    with (
        socket.create_connection((host, int(port)), TIMEOUT_S) as plain,
        context.wrap_socket(plain, server_hostname=host, session=session) as encrypted,
    ):
        yield encrypted


def certificate_of(address: str, context: ssl.SSLContext, protocol: str = HTTP) -> bytes | None:
    """Returns the certificate that a new connection is shown."""
    with connected(address, context, protocol) as connection:
        return connection.getpeercert(binary_form=True)


def ask(connection: ssl.SSLSocket, path: str = "/healthz") -> http.client.HTTPResponse:
    """Asks for a path over a connection that stays open; returns the answer, read."""
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    answer = http.client.HTTPResponse(connection)
    answer.begin()
    answer.read()
    return answer


def is_let_in(address: str, context: ssl.SSLContext) -> bool:
    """Whether a new connection over HTTP gets an answer.

    With TLS 1.3 a caller hears only after its handshake that its certificate was not enough.
    """
    try:
        with connected(address, context) as connection:
            return ask(connection).status == HTTPStatus.OK
    except (ssl.SSLError, ConnectionError, http.client.HTTPException):
        return False
