"""Puts a service together: the data directory, Ray, the actors, a gateway; and takes it apart.

Made here once, looked up by name everywhere else. When Ray's node process or its GCS dies nothing
can be repaired from inside (measured on 2.60), so the service then ends itself with one line and a
code that is not 0: starting it again is the recovery.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import secrets
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import ray

from actors import names
from actors.control_actor import ControlActor, control_options
from actors.data_dir import DEPLOYMENT_FILE, open_data_dir
from actors.hosting import EXIT_CODE, HostedStore, decode_answer
from actors.merge_actor import MergeActor, merge_options
from actors.ray_backend import RayBackend
from actors.shard_actor import SHARD_GROUPS, ShardActor, shard_options
from unify_grpc.machines.control_machine import SCOPES, NewSpace
from unify_grpc.placement.slots import ShardMap
from unify_grpc.service.server import Gateway
from unify_grpc.storage.store import StoreLimits
from unify_grpc.telemetry.logs import configure_logging, get_logger

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from unify_grpc.settings import Settings

DEV_SPACE = "dev"
DEV_WRITE_KEY = "dev_write_key"
DEV_ACCESS_TOKEN = "dev_access_token"  # noqa: S105 - known on purpose, for loopback only
DEV_ADMIN_TOKEN = "dev_admin_token"  # noqa: S105 - the same
START_TIMEOUT_S = 60.0
WATCH_INTERVAL_S = 1.0
PULSE_INTERVAL_S = 1.0
GC_THRESHOLDS = (100_000, 50, 1000)
"""Measured: at the defaults collecting was half of the gateway's time."""
RAY_PARTS = ("raylet", "gcs_server")


class LaunchRefusedError(Exception):
    """The service may not start as it was asked to; the text says why in one sentence."""


def check_settings(settings: Settings) -> None:
    """Refuses settings that would open the service to more people than they say."""
    if settings.is_loopback:
        return
    if settings.dev:
        raise LaunchRefusedError("--dev has well-known keys, so it serves on loopback only")
    if not settings.plaintext:
        raise LaunchRefusedError(
            "serving without TLS on an address that is not loopback needs --plaintext"
        )


class Cluster:
    """The actors of one data directory."""

    def __init__(self, settings: Settings) -> None:
        """Opens the data directory, starts Ray and the actors, and waits until they are up."""
        self._settings = settings
        directory = settings.data_dir.absolute()
        self.is_new = not (directory / DEPLOYMENT_FILE).exists()
        self.first_admin_token = ""
        """Made for a new deployment that was given none; to be shown once."""
        self.deployment, self._descriptor = open_data_dir(directory, settings.shards)
        self.shard_map = ShardMap(self.deployment.shard_count)
        _start_ray(settings, directory)
        self._limits = StoreLimits(
            overlay_bytes_max=settings.checkpoint_overlay_bytes_max,
            tail_bytes_max=settings.checkpoint_tail_bytes_max,
        )
        self._actors: dict[str, Any] = {}
        try:
            self._make_actors(directory)
            pings = [actor.ping.remote() for actor in self._actors.values()]
            ray.get(pings, timeout=START_TIMEOUT_S)
            self._found()
        except BaseException:
            ray.shutdown()
            os.close(self._descriptor)
            raise

    def _make_actors(self, directory: Path) -> None:
        control = ray.remote(ControlActor).options(**control_options())
        self._actors[names.CONTROL] = control.remote(self._hosted(directory, names.CONTROL))
        grouped: Any = ray.remote  # whose types leave concurrency groups out
        shard_class = grouped(concurrency_groups=SHARD_GROUPS)(ShardActor)
        for shard in range(self.shard_map.shard_count):
            name = names.shard_name(shard)
            self._actors[name] = shard_class.options(**shard_options(name)).remote(
                shard,
                self.shard_map,
                self._hosted(directory, name),
                self._settings.dedupe_window_days,
            )
        merge = ray.remote(MergeActor).options(**merge_options())
        self._actors[names.MERGE] = merge.remote(
            self.shard_map, self._hosted(directory, names.MERGE)
        )

    def _hosted(self, directory: Path, store: str) -> HostedStore:
        return HostedStore(
            directory=directory / store,
            manifest=self.deployment.manifest(store),
            limits=self._limits,
            log_level=self._settings.log_level,
        )

    def _found(self) -> None:
        """Founds the deployment if it is new, and the space `dev` if it is asked for."""
        control = self._actors[names.CONTROL]
        now_us = time.time_ns() // 1000
        admin = DEV_ADMIN_TOKEN if self._settings.dev else self._settings.admin_token
        if not admin and self.is_new:
            admin = self.first_admin_token = "adm_" + secrets.token_urlsafe(32)
        decode_answer(ray.get(control.found.remote(secrets.token_bytes(32), admin, now_us)))
        if self._settings.dev:
            command = NewSpace(
                name=DEV_SPACE,
                rules=b"{}",
                request_id="",
                author="unify serve --dev",
                now_us=now_us,
                space_id="spa_dev",
                secret=secrets.token_bytes(32),
                write_key=DEV_WRITE_KEY,
                source_id="src_dev",
                access_token=DEV_ACCESS_TOKEN,
                access_token_id="tok_dev",  # noqa: S106 - an id
                scopes=list(SCOPES),
            )
            decode_answer(ray.get(control.create_space.remote(msgspec.msgpack.encode(command))))

    async def ping_merge(self) -> None:
        """Returns when the merge actor is up and at work."""
        await self._actors[names.MERGE].ping.remote()

    def backend(self) -> RayBackend:
        """Returns how a gateway reaches the actors."""
        return RayBackend(self.shard_map)

    def close(self) -> None:
        """Closes all stores, so that no tail is left, and ends Ray."""
        order = [name for name in self._actors if name not in {names.MERGE, names.CONTROL}]
        for name in (names.MERGE, *order, names.CONTROL):
            with contextlib.suppress(ray.exceptions.RayError):
                ray.get(self._actors[name].close.remote(), timeout=START_TIMEOUT_S)
        for actor in self._actors.values():
            ray.kill(actor)
        ray.shutdown()
        os.close(self._descriptor)


def _start_ray(settings: Settings, directory: Path) -> None:
    token = directory / "ray-token"
    if not token.exists():
        descriptor = os.open(token, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_hex(32))
    # For Ray's own processes, which inherit it. Workers find the code as this process does: a
    # runtime environment would cost two seconds at every start.
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ["RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"] = "0"
    os.environ["RAY_AUTH_TOKEN_PATH"] = str(token)
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    options: dict[str, Any] = {
        "namespace": names.NAMESPACE,
        "log_to_driver": settings.log_level == "debug",
        "logging_level": "error",
    }
    if settings.ray_address:
        ray.init(address=settings.ray_address, **options)
        return
    ray.init(
        include_dashboard=False,
        num_cpus=max(2, os.cpu_count() or 2),
        object_store_memory=settings.object_store_bytes,
        **options,
    )


async def serve(settings: Settings, ready: Callable[[int], Awaitable[None]] | None = None) -> None:
    """Serves until SIGTERM or SIGINT.

    Args:
        settings: checked with `check_settings`.
        ready: called with the port once calls are taken; the service stops when it returns.
    """
    configure_logging(settings.log_level)
    check_settings(settings)
    log = get_logger("service")
    loop = asyncio.get_running_loop()
    cluster = await loop.run_in_executor(None, Cluster, settings)
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    refused = () if settings.dev else (DEV_WRITE_KEY, DEV_ACCESS_TOKEN, DEV_ADMIN_TOKEN)
    gateway = Gateway(cluster.backend(), settings, refused)
    # What lives now lives on; collecting it again and again would cost every batch.
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    pulse = asyncio.ensure_future(_keep_merging(cluster))
    watch = asyncio.ensure_future(_watch_ray())
    watch.add_done_callback(_end_without_ray)
    try:
        port = await gateway.start()
        if ready is not None:
            await ready(port)
        else:
            host = settings.host
            if cluster.first_admin_token:
                sys.stdout.write(f"admin token, shown once: {cluster.first_admin_token}\n")
            sys.stdout.write(f"unify is ready: grpc://{host}:{port}\n")
            sys.stdout.flush()
            await stopping.wait()
        log.info("draining")
        await gateway.stop()
    finally:
        pulse.cancel()
        watch.remove_done_callback(_end_without_ray)
        watch.cancel()
        await loop.run_in_executor(None, cluster.close)
    log.info("stopped")


async def _keep_merging(cluster: Cluster) -> None:
    """Has the merge actor recover and sweep after Ray restarted it, also when nobody calls it."""
    while True:
        with contextlib.suppress(ray.exceptions.RayError, TimeoutError):
            await asyncio.wait_for(cluster.ping_merge(), START_TIMEOUT_S)
        await asyncio.sleep(PULSE_INTERVAL_S)


async def _watch_ray() -> str:
    """Returns which of Ray's processes is gone, once one is."""
    processes = _ray_processes()
    while True:
        for number, name in processes.items():
            if not _is_alive(number):
                return name
        await asyncio.sleep(WATCH_INTERVAL_S)


def _ray_processes() -> dict[int, str]:
    """Returns this process's children that Ray cannot live without; none if Ray is elsewhere."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError, ValueError, IndexError):
                name, parent = _status_of(int(entry.name))[:2]
                if parent == os.getpid() and name in RAY_PARTS:
                    found[int(entry.name)] = name
    return found


def _status_of(number: int) -> tuple[str, int, str]:
    """Returns (name, parent, state) of a process."""
    text = Path(f"/proc/{number}/stat").read_text()
    name, _, rest = text.partition("(")[2].rpartition(")")
    state, parent = rest.split()[:2]
    return name, int(parent), state


def _is_alive(number: int) -> bool:
    try:
        return _status_of(number)[2] != "Z"
    except OSError:
        return False


def _end_without_ray(watch: asyncio.Future[str]) -> None:
    if watch.cancelled():
        return
    get_logger("service").error("ray_died", process=watch.result())
    sys.stderr.write(f"unify ends: Ray's {watch.result()} died; start it again to recover\n")
    sys.stderr.flush()
    os._exit(EXIT_CODE)
