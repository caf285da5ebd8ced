"""A gateway: the serving process has the first; each further one is a process that joins Ray.

`python -m actors.gateway_process` reads its order, one line of JSON, from stdin, and says `ready`
on stdout once it serves. It ends in order at SIGTERM, and at once when stdin ends: then the serving
process is gone, and Ray with it. It makes no actors; it finds them by name.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
import threading
from io import FileIO
from pathlib import Path
from typing import Any, NoReturn

import msgspec
import ray
import structlog

from actors.cluster import DEV_ACCESS_TOKEN, DEV_ADMIN_TOKEN, DEV_WRITE_KEY
from actors.hosting import EXIT_CODE
from actors.ray_backend import RayBackend
from actors.ray_host import start_ray
from unify_grpc.http.edge import edge_of
from unify_grpc.http.server import HttpServer
from unify_grpc.placement.slots import ShardMap
from unify_grpc.service.backend import Backend
from unify_grpc.service.server import Gateway
from unify_grpc.settings import Settings
from unify_grpc.telemetry.logs import configure_logging, get_logger

GC_THRESHOLDS = (100_000, 50, 1000)
"""Measured: at the defaults collecting was half of the gateway's time."""
READY_LINE = b"ready\n"
_READ_BYTES = 1 << 16


class GatewayOrder(msgspec.Struct, frozen=True, kw_only=True):
    """What a further gateway has to know. It carries no secret."""

    number: int
    """The first gateway is 0."""
    settings: Settings
    """With the port and the Ray cluster that were found, and the directory's number of shards."""
    own_port: int
    """0 for none."""

    def packed(self) -> bytes:
        """Returns the order as one line."""
        return msgspec.json.encode(self, enc_hook=str) + b"\n"


def unpack_order(line: bytes) -> GatewayOrder:
    """Returns the order in a line."""
    return msgspec.json.decode(line, type=GatewayOrder, dec_hook=_to_path)


def _to_path(kind: type, value: Any) -> Path:
    assert kind is Path, "settings are paths or what JSON knows"
    return Path(value)


def make_gateway(
    backend: Backend, settings: Settings, own_port: int = 0
) -> tuple[Gateway, HttpServer]:
    """Returns a gateway yet to be started, and its HTTP side, in a process set up for serving."""
    refused = () if settings.dev else (DEV_WRITE_KEY, DEV_ACCESS_TOKEN, DEV_ADMIN_TOKEN)
    gateway = Gateway(backend, settings, refused, own_port)
    http = HttpServer(edge_of(gateway), gateway.certificates)
    gateway.add_front(http)
    # What lives now lives on; collecting it again and again would cost every batch.
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    return gateway, http


async def _serve(order: GatewayOrder, report: FileIO) -> None:
    loop = asyncio.get_running_loop()
    settings = order.settings
    await loop.run_in_executor(None, start_ray, settings, settings.data_dir)
    stopping = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stopping.set)
    backend = RayBackend(ShardMap(settings.shards), settings)
    gateway, _ = make_gateway(backend, settings, order.own_port)
    await gateway.start()
    log = get_logger("service")
    log.info("gateway_started")
    report.write(READY_LINE)
    await stopping.wait()
    log.info("draining")
    await gateway.stop()
    log.info("stopped")


def _end_with_parent(orders: FileIO) -> NoReturn:
    while orders.read(_READ_BYTES):
        pass
    get_logger("service").error("parent_gone")
    os._exit(EXIT_CODE)


def main() -> None:
    """Serves until it is told to stop."""
    # An interrupt at the terminal reaches all processes; the first ends the others in order.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    orders = FileIO(sys.stdin.fileno(), closefd=False)
    report = FileIO(os.dup(sys.stdout.fileno()), "w")
    # Whatever libraries print belongs with the logs.
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    order = unpack_order(orders.readline())
    configure_logging(order.settings.log_level)
    structlog.contextvars.bind_contextvars(gateway=order.number)
    threading.Thread(target=_end_with_parent, args=[orders], daemon=True).start()
    try:
        asyncio.run(_serve(order, report))
    finally:
        ray.shutdown()


if __name__ == "__main__":
    main()
