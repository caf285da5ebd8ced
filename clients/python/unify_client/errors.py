"""Everything that this client raises.

A failed call becomes the error of its reason, `(domain, reason)` of the status details; without a
reason that is known here, the error of its code. Callers never see gRPC's own errors. No text of
ours holds the value of an identifier or of a trait: it may end up in a log.
"""
# ruff: noqa: N818  named as the service's manual names its reasons: ProfileNotFound

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from unify_client.results import EventResult
from unify_client.status_details import FieldViolation, StatusDetails

DOMAIN = "unify"


class UnifyClientError(Exception):
    """Stands at the root of all errors of this client.

    Attributes:
        results_before: What had been answered when the call failed: results of `ingest` for the
            requests before the one that failed, empty otherwise. Sending all events again is safe.
    """

    results_before: tuple[EventResult, ...] = ()


class ArgumentInvalid(UnifyClientError, ValueError):
    """An argument cannot be sent; nothing was."""


class EventInvalid(ArgumentInvalid):
    """An event cannot be sent: it holds what JSON or the wire has no form for."""


class EventRejected(UnifyClientError):
    """The service refused events; raised on request only (`raise_on_rejected`).

    Attributes:
        rejected: The results of the refused events, at least one.
        results: All results, those of the refused events included.
    """

    def __init__(self, results: list[EventResult]) -> None:
        self.results = tuple(results)
        self.rejected = tuple(result for result in results if result.rejected)
        reasons = sorted({str(result.reason) for result in self.rejected})
        super().__init__(f"{len(self.rejected)} event(s) were refused: {', '.join(reasons)}.")


class ClientClosed(UnifyClientError):
    """The client was closed before the call."""


class SecretsNotShown(UnifyClientError):
    """Something was created, but its secrets were in a reply that never arrived; create another.

    Attributes:
        created_id: The id of the space, source or access token that was created.
    """

    def __init__(self, what: str, created_id: str) -> None:
        self.created_id = created_id
        super().__init__(f"{what} {created_id} was created, and its secrets are shown no more.")


class ServiceError(UnifyClientError):
    """The service answered a call with an error, or did not answer it.

    Attributes:
        method: The method that was called, such as `GetProfile`.
        code: The gRPC code by name, such as `NOT_FOUND`.
        reason: The service's stable word for why, such as `PROFILE_NOT_FOUND`; empty without one.
        detail: The sentence that came with it; its wording may change.
        metadata: The facts that belong to the reason.
        violations: Every field at fault.
        retry_delay_s: After how many seconds the service asks for a repetition; None: it does not.
        request_id: What names the call in the service's logs.
    """

    REASON: ClassVar[str] = ""
    """The reason that a class stands for; empty where it stands for a code."""

    def __init__(
        self, *, method: str, code: str, detail: str, details: StatusDetails, request_id: str
    ) -> None:
        self.method = method
        self.code = code
        self.reason = details.reason
        self.detail = detail
        self.metadata: Mapping[str, str] = details.metadata
        self.violations: tuple[FieldViolation, ...] = details.violations
        self.retry_delay_s = details.retry_delay_s
        self.request_id = request_id
        super().__init__(method, code, self.reason)

    def __str__(self) -> str:
        reason = f" ({self.reason})" if self.reason else ""
        faults = "".join(f"; {fault.field}: {fault.description}" for fault in self.violations)
        return (
            f"{self.method} failed with {self.code}{reason}: {self.detail}{faults}"
            f" [request {self.request_id}]"
        )


class RequestInvalid(ServiceError):
    """The request breaks a bound; `violations` lists every field at fault."""

    REASON = "REQUEST_INVALID"


class NotFound(ServiceError):
    """What the call is about does not exist for this credential."""


class ProfileNotFound(NotFound):
    """No profile of the space goes by that name."""

    REASON = "PROFILE_NOT_FOUND"


class SpaceNotFound(NotFound):
    """There is no such space."""

    REASON = "SPACE_NOT_FOUND"


class SourceNotFound(NotFound):
    """The space has no such source."""

    REASON = "SOURCE_NOT_FOUND"


class AccessTokenNotFound(NotFound):
    """The space has no such access token."""

    REASON = "ACCESS_TOKEN_NOT_FOUND"


class IdentifierNotFound(NotFound):
    """The profile does not have that identifier."""

    REASON = "IDENTIFIER_NOT_FOUND"


class RulesVersionNotFound(NotFound):
    """The rules never had that version."""

    REASON = "RULES_VERSION_NOT_FOUND"


class IdentifierNotDeletable(ServiceError):
    """The identifier cannot be parted from its profile."""

    REASON = "IDENTIFIER_NOT_DELETABLE"


class RulesChanged(ServiceError):
    """Another version of the rules holds than the one that was expected."""

    REASON = "RULES_CHANGED"


class AlreadyExists(ServiceError):
    """What the call would create is there already."""


class SpaceNameTaken(AlreadyExists):
    """Another space has that name."""

    REASON = "SPACE_NAME_TAKEN"


class RequestIdReused(AlreadyExists):
    """The same `request_id` was used for another content."""

    REASON = "REQUEST_ID_REUSED"


class BackupExists(AlreadyExists):
    """The directory of the backup is not empty."""

    REASON = "BACKUP_EXISTS"


class BackupRunning(ServiceError):
    """Another backup is being made; try again when it is finished."""

    REASON = "BACKUP_RUNNING"


class BackupFailed(ServiceError):
    """The backup could not be written, and nothing is left of it."""

    REASON = "BACKUP_FAILED"


class VerifyRunning(ServiceError):
    """Another verification is under way at this gateway; try again when it is finished."""

    REASON = "VERIFY_RUNNING"


class CredentialInvalid(ServiceError):
    """The key or token is unknown, expired or revoked."""

    REASON = "CREDENTIAL_INVALID"


class ScopeMissing(ServiceError):
    """The key or token is good, and does not allow this call."""

    REASON = "SCOPE_MISSING"


class ResourceExhausted(ServiceError):
    """The service has no room for the call, or the message is larger than is allowed."""


class ShardOverloaded(ResourceExhausted):
    """The service has too much under way; repeated by the client until its deadline."""

    REASON = "SHARD_OVERLOADED"


class StorageFull(ResourceExhausted):
    """The service's disk space is used up; a repetition does not help."""

    REASON = "STORAGE_FULL"


class ServiceUnavailable(ServiceError):
    """The service cannot be reached; repeated by the client until its deadline."""


class ShardUnavailable(ServiceUnavailable):
    """A part of the service restarts; repeated by the client until its deadline."""

    REASON = "SHARD_UNAVAILABLE"


class DeadlineExceeded(ServiceError):
    """No answer came in time; a write may have been made all the same."""


class LinkUndecided(DeadlineExceeded):
    """The deadline passed before a link was decided."""

    REASON = "LINK_UNDECIDED"


class Unimplemented(ServiceError):
    """This version of the service does not have the method."""


class StorageCorrupt(ServiceError):
    """A stored record is damaged."""

    REASON = "STORAGE_CORRUPT"


class ServiceFailed(ServiceError):
    """The service failed at the call; its log says why under `request_id`."""

    REASON = "INTERNAL"


_BY_REASON: dict[str, type[ServiceError]] = {
    error.REASON: error
    for error in (
        RequestInvalid, ProfileNotFound, SpaceNotFound, SourceNotFound, AccessTokenNotFound,
        IdentifierNotFound, RulesVersionNotFound, IdentifierNotDeletable, RulesChanged,
        SpaceNameTaken, RequestIdReused, CredentialInvalid, ScopeMissing, ShardOverloaded,
        StorageFull, ShardUnavailable, LinkUndecided, StorageCorrupt, ServiceFailed,
        BackupExists, BackupRunning, BackupFailed, VerifyRunning,
    )
}  # fmt: skip

_BY_CODE: dict[str, type[ServiceError]] = {
    "INVALID_ARGUMENT": RequestInvalid,
    "NOT_FOUND": NotFound,
    "ALREADY_EXISTS": AlreadyExists,
    "UNAUTHENTICATED": CredentialInvalid,
    "PERMISSION_DENIED": ScopeMissing,
    "RESOURCE_EXHAUSTED": ResourceExhausted,
    "UNAVAILABLE": ServiceUnavailable,
    "DEADLINE_EXCEEDED": DeadlineExceeded,
    "UNIMPLEMENTED": Unimplemented,
    "DATA_LOSS": StorageCorrupt,
    "INTERNAL": ServiceFailed,
}


def service_error(
    *, method: str, code: str, detail: str, details: StatusDetails, request_id: str
) -> ServiceError:
    """Returns the error of a failed call: by its reason, else by its code, else the plain one."""
    by_code = _BY_CODE.get(code, ServiceError)
    error = _BY_REASON.get(details.reason, by_code) if details.domain == DOMAIN else by_code
    return error(method=method, code=code, detail=detail, details=details, request_id=request_id)
