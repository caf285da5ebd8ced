"""What the OpenAPI document says of the Profile API, taken from the code that serves it."""

from __future__ import annotations

from typing import Any, Final

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
from unify_grpc.http.profile_paths import (
    DELETION,
    RESOURCES,
    ROOTS,
    NoRouteError,
    PathInvalidError,
)
from unify_grpc.http.profile_queries import BOOLEANS, CLASSES, PAGES, SORTS, TIME_CHARS_MAX
from unify_grpc.http.profile_refusals import refusal_in_profiles
from unify_grpc.http.rate_limit import RateLimitedError, Standing
from unify_grpc.http.refusals import (
    BodyLateError,
    BodyTooLargeError,
    BodyUnreadableError,
    HttpError,
    JsonInvalidError,
)
from unify_grpc.identity.deletion import DeletionRefusal
from unify_grpc.identity.identifiers import COLLECTIONS, USER_ID, USERS
from unify_grpc.service.errors import (
    CredentialInvalidError,
    DeadlinePassedError,
    IdentifierNotDeletableError,
    IdentifierNotFoundError,
    ProfileNotFoundError,
    RequestInvalidError,
    ScopeMissingError,
    ShardOverloadedError,
    ShardUnavailableError,
    SpaceNotFoundError,
    StoreDamagedError,
    StoreFullError,
    UnifyError,
)
from unify_grpc.service.profile_pages import EVENT_NAMES_MAX, NAMES_MAX

OF_A_READ: Final[tuple[HttpError | UnifyError, ...]] = (
    NoRouteError(),
    PathInvalidError(),
    RequestInvalidError([]),
    CredentialInvalidError(),
    ScopeMissingError(),
    SpaceNotFoundError(),
    ProfileNotFoundError(),
    RateLimitedError(Standing(1, 0, 1)),
    ShardOverloadedError(),
    ShardUnavailableError(),
    StoreDamagedError(),
    DeadlinePassedError(),
)
"""One of each kind that a read may be refused for."""
OF_A_DELETION: Final = (
    *OF_A_READ,
    BodyUnreadableError(),
    BodyLateError(),
    BodyTooLargeError(),
    JsonInvalidError(),
    StoreFullError(),
    IdentifierNotFoundError(),
    *(IdentifierNotDeletableError(refusal=each.name) for each in DeletionRefusal),
)
"""The same of a call that deletes."""
REFUSALS_OF: Final = {"read": OF_A_READ, "deletion": OF_A_DELETION}
SUMMARIES: Final = {
    "traits": "Lists the traits of a profile, by name.",
    "external_ids": "Lists the identifiers of a profile.",
    "events": "Lists the track, page and screen calls of a profile, of any age.",
    "metadata": "Tells when a profile was founded and changed, and by what.",
    "links": "Lists the profiles that one is linked with.",
}
TOKEN_SCHEMES: Final = ("tokenBasic", "tokenBearer")
TAG: Final = "Profile API"
_TIME: Final = {"type": "string", "format": "date-time"}


def profile_schemas() -> dict[str, Any]:
    """Returns the schemas that operations of the Profile API refer to, by name."""
    traits = {
        "anyOf": [
            {"type": "object", "description": "By name, each with its value."},
            {"type": "object", "additionalProperties": ref("schemas", "VerboseTrait")},
        ]
    }
    return {
        "ExternalId": closed(_external_id()),
        "VerboseTrait": closed({"value": {}, "source_id": {"type": "string"}, "updated_at": _TIME}),
        "Cursor": closed(
            {
                "url": text("Where there is more of it; it names the profile by its segment_id."),
                "has_more": {"type": "boolean"},
                "next": text("For the parameter `next`; empty at the end."),
                "limit": {"type": "integer", "minimum": 1, "description": "That was used."},
            }
        ),
        "traits": closed({"traits": traits, "cursor": ref("schemas", "Cursor")}),
        "external_ids": _page(closed({**_external_id(), "first_message_id": {"type": "string"}})),
        "events": _page(_profile_event()),
        "links": _page(
            closed(
                {
                    "to_collection": {"enum": sorted(COLLECTIONS)},
                    "external_ids": {"type": "array", "items": ref("schemas", "ExternalId")},
                }
            )
        ),
        "metadata": _metadata(),
        "Deletion": _deletion(),
        "Deleted": closed(
            {
                "success": {"const": True},
                "segment_id": {"type": "string"},
                "deleted_external_ids": {"type": "array", "items": closed(_identifier())},
            }
        ),
    }


def profile_paths() -> dict[str, Any]:
    """Returns the path items of the Profile API, by path."""
    paths: dict[str, Any] = {}
    for root in (each.decode() for each in ROOTS):
        start = f"/v1/{root}/{{space}}/collections"
        for resource in RESOURCES:
            whole = f"{start}/{{collection}}/profiles/{{profile}}/{resource}"
            paths[whole] = {"parameters": _path_parameters(), "get": _read(root, resource)}
        paths[f"{start}/{USERS}/profiles/{USER_ID}:{{user_id}}/{DELETION}"] = {
            "parameters": [_SPACE, _path_parameter("user_id", "Percent-encoded.")],
            "post": _delete(root),
        }
    return paths


def _path_parameter(name: str, description: str, **schema: Any) -> dict[str, Any]:
    return {
        "name": name,
        "in": "path",
        "required": True,
        "description": description,
        "schema": {"type": "string", **schema},
    }


_SPACE: Final = _path_parameter("space", "The id or the name of a space.")


def _path_parameters() -> list[dict[str, Any]]:
    profile = "`type:value` of any identifier, percent-encoded, or a segment_id, merged away or not"
    return [
        _SPACE,
        _path_parameter("collection", "What kind of profile.", enum=sorted(COLLECTIONS)),
        _path_parameter("profile", f"{profile}."),
    ]


def _parameter(name: str, description: str, **schema: Any) -> dict[str, Any]:
    return {"name": name, "in": "query", "description": description, "schema": schema}


def _parameters(resource: str) -> list[dict[str, Any]]:
    """Returns the parameters of a read; one without a value is as good as not given."""
    verbose = _parameter("verbose", "Of `traits`: each with its origin.", enum=sorted(BOOLEANS))
    if resource == "metadata":
        return [verbose]
    default, maximum = PAGES[resource]
    limit = {"type": "integer", "minimum": 1, "maximum": maximum, "default": default}
    page = [
        _parameter("limit", "More than the maximum is taken for the maximum.", **limit),
        _parameter("next", "From the cursor of the page before.", type="string"),
    ]
    if resource == "links":
        return page
    if resource == "events":
        names = f"Names of events; at most {EVENT_NAMES_MAX} of them."
        time = {"format": "date-time", "type": "string", "maxLength": TIME_CHARS_MAX}
        return [
            *page,
            _parameter("start", "From this time on; without a zone it is UTC.", **time),
            _parameter("end", "To this time.", **time),
            _names("include", names, EVENT_NAMES_MAX),
            _names("exclude", names, EVENT_NAMES_MAX),
            _parameter("sort", "By time; `desc` if it is not given.", enum=sorted(SORTS)),
        ]
    included = _names("include", f"Of these names, at most {NAMES_MAX}.", NAMES_MAX)
    if resource == "external_ids":
        return [*page, included, verbose]
    classes = _parameter("class", "Both are empty: nothing is computed.", enum=sorted(CLASSES))
    return [*page, included, classes, verbose]


def _names(name: str, description: str, count_max: int) -> dict[str, Any]:
    items = {"type": "array", "items": {"type": "string"}, "maxItems": count_max}
    return {**_parameter(name, description, **items), "style": "form", "explode": False}


def _identifier() -> dict[str, Any]:
    return {
        "collection": {"enum": sorted(COLLECTIONS)},
        "type": {"type": "string"},
        "id": text("The normal form of the value."),
    }


def _external_id() -> dict[str, Any]:
    return {
        "source_id": text("Of the source that it was first seen by."),
        **_identifier(),
        "created_at": _TIME,
        "encoding": {"type": "string"},
    }


def _page(item: dict[str, Any]) -> dict[str, Any]:
    return closed({"data": {"type": "array", "items": item}, "cursor": ref("schemas", "Cursor")})


def _profile_event() -> dict[str, Any]:
    identifier = closed({**_identifier(), "encoding": {"type": "string"}})
    return closed(
        {
            "external_ids": {"type": "array", "items": identifier},
            "context": {"type": "object"},
            "type": {"enum": ["track", "page", "screen"]},
            "message_id": {"type": "string"},
            "source_id": {"type": "string"},
            "timestamp": _TIME,
            "properties": {"type": "object"},
            "event": {"type": "string"},
            "related": {"type": "object", "additionalProperties": {"type": "string"}},
            "name": text("Of a page or screen that has one."),
        },
        "name",
    )


def _metadata() -> dict[str, Any]:
    texts = ("first_message_id", "first_source_id", "last_message_id", "last_source_id")
    inner = closed(
        {
            "created_at": _TIME,
            "updated_at": {**_TIME, "type": ["string", "null"]},
            "expires_at": {"type": "null", "description": "Nothing expires."},
            **{name: {"type": "string"} for name in texts},
        }
    )
    return closed({"metadata": inner})


def _deletion() -> dict[str, Any]:
    wanted = {
        "type": "object",
        "required": ["type", "id"],
        "properties": {"type": {"type": "string"}, "id": {"type": "string"}},
    }
    named = {"type": "array", "items": wanted, "minItems": 1, "maxItems": 1}
    return {
        "type": "object",
        "required": ["delete_external_ids"],
        "properties": {"delete_external_ids": named},
    }


def _read(root: str, resource: str) -> dict[str, Any]:
    return _operation(
        root,
        f"get_{resource}",
        summary=SUMMARIES[resource],
        security=security(*TOKEN_SCHEMES),
        parameters=_parameters(resource),
        responses={
            "200": answer("As asked.", ref("schemas", resource), _COUNTED),
            **_refusals("read"),
        },
    )


def _delete(root: str) -> dict[str, Any]:
    return _operation(
        root,
        "delete_external_id",
        summary="Parts a user's profile from an identifier, which is then anybody's.",
        description="The profile keeps its events and traits. Needs the scope `delete`.",
        security=security(*TOKEN_SCHEMES),
        requestBody={
            "required": True,
            "content": {JSON: {"schema": ref("schemas", "Deletion")}},
        },
        responses={
            "200": answer("It is gone.", ref("schemas", "Deleted"), _COUNTED),
            **_refusals("deletion"),
        },
    )


_COUNTED: Final = ("Request-Id", *RATE_LIMIT_HEADERS)


def _operation(root: str, operation_id: str, **more: Any) -> dict[str, Any]:
    """Returns an operation; below a root that is called otherwise by now it is an old form."""
    is_old = root != ROOTS[0].decode()
    named = f"{operation_id}_in_{root}" if is_old else operation_id
    return {"tags": [TAG], "operationId": named, **({"deprecated": True} if is_old else {}), **more}


def profile_responses() -> dict[str, Any]:
    """Returns the refusals that operations of the Profile API refer to, by name."""
    return {
        f"{kind}_{status}": made for kind in REFUSALS_OF for status, made in _refused(kind).items()
    }


def _refused(kind: str) -> dict[str, Any]:
    """Returns the answers to what calls of a kind are refused for, by status."""
    told = [refusal_in_profiles(e, is_deletion=kind == "deletion") for e in REFUSALS_OF[kind]]
    return {
        str(status): answer(
            MEANINGS[status],
            closed(
                {
                    "error": closed(
                        {
                            "code": {"enum": codes},
                            "message": text("For people; holds no value that was sent."),
                        }
                    )
                }
            ),
            _headers(status),
        )
        for status, codes in codes_by_status(told).items()
    }


def _refusals(kind: str) -> dict[str, Any]:
    return {status: ref("responses", f"{kind}_{status}") for status in _refused(kind)}


def _headers(status: int) -> list[str]:
    special: dict[int, tuple[str, ...]] = {401: ("WWW-Authenticate",), 429: RATE_LIMIT_HEADERS}
    retrying = ["Retry-After"] if status in RETRYING else []
    return ["Request-Id", *retrying, *special.get(status, ())]
