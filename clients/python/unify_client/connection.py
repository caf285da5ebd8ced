"""What both clients share: how they connect, whom they say they are, what a failure means."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import grpc

from unify_client.attempts import Attempts
from unify_client.errors import ArgumentInvalid, ServiceError, service_error
from unify_client.settings import Keepalive, RetryPolicy, TlsConfig
from unify_client.status_details import StatusDetails, read_details
from unify_grpc._pb.unify.v1.ingest_service_pb2_grpc import IngestServiceStub
from unify_grpc._pb.unify.v1.operations_service_pb2_grpc import OperationsServiceStub
from unify_grpc._pb.unify.v1.profile_service_pb2_grpc import ProfileServiceStub
from unify_grpc._pb.unify.v1.space_service_pb2_grpc import SpaceServiceStub

STREAM_METHOD = "IngestStream"
STREAM_PATH = f"/unify.v1.IngestService/{STREAM_METHOD}"

# A service that was away for minutes is found again within seconds of its return.
_RECONNECT_FIRST_MS = 100
_RECONNECT_MAX_MS = 2_000


class Connection:
    """Holds how one client connects. Opens nothing itself."""

    def __init__(
        self,
        address: str,
        *,
        key: str,
        space: str | None,
        timeout_s: float,
        tls: TlsConfig | bool,
        retry: RetryPolicy | None,
        keepalive: Keepalive | None,
        message_bytes_max: int,
        clock: Callable[[], float],
        chance: Callable[[], float],
    ) -> None:
        """Takes the settings of a client, which documents them.

        Raises ArgumentInvalid for those that cannot be sent or make no sense.
        """
        if not _is_header(key):
            raise ArgumentInvalid("A key is printable ASCII, and not empty.")
        if space is not None and not _is_header(space):
            raise ArgumentInvalid("space is printable ASCII; name another by its id.")
        if timeout_s <= 0 or message_bytes_max <= 0:
            raise ArgumentInvalid("timeout_s and message_bytes_max are above 0.")
        self.address = address
        self.timeout_s = timeout_s
        self._credentials = (("authorization", f"Bearer {key}"),) + (
            () if space is None else (("unify-space", space),)
        )
        self._tls = TlsConfig() if tls is True else tls
        self._retry = retry or RetryPolicy()
        self._keepalive = keepalive or Keepalive()
        self._message_bytes_max = message_bytes_max
        self.clock = clock
        self._chance = chance

    @property
    def patience_s(self) -> float:
        """How long after its first failure a request may still be under way."""
        return self._retry.deadline_s

    def options(self) -> list[tuple[str, Any]]:
        """Returns the options of a channel."""
        keepalive = self._keepalive
        options: list[tuple[str, Any]] = [
            ("grpc.max_send_message_length", self._message_bytes_max),
            ("grpc.max_receive_message_length", self._message_bytes_max),
            ("grpc.keepalive_time_ms", round(keepalive.interval_s * 1_000)),
            ("grpc.keepalive_timeout_ms", round(keepalive.timeout_s * 1_000)),
            ("grpc.keepalive_permit_without_calls", int(keepalive.without_calls)),
            ("grpc.initial_reconnect_backoff_ms", _RECONNECT_FIRST_MS),
            ("grpc.max_reconnect_backoff_ms", _RECONNECT_MAX_MS),
            # Two clients are two connections, and one's trouble is not the other's.
            ("grpc.use_local_subchannel_pool", 1),
        ]
        if self._tls and self._tls.server_name is not None:
            options.append(("grpc.ssl_target_name_override", self._tls.server_name))
        return options

    def tls_credentials(self) -> grpc.ChannelCredentials | None:
        """Returns how the channel is encrypted; None where it is not."""
        if not self._tls:
            return None
        return grpc.ssl_channel_credentials(
            root_certificates=self._tls.root_certificates,
            private_key=self._tls.private_key,
            certificate_chain=self._tls.certificate_chain,
        )

    def metadata(self, request_id: str) -> tuple[tuple[str, str | bytes], ...]:
        """Returns what goes with a call."""
        return (*self._credentials, ("x-request-id", request_id))

    def attempts(self, *, timeout_s: float | None = None, after_deadline: bool) -> Attempts:
        """Returns a new account for one request."""
        return Attempts(
            self._retry,
            timeout_s=self.timeout_s if timeout_s is None else timeout_s,
            after_deadline=after_deadline,
            clock=self.clock,
            chance=self._chance,
        )


class Call:
    """Names one call, and turns its failures into errors of ours."""

    def __init__(self, method: str) -> None:
        """Names a call of a method by a new id, which its repetitions keep."""
        self.method = method
        self.request_id = uuid4().hex

    def failure(self, error: grpc.RpcError) -> ServiceError:
        """Returns what gRPC's error says."""
        return self.failure_of(error.code(), error.details(), error.trailing_metadata())

    def failure_of(
        self, code: grpc.StatusCode, detail: str | None, trailing_metadata: Any
    ) -> ServiceError:
        """Returns what a status says; its metadata are pairs, or None."""
        return service_error(
            method=self.method,
            code=code.name,
            detail=detail or "",
            details=read_details(trailing_metadata),
            request_id=self.request_id,
        )

    def unanswered(self, timeout_s: float) -> ServiceError:
        """Returns the error of a stream on which nothing arrived for too long."""
        return self._own_failure("DEADLINE_EXCEEDED", f"No answer within {timeout_s:g} s.")

    def ended(self) -> ServiceError:
        """Returns the error of a stream that ended while batches awaited their answer."""
        return self._own_failure("UNAVAILABLE", "The stream ended before its last answer.")

    def _own_failure(self, code: str, detail: str) -> ServiceError:
        return service_error(
            method=self.method,
            code=code,
            detail=detail,
            details=StatusDetails(),
            request_id=self.request_id,
        )


def stubs_of(channel: Any) -> dict[str, Any]:
    """Returns the stubs of a channel of either kind, by the names of the services."""
    return {
        "IngestService": IngestServiceStub(channel),
        "ProfileService": ProfileServiceStub(channel),
        "SpaceService": SpaceServiceStub(channel),
        "OperationsService": OperationsServiceStub(channel),
    }


def _is_header(text: str) -> bool:
    return bool(text) and text.isascii() and text.isprintable()
