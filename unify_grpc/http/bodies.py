"""The body of a request, whole, bounded before anything looks into it.

The bound is on what it decompresses to, and holds while it is decompressed: of a bomb no more than
that is ever in memory.
"""

from __future__ import annotations

import asyncio
import zlib
from typing import TYPE_CHECKING, Final

from starlette.requests import ClientDisconnect

from unify_grpc.http.refusals import BodyLateError, BodyTooLargeError, BodyUnreadableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request

BODY_S_MAX: Final = 10.0
"""How long a body may take to arrive."""
DROPPED_BYTES_MAX: Final = 4 << 20
"""Of a body that is too large, as it is sent, before its caller is hung up on."""
LENGTH_CHARS_MAX: Final = 19
PLAIN: Final = frozenset({"", "identity"})
COMPRESSED: Final = frozenset({"gzip", "x-gzip", "deflate"})
_ANY_HEADER: Final = 47
"""zlib's number for: gzip or zlib, whichever it is."""


class _Plain:
    """Takes a body that came as it is."""

    is_complete = True

    def take(self, chunk: bytes, room: int) -> bytes:
        """Returns the chunk."""
        del room
        return chunk


class _Compressed:
    """Takes a compressed body."""

    def __init__(self) -> None:
        self._inflater = zlib.decompressobj(_ANY_HEADER)

    @property
    def is_complete(self) -> bool:
        """Whether its end has come."""
        return self._inflater.eof

    def take(self, chunk: bytes, room: int) -> bytes:
        """Returns what a chunk decompresses to: at most `room` bytes and one more."""
        try:
            found = self._inflater.decompress(chunk, room + 1)
        except zlib.error:
            raise BodyUnreadableError("The body cannot be decompressed.") from None
        if self._inflater.unused_data:
            raise BodyUnreadableError("Something follows the compressed body.")
        return found


def _nothing(size: int) -> None:
    """Bounds nothing beside the body itself."""
    del size


async def read_body(
    request: Request,
    bytes_max: int,
    timeout_s: float = BODY_S_MAX,
    taken: Callable[[int], None] = _nothing,
) -> bytes:
    """Returns the decompressed body.

    What is too large is read on for a while, and dropped: a caller that still sends when it is
    hung up on does not hear why, and would send the same again.

    Args:
        request: not read yet.
        bytes_max: of the decompressed body, and of what is sent.
        timeout_s: for all of it to arrive.
        taken: is told of the bytes that are kept, part by part, and may raise.

    Raises:
        BodyTooLargeError: there is more.
        BodyUnreadableError: it is not compressed as it says, or ends before its end.
        BodyLateError: it did not arrive in time.
    """
    taking = _taking(request)
    length = request.headers.get("content-length", "")
    if len(length) > LENGTH_CHARS_MAX or (length.isdecimal() and int(length) > DROPPED_BYTES_MAX):
        raise BodyTooLargeError
    parts: list[bytes] = []
    size = sent = 0
    try:
        async with asyncio.timeout(timeout_s):
            async for chunk in request.stream():
                sent += len(chunk)
                if max(size, sent) > bytes_max:
                    parts.clear()
                    if sent > DROPPED_BYTES_MAX:
                        break
                elif chunk:
                    part = taking.take(chunk, bytes_max - size)
                    taken(len(part))
                    size += len(part)
                    parts.append(part)
    except TimeoutError:
        raise BodyLateError from None
    except ClientDisconnect:
        raise BodyUnreadableError("The caller hung up before the body was complete.") from None
    if max(size, sent) > bytes_max:
        raise BodyTooLargeError
    if not taking.is_complete:
        raise BodyUnreadableError("The compressed body is cut short.")
    return b"".join(parts)


def _taking(request: Request) -> _Plain | _Compressed:
    encoding = request.headers.get("content-encoding", "").strip().lower()
    if encoding in PLAIN:
        return _Plain()
    if encoding in COMPRESSED:
        return _Compressed()
    raise BodyUnreadableError("The content encoding is not known; gzip is.")
