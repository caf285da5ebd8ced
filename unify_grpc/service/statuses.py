"""What each refusal is on the wire: the one bridge from errors to gRPC statuses."""

from __future__ import annotations

from typing import Any, Final

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc import code_pb2, error_details_pb2, status_pb2

from unify_grpc.service.errors import (
    AccessTokenNotFoundError,
    BackupExistsError,
    BackupFailedError,
    BackupRunningError,
    CredentialInvalidError,
    DeadlinePassedError,
    IdentifierNotDeletableError,
    IdentifierNotFoundError,
    NotBuiltError,
    ProfileNotFoundError,
    RequestIdReusedError,
    RequestInvalidError,
    RulesChangedError,
    RulesVersionNotFoundError,
    ScopeMissingError,
    ShardOverloadedError,
    ShardUnavailableError,
    SourceNotFoundError,
    SpaceNameTakenError,
    SpaceNotFoundError,
    StoreDamagedError,
    StoreFullError,
    UnifyError,
    VerifyRunningError,
)

DOMAIN: Final = "unify"
RETRY_DELAY_MS: Final = 500
TEXT_BYTES_MAX: Final = 500
FAULTS_BYTES_MAX: Final = 3000
FIELD_CHARS_MAX: Final = 200
"""A status travels in metadata, of which clients take 8 KB; else they are told nothing at all."""
INTERNAL_TEXT: Final = "Something went wrong inside the service; its log has this request id."

CODES: Final[dict[type[UnifyError], int]] = {
    RequestInvalidError: code_pb2.INVALID_ARGUMENT,
    CredentialInvalidError: code_pb2.UNAUTHENTICATED,
    ScopeMissingError: code_pb2.PERMISSION_DENIED,
    SpaceNotFoundError: code_pb2.NOT_FOUND,
    SpaceNameTakenError: code_pb2.ALREADY_EXISTS,
    ProfileNotFoundError: code_pb2.NOT_FOUND,
    IdentifierNotFoundError: code_pb2.NOT_FOUND,
    RequestIdReusedError: code_pb2.ALREADY_EXISTS,
    IdentifierNotDeletableError: code_pb2.FAILED_PRECONDITION,
    RulesVersionNotFoundError: code_pb2.NOT_FOUND,
    RulesChangedError: code_pb2.ABORTED,
    SourceNotFoundError: code_pb2.NOT_FOUND,
    AccessTokenNotFoundError: code_pb2.NOT_FOUND,
    ShardOverloadedError: code_pb2.RESOURCE_EXHAUSTED,
    ShardUnavailableError: code_pb2.UNAVAILABLE,
    StoreFullError: code_pb2.RESOURCE_EXHAUSTED,
    StoreDamagedError: code_pb2.DATA_LOSS,
    BackupExistsError: code_pb2.ALREADY_EXISTS,
    BackupRunningError: code_pb2.ABORTED,
    BackupFailedError: code_pb2.ABORTED,
    VerifyRunningError: code_pb2.ABORTED,
    DeadlinePassedError: code_pb2.DEADLINE_EXCEEDED,
    NotBuiltError: code_pb2.UNIMPLEMENTED,
}
RETRYABLE: Final = (ShardOverloadedError, ShardUnavailableError)
"""Told with how long to wait."""


def status_of(error: UnifyError) -> status_pb2.Status:
    """Returns the wire form of a refusal, with its reason and facts as details.

    Of a request with more faults than there is room for the first are told, and how many more
    there are: in the text, and as `faults_left_out` in the metadata.
    """
    text, facts, faults = str(error), error.metadata, None
    if isinstance(error, RequestInvalidError):
        faults = _faults_to_wire(error.violations)
        left_out = len(error.violations) - len(faults.field_violations)
        if left_out:
            facts = {**facts, "faults_left_out": str(left_out)}
            text = f"{len(error.violations)} faults, of which {left_out} are not listed: {text}"
    info = error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=facts)
    details = [_pack(info)]
    if faults is not None:
        details.append(_pack(faults))
    if isinstance(error, RETRYABLE):
        delay = Duration(nanos=RETRY_DELAY_MS * 1_000_000)
        details.append(_pack(error_details_pb2.RetryInfo(retry_delay=delay)))
    if len(text.encode()) > TEXT_BYTES_MAX:
        text = text.encode()[:TEXT_BYTES_MAX].decode(errors="ignore") + "…"
    return status_pb2.Status(code=CODES[type(error)], message=text, details=details)


def _faults_to_wire(violations: list[tuple[str, str]]) -> Any:
    """Returns as many faults as there is room for, each with its field cut."""
    wire = error_details_pb2.BadRequest()
    for field, text in violations:
        wire.field_violations.add(field=field[:FIELD_CHARS_MAX], description=text)
        if wire.ByteSize() > FAULTS_BYTES_MAX:
            del wire.field_violations[-1]
            break
    return wire


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
