"""Requests written byte by byte, as no HTTP library would, and what is answered to them."""

from __future__ import annotations

import base64
import json
import socket
import zlib
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from tests.integration.service import ADMIN_TOKEN, WRITE_KEY

if TYPE_CHECKING:
    from collections.abc import Iterator

EVENT: Final = json.dumps(
    {"type": "track", "event": "E", "userId": "raw", "writeKey": WRITE_KEY}
).encode()
_HEAD: Final = b"Host: h\r\nConnection: close\r\n"
_AUTH: Final = b"Authorization: Basic " + base64.b64encode(ADMIN_TOKEN.encode() + b":") + b"\r\n"
_POST: Final = b"POST /v1/track HTTP/1.1\r\n" + _HEAD
_CHUNKED: Final = _POST + b"Transfer-Encoding: chunked\r\n\r\n"
_READ: Final = b"/v1/spaces/dev/collections/users/profiles/user_id:u/traits"
_WEBSOCKET: Final = (
    b"GET /healthz HTTP/1.1\r\nHost: h\r\nConnection: close, Upgrade\r\n"
    b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: eA==\r\n\r\n"
)


def _posted(body: bytes, headers: bytes = b"") -> bytes:
    return _POST + headers + b"Content-Length: %d\r\n\r\n" % len(body) + body


def _get(target: bytes, version: bytes = b"1.1", method: bytes = b"GET") -> bytes:
    return method + b" " + target + b" HTTP/" + version + b"\r\n" + _HEAD + _AUTH + b"\r\n"


ANSWERED: Final[dict[str, tuple[bytes, int]]] = {
    "the star of OPTIONS": (_get(b"*", method=b"OPTIONS"), 404),
    "a whole URL": (_get(b"http://other.example.com/healthz"), 200),
    "a path of two slashes": (_get(b"//v1//track"), 404),
    "a path with dots": (_get(b"/v1/../healthz"), 404),
    "a NUL in a path": (_get(b"/v1/spaces/%00/collections"), 404),
    "an end of line in a path": (_get(_READ.replace(b":u", b":%0d%0aX:%20y")), 404),
    "no UTF-8 in a path": (_get(_READ.replace(b":u", b":%FF")), 400),
    "half an escape": (_get(_READ.replace(b":u", b":%4")), 404),
    "a question that is none": (_get(_READ + b"?%FF=%FF&&&==&limit"), 404),
    "a fragment": (_get(b"/healthz#x"), 200),
    "a path of 60 KB": (_get(b"/" + b"a" * 60_000), 414),
    "a path of 20,000 parts": (_get(b"/v1/spaces" + b"/x" * 20_000), 414),
    "a value of 60 KB": (_get(_READ.replace(b":u", b":" + b"%41" * 20_000)), 414),
    "parameters without number": (_get(_READ + b"?" + b"include=a&" * 6_000), 400),
    "HTTP/1.0": (_get(b"/healthz", b"1.0"), 200),
    "a wish for websockets": (_WEBSOCKET, 200),
    "no host": (b"GET /healthz HTTP/1.1\r\nConnection: close\r\n\r\n", 200),
    "a thousand headers": (_POST + b"A: b\r\n" * 1_000 + b"Content-Length: 0\r\n\r\n", 400),
    "a header without a value": (_posted(EVENT, b"X-Empty:\r\n"), 200),
    "bytes in a header": (_posted(EVENT, b"X: \x80\xff\xc3\x28\r\n"), 200),
    "bytes for a key": (_posted(b"{}", b"Authorization: Basic \xff\xfe\r\n"), 401),
    "bytes for an encoding": (_posted(EVENT, b"Content-Encoding: \xff\r\n"), 400),
    "two encodings": (_posted(EVENT, b"Content-Encoding: gzip\r\nContent-Encoding: br\r\n"), 400),
    "an encoding that is none": (_posted(EVENT, b"Content-Encoding: identity\r\n"), 200),
    "a promise to send": (_posted(EVENT, b"Expect: 100-continue\r\n"), 200),
    "a body of nothing": (_posted(b""), 400),
    "no body": (_POST + b"\r\n", 400),
    "far too long a body, by its own account": (
        _POST + b"Content-Length: 999999999999999999\r\n\r\n",
        413,
    ),
    "one chunk": (_CHUNKED + b"%x\r\n" % len(EVENT) + EVENT + b"\r\n0\r\n\r\n", 200),
    "chunks of one byte": (
        _CHUNKED + b"".join(b"1\r\n%c\r\n" % each for each in EVENT) + b"0\r\n\r\n",
        200,
    ),
    "no chunk": (_CHUNKED + b"0\r\n\r\n", 400),
    "a chunk with much beside it": (
        _CHUNKED
        + b"%x;%s\r\n" % (len(EVENT), b";".join([b"a=b"] * 10_000))
        + EVENT
        + b"\r\n0\r\n\r\n",
        200,
    ),
    "trailers": (
        _CHUNKED + b"%x\r\n" % len(EVENT) + EVENT + b"\r\n0\r\n" + b"X: y\r\n" * 100 + b"\r\n",
        200,
    ),
    "a chunk of too much": (_CHUNKED + b"9c40\r\n" + bytes(40_000) + b"\r\n0\r\n\r\n", 413),
    "too much in small chunks": (
        _CHUNKED + b"400\r\n%s\r\n" % bytes(1024) * 40 + b"0\r\n\r\n",
        413,
    ),
    "a chunk of no size": (_CHUNKED + b"-5\r\nabcde\r\n0\r\n\r\n", 400),
    "a chunk of any size": (_CHUNKED + b"f" * 20 + b"\r\n", 400),
    "chunks and a length": (
        _POST + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    "chunks of another kind": (_POST + b"Transfer-Encoding: gzip\r\n\r\n" + EVENT, 400),
    "a length that is none": (_POST + b"Content-Length: 0x10\r\n\r\n" + EVENT, 400),
    "a folded header": (_posted(EVENT, b"X: a\r\n b\r\n"), 400),
    "a blank before a colon": (_posted(EVENT, b"X : a\r\n"), 400),
    "a NUL in a header": (_posted(EVENT, b"X: a\0b\r\n"), 400),
    "a method that there is not": (_get(b"/healthz", method=b"HELLO"), 400),
    "another protocol": (_get(b"/healthz", b"9.9"), 400),
    "no path": (b"GET  HTTP/1.1\r\n\r\n", 400),
    "ends of lines": (b"\n" * 1_000 + b"X\r\n\r\n", 400),
}
"""What is sent, whole, and the status of its answer; the connection ends with it."""


def cut_short() -> Iterator[bytes]:
    """Yields requests that end in the middle, wherever that is."""
    packed = zlib.compress(EVENT, wbits=31)
    whole = [
        _posted(EVENT),
        _CHUNKED + b"%x\r\n" % len(EVENT) + EVENT + b"\r\n0\r\n\r\n",
        _posted(packed, b"Content-Encoding: gzip\r\n"),
        _get(_READ),
    ]
    for each in whole:
        yield from (each[: len(each) * part // 12] for part in range(1, 12))


def connected(http_url: str) -> socket.socket:
    """Returns a connection that sends what a test likes."""
    url = urlsplit(http_url)
    assert url.hostname is not None
    return socket.create_connection((url.hostname, url.port or 80), timeout=30)


def received(connection: socket.socket) -> bytes:
    """Returns all that comes until the other side ends the connection."""
    parts = []
    try:
        while part := connection.recv(65536):
            parts.append(part)
    except ConnectionResetError:
        assert parts, "hung up on without an answer"
    return b"".join(parts)
