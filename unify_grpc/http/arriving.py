"""Bodies on their way in: how many there may be at once, and how much they may hold.

They are counted by themselves, so that whoever sends a body byte by byte keeps nobody out. Those
of callers who are not known yet are bounded, in number and in bytes; nobody needs a key for them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Self

from unify_grpc.http.bodies import read_body
from unify_grpc.service.errors import ShardOverloadedError

if TYPE_CHECKING:
    from starlette.requests import Request

    from unify_grpc.http.edge import Edge

UNKNOWN_FACTOR: Final = 4
"""Callers that are not known yet, for each call that may be served."""
UNKNOWN_BYTES_MAX: Final = 64 << 20
"""What they may have sent, decompressed, all together."""
TOO_MUCH: Final = "Too many calls are under way; try again after a pause."


async def read_bounded(edge: Edge, request: Request, bytes_max: int) -> bytes:
    """Returns the body of a caller that was let in; then there has to be room to serve it.

    Raises:
        ShardOverloadedError: too many calls are under way by now.
        HttpError: as `read_body` does.
    """
    edge.counts.reading += 1
    try:
        body = await read_body(request, bytes_max)
    finally:
        edge.counts.reading -= 1
    check_room(edge)
    return body


class UnknownCaller:
    """A caller whose key is inside the body: entered until it is known."""

    def __init__(self, edge: Edge) -> None:
        self._edge = edge
        self._bytes = 0

    def __enter__(self) -> Self:
        """Counts the caller; `ShardOverloadedError` if there are too many."""
        counts = self._edge.counts
        if counts.unknown >= UNKNOWN_FACTOR * self._edge.settings.calls_concurrent_max:
            raise ShardOverloadedError(TOO_MUCH)
        counts.unknown += 1
        counts.reading += 1
        return self

    def __exit__(self, *_: object) -> None:
        """The caller is known by now, or was refused."""
        counts = self._edge.counts
        counts.unknown -= 1
        counts.reading -= 1
        counts.unknown_bytes -= self._bytes

    async def read(self, request: Request, bytes_max: int) -> bytes:
        """Returns the body.

        Raises:
            ShardOverloadedError: all of them have sent too much.
            HttpError: as `read_body` does.
        """
        return await read_body(request, bytes_max, taken=self._take)

    def _take(self, size: int) -> None:
        counts = self._edge.counts
        if counts.unknown_bytes + size > UNKNOWN_BYTES_MAX:
            raise ShardOverloadedError(TOO_MUCH)
        counts.unknown_bytes += size
        self._bytes += size


def check_room(edge: Edge) -> None:
    """Refuses a call while too many are served (`ShardOverloadedError`).

    Neither those whose bodies arrive count, nor those whose refusal is held back.
    """
    counts = edge.counts
    if counts.calls - counts.reading - counts.held > edge.settings.calls_concurrent_max:
        raise ShardOverloadedError(TOO_MUCH)
