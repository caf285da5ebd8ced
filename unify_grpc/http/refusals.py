"""What each refusal is over HTTP.

SDKs send again after 408, 410, 460 and most of 5xx, so what will never succeed is 400, 401 or 413,
and what will is 429 or 503 with a whole number of seconds in `Retry-After`.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from unify_grpc.service.errors import (
    CredentialInvalidError,
    RequestInvalidError,
    ScopeMissingError,
    ShardOverloadedError,
    SpaceNotFoundError,
    StoreDamagedError,
    StoreFullError,
    UnifyError,
)

RETRY_S: Final = 1
STORE_RETRY_S: Final = 30
"""Somebody has to make room, or to restore a backup."""


class HttpError(Exception):
    """A refusal of the HTTP side alone."""

    status = 400
    code = "invalid_request"
    retry_s: int | None = None
    is_last = False
    """Whether the connection is of no use any more: there is more of the body than is read."""

    def __init__(self, text: str = "") -> None:
        super().__init__(text or type(self).__doc__ or "")


class BodyUnreadableError(HttpError):
    """The body is not what it should be."""

    code = "invalid_body"
    is_last = True


class BodyLateError(HttpError):
    """The body did not arrive in time; it can be sent again."""

    status = 503
    code = "body_late"
    retry_s = RETRY_S
    is_last = True


class JsonInvalidError(HttpError):
    """The body is no standard JSON object of the kind that this call takes."""

    code = "invalid_json"


class BatchTooLongError(HttpError):
    """A batch has at most 2500 events."""

    code = "too_many_events"


class BodyTooLargeError(HttpError):
    """The body is too large: 32 KB an event, 500 KB a batch."""

    status = 413
    code = "body_too_large"
    is_last = True


class PendingError(HttpError):
    """Stored, but not resolved in time; send it again with the same message ids."""

    status = 503
    code = "pending"
    retry_s = RETRY_S


class Refusal(NamedTuple):
    """A refusal as it is answered."""

    status: int
    code: str
    text: str
    """For people; holds no value that a caller sent."""
    retry_s: int | None
    """After how long to try again; None: never."""
    is_last: bool = False
    """Whether the connection ends with it."""


INTERNAL: Final = Refusal(
    500, "internal", "Something went wrong inside; the log has this request's id.", None
)
UNKNOWN_CALLER: Final = (CredentialInvalidError, ScopeMissingError)
NO_STORE: Final = (StoreFullError, StoreDamagedError)
CLIENT_FAULTS: Final = (RequestInvalidError, SpaceNotFoundError)


def code_of(error: HttpError | UnifyError) -> str:
    """Returns what logs and counts call an error; there are only so many."""
    return error.code if isinstance(error, HttpError) else error.reason.lower()


def refusal_of(error: HttpError | UnifyError) -> Refusal:
    """Returns what a Tracking call is answered for an error."""
    if isinstance(error, HttpError):
        return Refusal(error.status, error.code, str(error), error.retry_s, error.is_last)
    status: int = 503
    retry_s: int | None = RETRY_S
    if isinstance(error, UNKNOWN_CALLER):
        status, retry_s = 401, None
    elif isinstance(error, CLIENT_FAULTS):
        status, retry_s = 400, None
    elif isinstance(error, ShardOverloadedError):
        status = 429
    elif isinstance(error, NO_STORE):
        retry_s = STORE_RETRY_S
    return Refusal(status, code_of(error), str(error), retry_s)
