"""Everything a caller can be refused for, as a call. What becomes of one event is in its result.

An error says facts, never values of identifiers or traits. `statuses.py` is the only place that
knows what each is on the wire.
"""

from __future__ import annotations

from typing import ClassVar


class UnifyError(Exception):
    """Root of all refusals."""

    reason: ClassVar[str] = "INTERNAL"

    def __init__(self, text: str = "", **metadata: str) -> None:
        super().__init__(text or type(self).__doc__ or "")
        self.metadata = metadata
        """Facts for programs, each also in the text."""


class RequestInvalidError(UnifyError):
    """The request is not valid."""

    reason = "REQUEST_INVALID"

    def __init__(self, violations: list[tuple[str, str]]) -> None:
        """Takes (field, what is wrong with it), all of them."""
        super().__init__("; ".join(f"{field}: {text}" for field, text in violations))
        self.violations = violations


class CredentialInvalidError(UnifyError):
    """The call carries no key or token that is known here."""

    reason = "CREDENTIAL_INVALID"


class ScopeMissingError(UnifyError):
    """The key or token does not allow this call."""

    reason = "SCOPE_MISSING"


class SpaceNotFoundError(UnifyError):
    """There is no such space."""

    reason = "SPACE_NOT_FOUND"


class SpaceNameTakenError(UnifyError):
    """A space of this name exists."""

    reason = "SPACE_NAME_TAKEN"


class ProfileNotFoundError(UnifyError):
    """There is no such profile."""

    reason = "PROFILE_NOT_FOUND"


class IdentifierNotFoundError(UnifyError):
    """The profile does not hold this identifier."""

    reason = "IDENTIFIER_NOT_FOUND"


class IdentifierNotDeletableError(UnifyError):
    """The identifier has to stay on its profile."""

    reason = "IDENTIFIER_NOT_DELETABLE"


class RequestIdReusedError(UnifyError):
    """The request id was used for another request."""

    reason = "REQUEST_ID_REUSED"


class RulesVersionNotFoundError(UnifyError):
    """The rules have no such version."""

    reason = "RULES_VERSION_NOT_FOUND"


class RulesChangedError(UnifyError):
    """The rules are of another version than the caller expected."""

    reason = "RULES_CHANGED"


class SourceNotFoundError(UnifyError):
    """The space has no such source."""

    reason = "SOURCE_NOT_FOUND"


class AccessTokenNotFoundError(UnifyError):
    """The space has no such access token."""

    reason = "ACCESS_TOKEN_NOT_FOUND"


class ShardOverloadedError(UnifyError):
    """Too much is waiting; try again after a pause."""

    reason = "SHARD_OVERLOADED"


class ShardUnavailableError(UnifyError):
    """A part of the service is restarting; the same call can be made again."""

    reason = "SHARD_UNAVAILABLE"


class StoreFullError(UnifyError):
    """There is no room to store anything."""

    reason = "STORAGE_FULL"


class StoreDamagedError(UnifyError):
    """A stored value is damaged; restoring a backup brings it back, the rest is served."""

    reason = "STORAGE_CORRUPT"


class BackupExistsError(UnifyError):
    """The directory of the backup is not empty."""

    reason = "BACKUP_EXISTS"


class BackupRunningError(UnifyError):
    """Another backup is being made."""

    reason = "BACKUP_RUNNING"


class BackupFailedError(UnifyError):
    """The backup could not be written, and nothing is left of it."""

    reason = "BACKUP_FAILED"


class VerifyRunningError(UnifyError):
    """Another verification is under way at this gateway."""

    reason = "VERIFY_RUNNING"


class DeadlinePassedError(UnifyError):
    """The call's deadline passed; what it sent may still be stored, and can be sent again."""

    reason = "DEADLINE_PASSED"


class NotBuiltError(UnifyError):
    """This version of the service does not have this method yet."""

    reason = "NOT_BUILT"
