"""`OperationsService`: what operators ask. None of it is built yet."""

from __future__ import annotations

from typing import Any

from unify_grpc._pb.unify.v1 import operations_service_pb2_grpc
from unify_grpc.service.errors import NotBuiltError


class OperationsServicer(operations_service_pb2_grpc.OperationsServiceServicer):
    """Answers UNIMPLEMENTED, after the caller's credential was checked."""

    async def GetStatus(self, request: Any, context: Any) -> Any:
        """Is not built yet."""
        raise NotBuiltError

    async def ListViolations(self, request: Any, context: Any) -> Any:
        """Is not built yet."""
        raise NotBuiltError

    async def TailEvents(self, request: Any, context: Any) -> Any:
        """Is not built yet."""
        raise NotBuiltError
        yield

    async def Verify(self, request: Any, context: Any) -> Any:
        """Is not built yet."""
        raise NotBuiltError

    async def CreateBackup(self, request: Any, context: Any) -> Any:
        """Is not built yet."""
        raise NotBuiltError
