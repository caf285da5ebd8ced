"""All gateways of a service: the first in this process, the others as processes it looks after.

Spawned, never forked: Ray and gRPC have threads. A gateway keeps nothing, so one that ends is
started again, and callers of the dead one send again.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from dataclasses import replace
from types import TracebackType
from typing import Self

from actors.cluster import START_TIMEOUT_S, Cluster
from actors.gateway_process import READY_LINE, GatewayOrder, make_gateway
from actors.held_port import HeldPort
from unify_grpc.settings import Settings, environment_of_children
from unify_grpc.telemetry.logs import get_logger

PAUSE_MIN_S = 0.2
"""Before a gateway that served is started again."""
PAUSE_MAX_S = 10.0
"""The longest pause between starts that fail; each is twice the one before."""
STOP_GRACE_S = 5.0
"""What a gateway has beyond the time for draining, before it is killed."""


class Gateways:
    """The gateways of a service; they serve while its context is open."""

    def __init__(self, cluster: Cluster, settings: Settings) -> None:
        """Takes the ports.

        Raises:
            OSError: a port cannot be had.
        """
        self.port = settings.grpc_port
        """The port that all serve, once the context is open."""
        self.http_port = settings.http_port
        """The same of HTTP."""
        self.own_ports: list[int] = []
        """By gateway, with the setting `gateway_ports`."""
        self._held: list[HeldPort] = []
        if settings.shares_ports:
            self._hold(settings)
        settings = replace(settings, grpc_port=self.port, http_port=self.http_port)
        own_ports = self.own_ports or [0] * settings.gateways
        self._first, self._http = make_gateway(cluster.backend(), settings, own_ports[0])
        handed_on = replace(
            settings,
            data_dir=settings.data_dir.absolute(),
            shards=cluster.shard_map.shard_count,
            ray_address=cluster.ray_address,
            admin_token="",
        )
        self._further = [
            _FurtherGateway(
                GatewayOrder(number=number, settings=handed_on, own_port=own_ports[number])
            )
            for number in range(1, settings.gateways)
        ]

    def _hold(self, settings: Settings) -> None:
        try:
            self._held.append(HeldPort(settings.host, settings.grpc_port))
            self.port = self._held[0].number
            self._held.append(HeldPort(settings.host, settings.http_port))
            self.http_port = self._held[1].number
            if settings.gateway_ports:
                for _ in range(settings.gateways):
                    self._held.append(HeldPort(settings.host, 0))
                self.own_ports = [each.number for each in self._held[2:]]
        except OSError:
            self._release()
            raise

    def _release(self) -> None:
        for port in self._held:
            port.close()

    async def __aenter__(self) -> Self:
        """Returns when all serve.

        Raises:
            OSError: one cannot.
        """
        starts = asyncio.gather(*(each.start() for each in self._further))
        try:
            self.port = await self._first.start()
            self.http_port = self._http.port
            await starts
        except BaseException:
            starts.cancel()
            await self._stop()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Drains all at once, and returns when none is left."""
        await self._stop()

    async def _stop(self) -> None:
        try:
            await asyncio.gather(self._first.stop(), *(each.stop() for each in self._further))
        finally:
            self._release()


class _FurtherGateway:
    """One process, started again whenever it ends without being told to."""

    def __init__(self, order: GatewayOrder) -> None:
        self._order = order
        self._process: asyncio.subprocess.Process | None = None
        self._stopping = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None
        self._log = get_logger("service").bind(gateway=order.number)

    async def start(self) -> None:
        """Returns when it serves; `OSError` if the first attempt fails."""
        serving = asyncio.get_running_loop().create_future()
        self._keeper = asyncio.create_task(self._keep(serving))
        async with asyncio.timeout(START_TIMEOUT_S):
            await serving

    async def stop(self) -> None:
        """Has it drain and end, and ends it if it takes too long."""
        self._stopping.set()
        if self._keeper is None:
            return
        self._signal_end()
        patience = self._order.settings.drain_s_max + STOP_GRACE_S
        await asyncio.wait([self._keeper], timeout=patience)
        if not self._keeper.done():
            self._log.warning("gateway_killed")
            assert self._process is not None, "a start takes less than draining"
            self._process.kill()
        await self._keeper

    def _signal_end(self) -> None:
        if self._process is not None and self._process.returncode is None:
            # It may have ended already and be waited for in this moment.
            with contextlib.suppress(ProcessLookupError):
                self._process.terminate()

    async def _keep(self, serving: asyncio.Future[None]) -> None:
        pause = PAUSE_MIN_S
        while not self._stopping.is_set():
            has_served = await self._run(serving)
            if not serving.done():
                serving.set_exception(
                    OSError(f"gateway {self._order.number} did not start; the log says why")
                )
                return
            pause = PAUSE_MIN_S if has_served else min(2 * pause, PAUSE_MAX_S)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), pause)

    async def _run(self, serving: asyncio.Future[None]) -> bool:
        """Runs a process to its end, and returns whether it served."""
        process = self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "actors.gateway_process"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=environment_of_children(),
        )
        if self._stopping.is_set():
            self._signal_end()
        assert process.stdin is not None
        assert process.stdout is not None
        # It stays open: that it ends tells the process that this one is gone.
        process.stdin.write(self._order.packed())
        has_served = await process.stdout.readline() == READY_LINE
        if has_served and not serving.done():
            serving.set_result(None)
        code = await process.wait()
        process.stdin.close()
        if not self._stopping.is_set():
            self._log.warning("gateway_ended", code=code)
        return has_served
