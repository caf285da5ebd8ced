"""The HTTP server of a gateway with a handler that does nothing: what there is to win at most.

Started as a process; prints its port and runs until standard input ends. A body is read whole,
and the answer is as long as the service's.
"""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any

import uvicorn

from unify_grpc.http.connection import BoundedProtocol
from unify_grpc.http.server import listen

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

_TRAITS_CHARS = 330
"""Of a page of traits of the workload."""


async def _answer(
    scope: dict[str, Any],
    receive: Callable[[], Awaitable[dict[str, Any]]],
    send: Callable[[dict[str, Any]], Awaitable[None]],
) -> None:
    body = b'{"success":true}'
    if scope["method"] == "GET":
        body = b'{"traits":"%s"}' % (b"x" * _TRAITS_CHARS)
    while (await receive()).get("more_body"):
        pass
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _serve() -> None:
    sockets = listen("127.0.0.1", 0, is_shared=False)
    config = uvicorn.Config(
        _answer,
        http=BoundedProtocol,
        loop="none",
        lifespan="off",
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
    )
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve(sockets=sockets))
    sys.stdout.write(f"{sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.read)
    server.should_exit = True
    await serving


if __name__ == "__main__":
    asyncio.run(_serve())
