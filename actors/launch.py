"""Puts a service together: the data directory, Ray, the actors, the gateways; and takes it apart.

Each part has a file of its own: `cluster.py`, `ray_host.py`, `gateways.py`. Here is their order.
"""

from __future__ import annotations

import asyncio
import contextlib
import resource
import signal
import sys
from typing import TYPE_CHECKING

import ray

from actors.cluster import START_TIMEOUT_S, Cluster
from actors.gateways import Gateways
from actors.held_port import HeldPort
from unify_grpc.service.certificates import CertificatesRefusedError, keep_certificates
from unify_grpc.telemetry.logs import configure_logging, get_logger

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from unify_grpc.settings import Settings

PULSE_INTERVAL_S = 1.0


class LaunchRefusedError(Exception):
    """The service may not start as it was asked to; the text says why in one sentence."""


def check_settings(settings: Settings) -> None:
    """Refuses settings that would open the service to more people than they say.

    Raises:
        LaunchRefusedError: so do these, or their certificates cannot be served with.
    """
    try:
        keep_certificates(settings)
    except CertificatesRefusedError as error:
        raise LaunchRefusedError(str(error)) from None
    if settings.is_loopback:
        return
    if settings.dev:
        raise LaunchRefusedError("--dev has well-known keys, so it serves on loopback only")
    if not settings.has_tls and not settings.plaintext:
        raise LaunchRefusedError(
            "serving on an address that is not loopback needs --tls-cert and --tls-key,"
            " or --plaintext"
        )


async def serve(
    settings: Settings, ready: Callable[[Gateways], Awaitable[None]] | None = None
) -> None:
    """Serves until SIGTERM or SIGINT.

    Args:
        settings: checked with `check_settings`.
        ready: called with the gateways once calls are taken; the service stops when it returns.

    Raises:
        OSError: a port cannot be had, or a gateway does not start.
    """
    configure_logging(settings.log_level)
    check_settings(settings)
    _dump_no_core()
    log = get_logger("service")
    loop = asyncio.get_running_loop()
    # Whoever cannot have the port is told so before anything is made or started.
    HeldPort(settings.host, settings.grpc_port).close()
    HeldPort(settings.host, settings.http_port).close()
    cluster = await loop.run_in_executor(None, Cluster, settings, _show_admin_token)
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    pulse = asyncio.ensure_future(_keep_merging(cluster))
    try:
        async with Gateways(cluster, settings) as gateways:
            if ready is not None:
                await ready(gateways)
            else:
                _announce(gateways, settings)
                await stopping.wait()
            log.info("draining")
    finally:
        pulse.cancel()
        await loop.run_in_executor(None, cluster.close)
    log.info("stopped")


def _dump_no_core() -> None:
    """Has neither this process nor those that it starts leave its memory on a disk when it dies.

    It holds keys, and what is known of people.
    """
    _, most = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, most))


def _show_admin_token(token: str) -> None:
    sys.stdout.write(f"admin token, shown once: {token}\n")
    sys.stdout.flush()


def _announce(gateways: Gateways, settings: Settings) -> None:
    """Prints the one line that says where."""
    host, s = settings.host, "s" if settings.has_tls else ""
    own = [f"grpc{s}://{host}:{port}" for port in gateways.own_ports]
    line = [f"unify is ready: grpc{s}://{host}:{gateways.port}"]
    line += [f"http{s}://{host}:{gateways.http_port}"]
    line += ["gateways:", *own] if own else []
    sys.stdout.write(" ".join(line) + "\n")
    sys.stdout.flush()


async def _keep_merging(cluster: Cluster) -> None:
    """Has the merge actor recover and sweep after Ray restarted it, also when nobody calls it."""
    while True:
        with contextlib.suppress(ray.exceptions.RayError, TimeoutError):
            await asyncio.wait_for(cluster.ping_merge(), START_TIMEOUT_S)
        await asyncio.sleep(PULSE_INTERVAL_S)
