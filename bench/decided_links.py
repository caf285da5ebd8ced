"""Asks the service how many links it has decided."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, Self

import grpc

from bench.service import BenchFailedError
from unify_grpc._pb.unify.v1 import operations_service_pb2, operations_service_pb2_grpc

if TYPE_CHECKING:
    from types import TracebackType

CALL_TIMEOUT_S: Final = 10.0
REST_TIMEOUT_S: Final = 60.0
_POLL_S: Final = 0.05


class DecidedLinks:
    """Counts the links decided between two moments at which the service is at rest."""

    def __init__(self, address: str, admin_token: str) -> None:
        """Connects; to be used as a context manager."""
        self._channel = grpc.insecure_channel(address)
        self._stub = operations_service_pb2_grpc.OperationsServiceStub(self._channel)
        self._metadata = (("authorization", f"Bearer {admin_token}"),)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Disconnects."""
        self._channel.close()

    def wait_at_rest(self) -> int:
        """Waits until every link is decided and every shard knows of it; returns their number.

        Answers do not wait for what shards remember of a link, so a part that is sent right after
        another would meet links that are decided and not known yet.
        """
        give_up = time.monotonic() + REST_TIMEOUT_S
        while time.monotonic() < give_up:
            status = self._status()
            pending = sum(shard.links_pending_count for shard in status.shards)
            unconfirmed = sum(each.pushes_unconfirmed_count for each in status.merge_actors)
            if status.ready and not pending and not unconfirmed:
                return sum(each.links_decided_count for each in status.merge_actors)
            time.sleep(_POLL_S)
        raise BenchFailedError(f"the service was not at rest within {REST_TIMEOUT_S:.0f} s")

    def profiles_count(self) -> int:
        """Returns the profiles of all shards."""
        return sum(shard.profiles_count for shard in self._status().shards)

    def _status(self) -> operations_service_pb2.GetStatusResponse:
        request = operations_service_pb2.GetStatusRequest()
        try:
            return self._stub.GetStatus(request, metadata=self._metadata, timeout=CALL_TIMEOUT_S)
        except grpc.RpcError as error:
            raise BenchFailedError("the service does not say how it is doing") from error
