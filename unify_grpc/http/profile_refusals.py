"""What each refusal is in the Profile API: `{"error": {"code", "message"}}`, Segment's codes.

Calls that delete have a table of their own there, and so here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec
from starlette.responses import Response

from unify_grpc.http.refusals import INTERNAL, BodyTooLargeError, HttpError, Refusal, refusal_of
from unify_grpc.identity.deletion import DeletionRefusal
from unify_grpc.service.errors import (
    CredentialInvalidError,
    IdentifierNotDeletableError,
    RequestInvalidError,
    UnifyError,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

CODES: Final = {
    "REQUEST_INVALID": (400, "validation_error"),
    "CREDENTIAL_INVALID": (401, "authentication_error"),
    "SCOPE_MISSING": (403, "forbidden"),
    "SPACE_NOT_FOUND": (404, "not_found"),
    "PROFILE_NOT_FOUND": (404, "not_found"),
    "SHARD_OVERLOADED": (429, "rate_limit_error"),
    "DEADLINE_PASSED": (504, "deadline_passed"),
}
"""(status, code) by reason; what is not here is as in the Tracking API: 503."""
DELETION_CODES: Final = CODES | {
    "REQUEST_INVALID": (400, "bad_request"),
    "CREDENTIAL_INVALID": (401, "unauthorized"),
    "IDENTIFIER_NOT_FOUND": (404, "eid_not_found"),
    "IDENTIFIER_NOT_DELETABLE": (400, "bad_request"),
    "REQUEST_ID_REUSED": (400, "bad_request"),
}
TEXTS: Final = {
    "PROFILE_NOT_FOUND": "Profile was not found.",
    "SPACE_NOT_FOUND": "Space was not found.",
}
PARAMETERS: Final = {
    "request_id": "Idempotency-Key",
    "page_size": "limit",
    "page_token": "next",
    "trait_class": "class",
    "start_time": "start",
    "end_time": "end",
    "name.identifier.collection": "collection",
    "name.identifier.type": "id_type",
    "name.identifier.value": "id_value",
    "external_ids": "delete_external_ids",
    "external_ids[0].type": "delete_external_ids[0].type",
    "external_ids[0].value": "delete_external_ids[0].id",
}
"""What callers know fields of requests as."""
HEADERS: Final = {
    # Profiles are somebody's data: nothing between us and the caller is to keep them.
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
}
_encode = msgspec.json.Encoder().encode


class MethodNotAllowedError(HttpError):
    """The route has no such method."""

    status = 405
    code = "method_not_allowed"

    def __init__(self, allowed: str) -> None:
        super().__init__()
        self.allowed = allowed


def profile_answer(
    content: object, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """Returns an answer in JSON, for servers: no page of another origin may read it."""
    return Response(_encode(content), status, {**HEADERS, **(headers or {})}, "application/json")


def profile_refusal(error: HttpError | UnifyError | None, *, is_deletion: bool) -> Response:
    """Returns what a call is answered for an error; None is one that is ours."""
    refusal = refusal_in_profiles(error, is_deletion=is_deletion)
    headers = {} if refusal.retry_s is None else {"Retry-After": str(refusal.retry_s)}
    if isinstance(error, CredentialInvalidError):
        headers["WWW-Authenticate"] = 'Basic realm="unify"'
    if isinstance(error, MethodNotAllowedError):
        headers["Allow"] = error.allowed
    if refusal.is_last:
        headers["Connection"] = "close"
    content = {"error": {"code": refusal.code, "message": refusal.text}}
    return profile_answer(content, refusal.status, headers)


def refusal_in_profiles(error: HttpError | UnifyError | None, *, is_deletion: bool) -> Refusal:
    """Returns what a Profile API call is refused with for an error; None is one that is ours."""
    if error is None:
        return INTERNAL
    refusal = refusal_of(error)
    if isinstance(error, BodyTooLargeError):
        return refusal._replace(text="The body is too large.")
    if isinstance(error, HttpError):
        is_renamed = is_deletion and error.status == 400  # noqa: PLR2004 - its own best name
        return refusal._replace(code="bad_request") if is_renamed else refusal
    known = (DELETION_CODES if is_deletion else CODES).get(error.reason)
    if known is None:
        return refusal
    status, code = known
    if isinstance(error, IdentifierNotDeletableError) and _is_unsupported(error):
        code = "unsupported_eid_type"
    text = TEXTS.get(error.reason, str(error))
    if isinstance(error, RequestInvalidError):
        text = _text_of(error)
    retry_s = refusal.retry_s if status in {429, 504} else None
    return Refusal(status, code, text, retry_s)


def _is_unsupported(error: IdentifierNotDeletableError) -> bool:
    return error.metadata.get("refusal") == DeletionRefusal.GROUP_ID.name


def _text_of(error: RequestInvalidError) -> str:
    """Returns what is wrong with each parameter, by the name that callers know it by."""
    return "; ".join(
        f"The parameter `{PARAMETERS.get(field, field)}` {text}" for field, text in error.violations
    )
