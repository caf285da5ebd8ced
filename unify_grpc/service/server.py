"""A gateway: the gRPC server and everything it serves with."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Protocol

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from unify_grpc._pb.unify.v1 import (
    ingest_service_pb2,
    ingest_service_pb2_grpc,
    operations_service_pb2,
    operations_service_pb2_grpc,
    profile_service_pb2,
    profile_service_pb2_grpc,
    space_service_pb2,
    space_service_pb2_grpc,
)
from unify_grpc.service.calls import CallInterceptor, check_scopes
from unify_grpc.service.certificates import keep_certificates
from unify_grpc.service.deleting import Deleter
from unify_grpc.service.directory import RENEWAL_INTERVAL_S, SpaceDirectory
from unify_grpc.service.draining import Draining
from unify_grpc.service.ingest_service import IngestServicer
from unify_grpc.service.ingestion import Ingestor
from unify_grpc.service.operations_service import OperationsServicer
from unify_grpc.service.profile_reads import ProfileReader
from unify_grpc.service.profile_service import ProfileServicer
from unify_grpc.service.search_filler import SearchFiller
from unify_grpc.service.space_service import SpaceServicer
from unify_grpc.telemetry.logs import get_logger

if TYPE_CHECKING:
    from collections.abc import Collection

    from unify_grpc.service.backend import Backend
    from unify_grpc.settings import Settings

MESSAGE_BYTES_MAX = 4 << 20
METADATA_BYTES_MAX = 8 << 10
STREAMS_MAX = 1000
PING_INTERVAL_MS_MIN = 30_000
HANDSHAKE_MS_MAX = 10_000
"""For the beginning of an encrypted connection."""
QUIET_S = 0.3
"""Without a call for this long, a draining gateway takes it that none is on its way."""
DROP_S = 1.0
"""What is still open after draining is ended after this."""
SERVICES = [
    module.DESCRIPTOR.services_by_name[name]
    for module, name in (
        (ingest_service_pb2, "IngestService"),
        (profile_service_pb2, "ProfileService"),
        (space_service_pb2, "SpaceService"),
        (operations_service_pb2, "OperationsService"),
    )
]


def options_of(settings: Settings) -> list[tuple[str, int]]:
    """Returns how gRPC serves: what it takes, and how often clients may ask if it is there."""
    handshakes = [("grpc.server_handshake_timeout_ms", HANDSHAKE_MS_MAX)]
    return [
        ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
        ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
        ("grpc.max_metadata_size", METADATA_BYTES_MAX),
        ("grpc.max_concurrent_streams", STREAMS_MAX),
        ("grpc.http2.min_ping_interval_without_data_ms", PING_INTERVAL_MS_MIN),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.so_reuseport", int(settings.shares_ports)),
        *(handshakes if settings.has_tls else ()),
    ]


class Front(Protocol):
    """Another way in beside gRPC, which starts and drains with the gateway."""

    @property
    def calls_count(self) -> int:
        """How many calls are under way."""

    async def start(self) -> None:
        """Opens its port; `OSError` if it cannot be had."""

    async def stop(self) -> None:
        """Closes it; calls have ended by then, or are ended."""


class Gateway:
    """Serves until it is stopped. One event loop, one process."""

    def __init__(
        self,
        backend: Backend,
        settings: Settings,
        refused_keys: Collection[str] = (),
        own_port: int = 0,
    ) -> None:
        """Takes what it serves with.

        Args:
            backend: how the actors are reached.
            settings: with several `gateways`, the port is shared by those who listen on it.
            refused_keys: let in by nobody, whatever the directory says.
            own_port: listened on too, by this gateway alone; 0 for none.

        Raises:
            CertificatesRefusedError: the settings name certificates that cannot be served with.
        """
        check_scopes(
            [f"{service.name}/{method.name}" for service in SERVICES for method in service.methods]
        )
        self.settings = settings
        self.certificates = keep_certificates(settings)
        """None: without TLS."""
        self._own_port = own_port
        self.directory = SpaceDirectory(
            backend, refused_keys, dedupe_window_days=settings.dedupe_window_days
        )
        self.ingestor = Ingestor(
            backend, self.directory, queue_events_max=settings.queue_events_max
        )
        self.reader = ProfileReader(backend)
        self.deleter = Deleter(backend, self.reader)
        self._fronts: list[Front] = []
        self._health = health.aio.HealthServicer()
        self.draining = Draining()
        self._calls = CallInterceptor(
            self.directory,
            self.draining,
            calls_concurrent_max=settings.calls_concurrent_max,
            deadline_s_default=settings.deadline_s_default,
        )
        self._server = grpc.aio.server(
            interceptors=[self._calls],
            options=options_of(settings),
        )
        self._add_services(backend)
        self._renewal: asyncio.Task[None] | None = None
        self._sweeping: asyncio.Task[None] | None = None
        self._filler = SearchFiller(backend)
        self._filling: asyncio.Task[None] | None = None
        self._watching: asyncio.Task[None] | None = None

    def _add_services(self, backend: Backend) -> None:
        settings = self.settings
        ingest_service_pb2_grpc.add_IngestServiceServicer_to_server(
            IngestServicer(
                self.ingestor, self.draining, stream_window_max=settings.stream_window_max
            ),
            self._server,
        )
        # Methods of `NOT_BUILT` are answered before a servicer is asked, hence [abstract].
        profile_service_pb2_grpc.add_ProfileServiceServicer_to_server(
            ProfileServicer(self.reader, self.directory, self.deleter),
            self._server,
        )
        space_service_pb2_grpc.add_SpaceServiceServicer_to_server(
            SpaceServicer(backend, self.directory),  # type: ignore[abstract]
            self._server,
        )
        operations_service_pb2_grpc.add_OperationsServiceServicer_to_server(
            OperationsServicer(backend, self.reader, self.directory, self.draining),
            self._server,
        )
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        if settings.dev:
            names = [service.full_name for service in SERVICES]
            reflection.enable_server_reflection(
                [*names, health.SERVICE_NAME, reflection.SERVICE_NAME], self._server
            )

    def add_front(self, front: Front) -> None:
        """Has another way in start and drain with this gateway."""
        self._fronts.append(front)

    async def start(self) -> int:
        """Loads the directory, opens the port and returns its number.

        Raises:
            OSError: the port, or its own, cannot be had.
        """
        await self.directory.renew()
        self._renewal = asyncio.get_running_loop().create_task(self._renew())
        self._sweeping = asyncio.get_running_loop().create_task(self.ingestor.sweeper.run())
        self._filling = asyncio.get_running_loop().create_task(self._filler.run())
        if self.certificates is not None:
            self._watching = asyncio.get_running_loop().create_task(self.certificates.watch())
        port = self._listen(self.settings.grpc_port)
        if self._own_port:
            self._listen(self._own_port)
        await self._server.start()
        for front in self._fronts:
            await front.start()
        await self._set_health(health_pb2.HealthCheckResponse.SERVING)
        return port

    def _listen(self, port: int) -> int:
        host = f"[{self.settings.host}]" if ":" in self.settings.host else self.settings.host
        address = f"{host}:{port}"
        try:
            if self.certificates is None:
                return int(self._server.add_insecure_port(address))
            credentials = self.certificates.grpc_credentials()
            return int(self._server.add_secure_port(address, credentials))
        except RuntimeError as error:
            message = f"the port of {address} cannot be had"
            raise OSError(message) from error

    async def stop(self) -> None:
        """Refuses new calls, lets those under way end, and stops."""
        await self._set_health(health_pb2.HealthCheckResponse.NOT_SERVING)
        self.draining.start()
        # The library cancels calls that have arrived but did not start; so we wait ourselves.
        loop = asyncio.get_running_loop()
        give_up = loop.time() + self.settings.drain_s_max
        quiet_since = loop.time()
        while loop.time() < give_up and loop.time() - quiet_since < QUIET_S:
            await asyncio.sleep(QUIET_S / 10)
            if self._calls.calls_count or any(front.calls_count for front in self._fronts):
                quiet_since = loop.time()
        await asyncio.gather(
            self._server.stop(grace=DROP_S), *(front.stop() for front in self._fronts)
        )
        await self.ingestor.drain(max(DROP_S, give_up - loop.time()))
        for task in (self._renewal, self._sweeping, self._filling, self._watching):
            if task is not None:
                task.cancel()
        await self.directory.leave()

    async def _set_health(self, status: Any) -> None:
        for name in ("", *(service.full_name for service in SERVICES)):
            await self._health.set(name, status)

    async def _renew(self) -> None:
        log = get_logger("gateway")
        while True:
            await asyncio.sleep(RENEWAL_INTERVAL_S)
            try:
                await self.directory.renew()
            except Exception as error:  # noqa: BLE001 - tried again in a moment
                log.warning("directory_not_renewed", error=type(error).__name__)
