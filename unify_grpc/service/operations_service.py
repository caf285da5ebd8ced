"""`OperationsService`: how the service is watched."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from unify_grpc._pb.unify.v1 import operations_service_pb2_grpc
from unify_grpc.service.backing_up import Backuper
from unify_grpc.service.calls import current_call
from unify_grpc.service.list_violations import list_violations_page
from unify_grpc.service.part_statuses import get_status
from unify_grpc.service.tailing import Tailing
from unify_grpc.service.verifying import Verifier

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from unify_grpc.service.backend import Backend
    from unify_grpc.service.directory import SpaceDirectory
    from unify_grpc.service.draining import Draining
    from unify_grpc.service.profile_reads import ProfileReader


class OperationsServicer(operations_service_pb2_grpc.OperationsServiceServicer):
    """Translates between the wire and what is known of the service and its spaces."""

    def __init__(
        self,
        backend: Backend,
        reader: ProfileReader,
        directory: SpaceDirectory,
        draining: Draining,
    ) -> None:
        self._backend = backend
        self._reader = reader
        self._directory = directory
        self._backuper = Backuper(backend)
        self._verifier = Verifier(backend)
        self._tailing = Tailing(reader, directory, draining)
        self._started_us = time.time_ns() // 1000

    async def GetStatus(self, request: Any, context: Any) -> Any:
        """Returns how the parts of the service are doing."""
        del request, context
        return await get_status(current_call(), self._backend, self._started_us)

    async def ListViolations(self, request: Any, context: Any) -> Any:
        """Lists refused events and dropped identifiers."""
        del context
        return await list_violations_page(request, current_call(), self._reader, self._directory)

    async def TailEvents(self, request: Any, context: Any) -> AsyncIterator[Any]:
        """Streams the events of a space as they are stored."""
        del context
        async for response in self._tailing.tail(request, current_call()):
            yield response

    async def Verify(self, request: Any, context: Any) -> Any:
        """Checks the invariants of all stores while the service runs."""
        del request, context
        return await self._verifier.verify(current_call())

    async def CreateBackup(self, request: Any, context: Any) -> Any:
        """Copies all stores as they are at one instant."""
        del context
        return await self._backuper.create(request, current_call())
