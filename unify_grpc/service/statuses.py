"""What each refusal is on the wire: the one bridge from errors to gRPC statuses."""

from __future__ import annotations

from typing import Final

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc import code_pb2, error_details_pb2, status_pb2

from unify_grpc.service.errors import (
    CredentialInvalidError,
    DeadlinePassedError,
    NotBuiltError,
    ProfileNotFoundError,
    RequestInvalidError,
    RulesVersionNotFoundError,
    ScopeMissingError,
    ShardOverloadedError,
    ShardUnavailableError,
    SpaceNameTakenError,
    SpaceNotFoundError,
    StoreFullError,
    UnifyError,
)

DOMAIN: Final = "unify"
RETRY_DELAY_MS: Final = 500
INTERNAL_TEXT: Final = "Something went wrong inside the service; its log has this request id."

CODES: Final[dict[type[UnifyError], int]] = {
    RequestInvalidError: code_pb2.INVALID_ARGUMENT,
    CredentialInvalidError: code_pb2.UNAUTHENTICATED,
    ScopeMissingError: code_pb2.PERMISSION_DENIED,
    SpaceNotFoundError: code_pb2.NOT_FOUND,
    SpaceNameTakenError: code_pb2.ALREADY_EXISTS,
    ProfileNotFoundError: code_pb2.NOT_FOUND,
    RulesVersionNotFoundError: code_pb2.NOT_FOUND,
    ShardOverloadedError: code_pb2.RESOURCE_EXHAUSTED,
    ShardUnavailableError: code_pb2.UNAVAILABLE,
    StoreFullError: code_pb2.RESOURCE_EXHAUSTED,
    DeadlinePassedError: code_pb2.DEADLINE_EXCEEDED,
    NotBuiltError: code_pb2.UNIMPLEMENTED,
}
RETRYABLE: Final = (ShardOverloadedError, ShardUnavailableError)
"""Told with how long to wait."""


def status_of(error: UnifyError) -> status_pb2.Status:
    """Returns the wire form of a refusal, with its reason and facts as details."""
    info = error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=error.metadata)
    details = [_pack(info)]
    if isinstance(error, RequestInvalidError):
        violations = [
            error_details_pb2.BadRequest.FieldViolation(field=field, description=text)
            for field, text in error.violations
        ]
        details.append(_pack(error_details_pb2.BadRequest(field_violations=violations)))
    if isinstance(error, RETRYABLE):
        delay = Duration(nanos=RETRY_DELAY_MS * 1_000_000)
        details.append(_pack(error_details_pb2.RetryInfo(retry_delay=delay)))
    return status_pb2.Status(code=CODES[type(error)], message=str(error), details=details)


def internal_status(request_id: str) -> status_pb2.Status:
    """Returns what a caller is told of an error that is ours."""
    info = error_details_pb2.ErrorInfo(
        reason="INTERNAL", domain=DOMAIN, metadata={"request_id": request_id}
    )
    return status_pb2.Status(code=code_pb2.INTERNAL, message=INTERNAL_TEXT, details=[_pack(info)])


def code_name(status: status_pb2.Status) -> str:
    """Returns the name of a status code, for logs."""
    name: str = code_pb2.Code.Name(status.code)
    return name


def grpc_code(status: status_pb2.Status) -> grpc.StatusCode:
    """Returns the code as the gRPC library names it."""
    return next(code for code in grpc.StatusCode if code.value[0] == status.code)


def _pack(message: object) -> AnyMessage:
    packed = AnyMessage()
    packed.Pack(message)  # type: ignore[arg-type]  # any message
    return packed
