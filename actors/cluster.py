"""The actors of a data directory: made here once, looked up by name everywhere else."""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import ray

from actors import names
from actors.control_actor import CONTROL_GROUPS, ControlActor, control_options
from actors.data_dir import open_data_dir
from actors.hosting import LOG_FILE, STORAGE_FULL, HostedStore, RefusedError, decode_answer
from actors.merge_actor import MergeActor, merge_options
from actors.preflight import check_stores, note_progress
from actors.ray_backend import RayBackend
from actors.ray_host import RayWatch, start_ray
from actors.shard_actor import SHARD_GROUPS, ShardActor, shard_options
from unify_grpc.machines.control_commands import NewSpace
from unify_grpc.machines.control_commands import encode as encode_command
from unify_grpc.machines.control_records import SCOPES
from unify_grpc.placement.slots import ShardMap
from unify_grpc.settings import Settings
from unify_grpc.storage.errors import StoreRefusedError
from unify_grpc.storage.store import StoreLimits
from unify_grpc.telemetry.logs import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable

_decode_truth = msgspec.msgpack.Decoder(bool).decode
DEV_SPACE = "dev"
DEV_WRITE_KEY = "dev_write_key"
DEV_ACCESS_TOKEN = "dev_access_token"  # noqa: S105 - known on purpose, for loopback only
DEV_ADMIN_TOKEN = "dev_admin_token"  # noqa: S105 - the same
START_TIMEOUT_S = 60.0
RETRY_PAUSE_S = 0.1
"""Before an actor is asked again that died."""


class ActorsMissingError(OSError):
    """An actor did not start; the text says which, and where to look."""


class Cluster:
    """The actors of one data directory."""

    def __init__(self, settings: Settings, show_admin_token: Callable[[str], None]) -> None:
        """Opens the data directory, starts Ray and the actors, and waits until they are up.

        Args:
            settings: with the data directory.
            show_admin_token: called with the one that is made for a deployment that has none and
                was given none, before it holds: what happens next cannot lose it.
        """
        self._settings = settings
        self._show_admin_token = show_admin_token
        directory = settings.data_dir.absolute()
        self.deployment, self._descriptor = open_data_dir(directory, settings.shards)
        try:
            check_stores(directory, self.deployment)
        except BaseException:
            os.close(self._descriptor)
            raise
        self.shard_map = ShardMap(self.deployment.shard_count)
        self._limits = StoreLimits(
            overlay_bytes_max=settings.checkpoint_overlay_bytes_max,
            tail_bytes_max=settings.checkpoint_tail_bytes_max,
            map_bytes=settings.map_bytes,
            reserve_bytes=settings.reserve_bytes,
        )
        self._actors: dict[str, Any] = {}
        self._watch = RayWatch()
        try:
            self.ray_address = start_ray(settings, directory)
            """Of the cluster that the actors live in."""
            self._make_actors(directory)
            self._await_actors(directory)
            self._found()
        except BaseException:
            # Ray may hold the interpreter until it gives up, and be heard before the watch is.
            self._watch.look()
            self._watch.end()
            ray.shutdown()
            os.close(self._descriptor)
            raise

    def _make_actors(self, directory: Path) -> None:
        grouped: Any = ray.remote  # whose types leave concurrency groups out
        control_class = grouped(concurrency_groups=CONTROL_GROUPS)(ControlActor)
        control = control_class.options(**control_options())
        self._actors[names.CONTROL] = control.remote(self._hosted(directory, names.CONTROL))
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

    def _await_actors(self, directory: Path) -> None:
        """Waits until all actors are up; `ActorsMissingError` names one that does not come."""
        give_up = time.monotonic() + START_TIMEOUT_S
        missing = dict(self._actors)
        while True:
            pings = {actor.ping.remote(): name for name, actor in missing.items()}
            left_s = max(give_up - time.monotonic(), 0.0)
            answered, _ = ray.wait(list(pings), num_returns=len(pings), timeout=left_s)
            for ping in answered:
                # One that died meanwhile is started again by Ray.
                with contextlib.suppress(ray.exceptions.RayError):
                    ray.get(ping)
                    del missing[pings[ping]]
            if not missing:
                return
            if time.monotonic() > give_up:
                name = next(iter(missing))
                raise ActorsMissingError(
                    f"{name} did not start within {START_TIMEOUT_S:.0f} s; "
                    f"{directory / name / LOG_FILE} says why"
                )
            time.sleep(RETRY_PAUSE_S)

    def _hosted(self, directory: Path, store: str) -> HostedStore:
        return HostedStore(
            directory=directory / store,
            manifest=self.deployment.manifest(store),
            limits=self._limits_of_merge() if store == names.MERGE else self._limits,
            log_level=self._settings.log_level,
        )

    def _limits_of_merge(self) -> StoreLimits:
        """Returns limits under which links go on for a while when no more events are taken."""
        return replace(self._limits, reserve_bytes=self._limits.reserve_bytes // 2)

    def _found(self) -> None:
        """Founds the deployment if it is new, and the space `dev` if it is asked for."""
        now_us = time.time_ns() // 1000
        admin = DEV_ADMIN_TOKEN if self._settings.dev else self._settings.admin_token
        can_be_administered = _decode_truth(self._ask_control("has_admin_token"))
        if not admin and not can_be_administered:
            admin = "adm_" + secrets.token_urlsafe(32)
            self._show_admin_token(admin)
        try:
            self._ask_control("found", secrets.token_bytes(32), admin, now_us)
        except RefusedError as refused:
            # Without room for a token that was not known before, what is stored is served.
            if not can_be_administered or not str(refused).startswith(STORAGE_FULL):
                raise
            get_logger("service").warning("admin_token_not_made", error=str(refused))
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
            self._ask_control("administer", encode_command(command))

    def _ask_control(self, method: str, *args: object) -> bytes:
        """Asks control, again if it died meanwhile: a command that has run already changes nothing.

        Raises:
            ActorsMissingError: it does not come back.
            RefusedError: it refused.
        """
        give_up = time.monotonic() + START_TIMEOUT_S
        while True:
            try:
                reference = getattr(self._actors[names.CONTROL], method).remote(*args)
                return decode_answer(ray.get(reference, timeout=START_TIMEOUT_S))
            except ray.exceptions.RayError as error:
                if time.monotonic() > give_up:
                    raise ActorsMissingError(f"{names.CONTROL} does not answer") from error
            time.sleep(RETRY_PAUSE_S)

    async def ping_merge(self) -> None:
        """Returns when the merge actor is up and at work."""
        await self._actors[names.MERGE].ping.remote()

    def backend(self) -> RayBackend:
        """Returns how a gateway reaches the actors."""
        return RayBackend(self.shard_map, self._settings)

    def close(self) -> None:
        """Closes all stores, so that no tail is left, and ends Ray."""
        order = [name for name in self._actors if name not in {names.MERGE, names.CONTROL}]
        for name in (names.MERGE, *order, names.CONTROL):
            with contextlib.suppress(ray.exceptions.RayError):
                ray.get(self._actors[name].close.remote(), timeout=START_TIMEOUT_S)
        for actor in self._actors.values():
            ray.kill(actor)
        self._watch.end()
        ray.shutdown()
        # What did not end in order is looked at by the next start.
        with contextlib.suppress(StoreRefusedError, OSError):
            note_progress(self._settings.data_dir.absolute(), self.deployment)
        os.close(self._descriptor)
