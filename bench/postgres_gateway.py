"""The gateway process of the yardstick `postgres`: the service's own edge before PostgreSQL.

`python -m bench.postgres_gateway SOCKET_DIR LANES WHOLE` says where it serves as `unify serve`
does, and ends in order at SIGTERM.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from typing import Any, cast

from actors.gateway_process import make_gateway
from bench import postgres_traits
from bench.postgres_backend import PostgresBackend, connect
from bench.postgres_schema import EVENTS_BY_TIME, SCHEMA
from unify_grpc.settings import Settings
from unify_grpc.telemetry.logs import configure_logging


async def serve(socket_dir: str, lanes: int, *, is_whole: bool) -> None:
    """Makes the tables, and serves until SIGTERM.

    Args:
        socket_dir: where the server listens.
        lanes: connections for calls.
        is_whole: whether traits are kept, and events in order of time.
    """
    first = await connect(socket_dir)
    await first.execute(SCHEMA)
    if is_whole:
        await first.execute(EVENTS_BY_TIME)
        await first.execute(postgres_traits.SCHEMA)
    await first.close()
    backend = await PostgresBackend.connected(socket_dir, lanes, keeps_traits=is_whole)
    # It has no more of a `Backend` than the bench's calls reach.
    gateway, _ = make_gateway(cast("Any", backend), Settings(dev=True, grpc_port=0, http_port=0))
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    port = await gateway.start()
    print(f"unify is ready: grpc://127.0.0.1:{port}", flush=True)
    await stopping.wait()
    await gateway.stop()
    await backend.close()


if __name__ == "__main__":
    configure_logging("warning")
    asyncio.run(serve(sys.argv[1], int(sys.argv[2]), is_whole=bool(int(sys.argv[3]))))
