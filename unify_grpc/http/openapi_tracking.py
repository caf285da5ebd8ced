"""What the OpenAPI document says of the Tracking API, taken from the code that serves it."""

from __future__ import annotations

from typing import Any, Final

from unify_grpc.http.messages import BATCH_EVENTS_MAX, EVENT_BYTES_MAX
from unify_grpc.http.openapi_parts import (
    JSON,
    MEANINGS,
    RATE_LIMIT_HEADERS,
    RETRYING,
    answer,
    closed,
    codes_by_status,
    ref,
    security,
    text,
)
from unify_grpc.http.rate_limit import RateLimitedError, Standing
from unify_grpc.http.refusals import (
    BatchTooLongError,
    BodyLateError,
    BodyTooLargeError,
    BodyUnreadableError,
    HttpError,
    JsonInvalidError,
    PendingError,
    refusal_of,
)
from unify_grpc.http.tracking_routes import BATCH, BATCH_BYTES_MAX, SHORT, SINGLE, STRICT
from unify_grpc.identity.events import DEPTH_MAX, MESSAGE_ID_CHARS_MAX
from unify_grpc.identity.identifiers import GROUP_ID_CHARS_MAX
from unify_grpc.identity.outcomes import DropReason, Outcome, RejectionReason
from unify_grpc.service.errors import (
    CredentialInvalidError,
    DeadlinePassedError,
    ScopeMissingError,
    ShardOverloadedError,
    ShardUnavailableError,
    StoreDamagedError,
    StoreFullError,
    UnifyError,
)

BEFORE_THE_BODY: Final[tuple[HttpError | UnifyError, ...]] = (
    CredentialInvalidError(),
    ScopeMissingError(),
    ShardOverloadedError(),
    ShardUnavailableError(),
)
"""What any call may be refused for."""
OF_AN_EVENT: Final[tuple[HttpError | UnifyError, ...]] = (
    *BEFORE_THE_BODY,
    RateLimitedError(Standing(1, 0, 1)),
    BodyUnreadableError(),
    BodyLateError(),
    BodyTooLargeError(),
    JsonInvalidError(),
    PendingError(),
    DeadlinePassedError(),
    StoreFullError(),
    StoreDamagedError(),
)
"""One of each kind that a call with events may be refused for."""
REFUSALS_OF: Final = {
    "event": OF_AN_EVENT,
    "batch": (*OF_AN_EVENT, BatchTooLongError()),
    "settings": BEFORE_THE_BODY,
}
"""By kind of call."""
WRITE_KEY_SCHEMES: Final = ("writeKeyBasic", "writeKeyBearer")
TAG: Final = "Tracking API"
_ID: Final = ["string", "integer", "null"]
_OBJECT: Final = {"type": ["object", "null"]}


def tracking_schemas() -> dict[str, Any]:
    """Returns the schemas that operations of the Tracking API refer to, by name."""
    return {
        "Event": _event(),
        "Batch": _batch(),
        "Accepted": closed({"success": {"const": True}}),
        "Results": closed(
            {
                "success": {"type": "boolean", "description": "Whether no event was refused."},
                "results": {"type": "array", "items": ref("schemas", "Result")},
            }
        ),
        "Result": _result(),
        "Drop": closed(
            {
                "collection": {"enum": ["users", "accounts"]},
                "type": {"type": "string"},
                "value": {"type": "string"},
                "reason": {"enum": [each.name for each in DropReason]},
            },
            description="An identifier that was left out of its event.",
        ),
        "BrowserSettings": _browser_settings(),
    }


def tracking_paths() -> dict[str, Any]:
    """Returns the path items of the Tracking API, by path."""
    paths: dict[str, Any] = {}
    calls = {name: name for name in (*SINGLE, *BATCH)} | SHORT
    for path, name in calls.items():
        paths[f"/v1/{path}"] = {"post": _call(path, name), "options": _preflight(path)}
    paths["/v1/projects/{write_key}/settings"] = {
        "parameters": [
            {"name": "write_key", "in": "path", "required": True, "schema": {"type": "string"}}
        ],
        "get": _settings(),
        "options": _preflight("settings"),
    }
    return paths


def _event() -> dict[str, Any]:
    times = "ISO 8601. `originalTimestamp` goes before `timestamp`; both are corrected by `sentAt`."
    return {
        "type": "object",
        "description": f"At most {EVENT_BYTES_MAX} bytes, decompressed. Other keys are stored, too."
        " What is wrong with an event never changes the status: see `strict`.",
        "properties": {
            "type": {"enum": list(SINGLE), "description": "In a batch; else the route says it."},
            "messageId": {
                "type": ["string", "null"],
                "maxLength": MESSAGE_ID_CHARS_MAX,
                "description": "The event takes effect once, however often it is sent.",
            },
            "userId": {"type": _ID},
            "anonymousId": {"type": _ID},
            "groupId": {"type": _ID, "maxLength": GROUP_ID_CHARS_MAX},
            "previousId": {"type": _ID, "description": "Of an alias."},
            "event": {"type": "string", "description": "What happened; a track needs it."},
            "name": {"type": ["string", "null"], "description": "Of a page or screen."},
            "timestamp": {"type": ["string", "null"], "description": times},
            "originalTimestamp": {"type": ["string", "null"], "description": times},
            "sentAt": {"type": ["string", "null"], "description": "By the caller's clock."},
            "traits": {**_OBJECT, "description": "Of an identify or group."},
            "properties": dict(_OBJECT),
            "context": {**_OBJECT, "description": f"Like all objects at most {DEPTH_MAX} deep."},
            "integrations": dict(_OBJECT),
            "writeKey": text("The key, where no `Authorization` has one."),
        },
    }


def _batch() -> dict[str, Any]:
    return {
        "type": "object",
        "description": f"At most {BATCH_BYTES_MAX} bytes, decompressed.",
        "required": ["batch"],
        "properties": {
            "batch": {
                "type": "array",
                "maxItems": BATCH_EVENTS_MAX,
                "items": {"allOf": [ref("schemas", "Event"), {"required": ["type"]}]},
            },
            "context": {**_OBJECT, "description": "Of all events; their own keys win."},
            "integrations": {**_OBJECT, "description": "The same."},
            "sentAt": {"type": ["string", "null"], "description": "Of events that have none."},
            "writeKey": text("The key, where no `Authorization` has one."),
        },
    }


def _result() -> dict[str, Any]:
    outcomes = [each.name for each in Outcome if each is not Outcome.PENDING]
    return closed(
        {
            "index": {"type": "integer", "minimum": 0, "description": "In the batch."},
            "messageId": text("As sent, or the one that was made."),
            "status": {"enum": ["STORED", "DUPLICATE", "REJECTED"]},
            "reason": {"enum": [each.name for each in RejectionReason]},
            "message": text("The reason, for people."),
            "outcome": {"enum": [*outcomes, ""], "description": "Empty: it links nothing."},
            "segmentId": text("Of the user's profile; empty if there is none."),
            "accountSegmentId": text("Of the account's profile; empty if there is none."),
            "drops": {"type": "array", "items": ref("schemas", "Drop")},
        },
        *("reason", "message", "outcome", "segmentId", "accountSegmentId", "drops"),
        description="What became of an event.",
        **{
            "if": {"properties": {"status": {"const": "REJECTED"}}},
            "then": {"required": ["reason", "message"]},
            "else": {"required": ["outcome", "segmentId", "accountSegmentId"]},
        },
    )


def _browser_settings() -> dict[str, Any]:
    destination = closed(
        {
            "apiKey": {"type": "string"},
            "apiHost": text("Where to send events: a host, and a path."),
            "protocol": {"enum": ["http", "https"]},
        }
    )
    empty = {"type": "object", "maxProperties": 0}
    return closed(
        {
            "integrations": closed({"Segment.io": destination}),
            "plan": empty,
            "edgeFunction": empty,
            "enabledMiddleware": empty,
            "metrics": closed({"sampleRate": {"const": 0}}),
            "legacyVideoPluginsEnabled": {"const": False},
            "remotePlugins": {"type": "array", "maxItems": 0},
        }
    )


def _call(path: str, name: str) -> dict[str, Any]:
    is_batch = name in BATCH
    schema = ref("schemas", "Batch" if is_batch else "Event")
    what = "events" if is_batch else f"one event of the type `{name}`"
    success = answer(
        "All events were taken, or refused for good, and are resolved. `Results` if they were "
        "asked for.",
        {"oneOf": [ref("schemas", "Accepted"), ref("schemas", "Results")]},
        ("Request-Id", *RATE_LIMIT_HEADERS),
    )
    return {
        "tags": [TAG],
        "operationId": f"post_{path}",
        "summary": f"Stores {what}." if path == name else f"The same as `/v1/{name}`.",
        "security": security(*WRITE_KEY_SCHEMES, ""),
        "parameters": [
            {
                "name": place_name,
                "in": place,
                "description": "Answers what became of each event.",
                "schema": {"enum": sorted(STRICT)},
            }
            for place_name, place in (("strict", "query"), ("Unify-Strict", "header"))
        ],
        "requestBody": {
            "required": True,
            "description": "JSON, whatever the type says; plain, or compressed as the header "
            "`Content-Encoding` says: `gzip` or `deflate`. The bounds hold for what it "
            "decompresses to.",
            "content": {JSON: {"schema": schema}, "text/plain": {"schema": schema}},
        },
        "responses": {"200": success, **_refusals("batch" if is_batch else "event")},
    }


def _settings() -> dict[str, Any]:
    return {
        "tags": [TAG],
        "operationId": "get_settings",
        "summary": "Tells a browser's SDK where to send events.",
        "security": [],
        "responses": {
            "200": answer("For the key in the path.", ref("schemas", "BrowserSettings")),
            **_refusals("settings"),
        },
    }


def _preflight(path: str) -> dict[str, Any]:
    return {
        "tags": [TAG],
        "operationId": f"options_{path}",
        "summary": "Tells a browser that it may call, from any origin.",
        "security": [],
        "responses": {"200": answer("It may.", None, ())},
    }


def tracking_responses() -> dict[str, Any]:
    """Returns the refusals that operations of the Tracking API refer to, by name."""
    return {
        f"{kind}_{status}": made
        for kind, errors in REFUSALS_OF.items()
        for status, made in _refused(errors).items()
    }


def _refused(errors: tuple[HttpError | UnifyError, ...]) -> dict[str, Any]:
    """Returns the answers to errors, by status."""
    return {
        str(status): answer(
            MEANINGS[status],
            closed(
                {
                    "success": {"const": False},
                    "code": {"enum": codes},
                    "message": text("For people; holds no value that was sent."),
                }
            ),
            _headers(status),
        )
        for status, codes in codes_by_status(map(refusal_of, errors)).items()
    }


def _refusals(kind: str) -> dict[str, Any]:
    return {status: ref("responses", f"{kind}_{status}") for status in _refused(REFUSALS_OF[kind])}


def _headers(status: int) -> list[str]:
    limits = RATE_LIMIT_HEADERS if status == 429 else ()  # noqa: PLR2004 - its own best name
    return ["Request-Id", *(["Retry-After"] if status in RETRYING else []), *limits]
