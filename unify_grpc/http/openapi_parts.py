"""Parts that all operations of the OpenAPI document are put together from."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final

from unify_grpc.http.refusals import INTERNAL

if TYPE_CHECKING:
    from collections.abc import Iterable

    from unify_grpc.http.refusals import Refusal

JSON: Final = "application/json"
RATE_LIMIT_HEADERS: Final = ("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset")
RETRYING: Final = frozenset({429, 503, 504})
"""Statuses that say when to try again, always."""
HEADERS: Final[dict[str, dict[str, Any]]] = {
    "Request-Id": {
        "description": "Names the call; the log has it, too.",
        "required": True,
        "schema": {"type": "string", "pattern": "^[0-9a-f]{32}$"},
    },
    "Retry-After": {
        "description": "Seconds after which to try again.",
        "required": True,
        "schema": {"type": "integer", "minimum": 1},
    },
    "X-RateLimit-Limit": {
        "description": "Calls (of the Tracking API: events) at once, and a second, at this "
        "gateway. Comes with every answer of a call that counts for a limit.",
        "schema": {"type": "integer", "minimum": 1},
    },
    "X-RateLimit-Remaining": {
        "description": "Of them, how many are left.",
        "schema": {"type": "integer", "minimum": 0},
    },
    "X-RateLimit-Reset": {
        "description": "Whole seconds until there is one more; 0 if there is one now.",
        "schema": {"type": "integer", "minimum": 0},
    },
    "WWW-Authenticate": {
        "description": "How a token is sent.",
        "required": True,
        "schema": {"type": "string"},
    },
}
MEANINGS: Final = {
    400: "What was sent is not valid, and will not be; do not send it again.",
    401: "No key or token that is known here.",
    403: "The key or token may not do this.",
    404: "There is no such thing.",
    413: "The body is too large.",
    429: "Too many calls: a limit is reached, or too much is waiting.",
    500: "A fault of ours. Its `Request-Id` is in the log.",
    503: "A part of the service is away, full or stopping; try again.",
    504: "The call's time is over; try again.",
}


def ref(kind: str, name: str) -> dict[str, str]:
    """Returns a reference to a component of a kind such as `schemas`."""
    return {"$ref": f"#/components/{kind}/{name}"}


def text(description: str, **more: Any) -> dict[str, Any]:
    """Returns the schema of a text."""
    return {"type": "string", "description": description, **more}


def closed(properties: dict[str, Any], *optional: str, **more: Any) -> dict[str, Any]:
    """Returns the schema of an object with these properties alone, all but `optional` required."""
    required = [name for name in properties if name not in optional]
    return {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
        **more,
    }


def answer(
    description: str,
    schema: dict[str, Any] | None,
    headers: Iterable[str] = ("Request-Id",),
    media_type: str = JSON,
) -> dict[str, Any]:
    """Returns one answer of an operation, with its headers by name; no schema: no body."""
    made: dict[str, Any] = {"description": description}
    if names := list(headers):
        made["headers"] = {name: ref("headers", name) for name in names}
    if schema is not None:
        made["content"] = {media_type: {"schema": schema}}
    return made


def codes_by_status(refusals: Iterable[Refusal]) -> dict[int, list[str]]:
    """Returns the codes that a refusal may have, by status; a fault of ours is among them."""
    codes: dict[int, set[str]] = defaultdict(set)
    for each in (*refusals, INTERNAL):
        codes[each.status].add(each.code)
    return {status: sorted(codes[status]) for status in sorted(codes)}


def security(*names: str) -> list[dict[str, list[str]]]:
    """Returns schemes of which any one is enough; the empty name stands for none at all."""
    return [{name: []} if name else {} for name in names]
