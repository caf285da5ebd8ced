"""The OpenAPI document of all HTTP routes, and the route that shows it.

Limits, codes and names in it are those of the code that enforces them.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Final

import msgspec
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from unify_grpc.http.calls import CORS
from unify_grpc.http.counts import CONTENT_TYPE
from unify_grpc.http.openapi_parts import HEADERS, JSON, answer, closed
from unify_grpc.http.openapi_profiles import TAG as PROFILES
from unify_grpc.http.openapi_profiles import profile_paths, profile_responses, profile_schemas
from unify_grpc.http.openapi_tracking import TAG as TRACKING
from unify_grpc.http.openapi_tracking import tracking_paths, tracking_responses, tracking_schemas

if TYPE_CHECKING:
    from starlette.requests import Request

PATH: Final = "/openapi.json"
API_VERSION: Final = "1"
"""Of the routes: what their paths begin with."""
MONITORING: Final = "Monitoring"
ABOUT: Final = (
    "The HTTP side of Unify: events in, profiles out, as Twilio Segment's SDKs and scripts call "
    "it.\n\n"
    "Each route of the Tracking API is also there with a slash at its end, and below any path; "
    "each of the Profile API with a slash at its end. A route that has GET has HEAD. Another path "
    "is 404, another method 405 with `Allow`, and what is no HTTP is 400. Refusals of the Tracking "
    "API are `{success, code, message}`, of the Profile API `{error: {code, message}}`."
)


@functools.cache
def document_bytes() -> bytes:
    """Returns the document as JSON, made once."""
    return msgspec.json.encode(build_document())


def build_document() -> dict[str, Any]:
    """Returns the document: OpenAPI 3.1."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Unify",
            "version": API_VERSION,
            "description": ABOUT,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": name} for name in (TRACKING, PROFILES, MONITORING)],
        "paths": {**tracking_paths(), **profile_paths(), **_monitoring_paths()},
        "components": {
            "schemas": {**tracking_schemas(), **profile_schemas()},
            "responses": {**tracking_responses(), **profile_responses()},
            "headers": HEADERS,
            "securitySchemes": _security_schemes(),
        },
    }


def openapi_routes() -> list[BaseRoute]:
    """Returns the route of the document. It needs no key."""
    content = document_bytes()
    headers = {**CORS, "X-Content-Type-Options": "nosniff"}

    async def document(request: Request) -> Response:
        del request
        return Response(content, headers=headers, media_type=JSON)

    return [Route(PATH, document, methods=["GET"])]


def _monitoring_paths() -> dict[str, Any]:
    ready = closed({"ready": {"type": "boolean"}})
    metrics = answer("In Prometheus' text format.", {"type": "string"}, (), CONTENT_TYPE)
    return {
        "/healthz": _watching(
            "get_healthz",
            "Whether the process lives.",
            {"200": answer("It does.", closed({"status": {"const": "ok"}}), ())},
        ),
        "/readyz": _watching(
            "get_readyz",
            "Whether calls are let in.",
            {
                "200": answer("They are.", ready, ()),
                "503": answer("They are not: it is stopping, or out of touch.", ready, ()),
            },
        ),
        "/metrics": _watching(
            "get_metrics", "Counters of this gateway's HTTP side.", {"200": metrics}
        ),
        PATH: _watching(
            "get_openapi",
            "This document.",
            {"200": answer("An OpenAPI document.", {"type": "object"}, ())},
        ),
    }


def _watching(operation_id: str, summary: str, responses: dict[str, Any]) -> dict[str, Any]:
    return {
        "get": {
            "tags": [MONITORING],
            "operationId": operation_id,
            "summary": summary,
            "security": [],
            "responses": responses,
        }
    }


def _security_schemes() -> dict[str, Any]:
    written = "A source's write key{}. It may stand in the body instead, as `writeKey`."
    read = "An access token{}: of one space, or an admin token."
    named = " as the user name, with an empty password"
    return {
        "writeKeyBasic": _scheme("basic", written.format(named)),
        "writeKeyBearer": _scheme("bearer", written.format("")),
        "tokenBasic": _scheme("basic", read.format(named)),
        "tokenBearer": _scheme("bearer", read.format("")),
    }


def _scheme(name: str, description: str) -> dict[str, Any]:
    return {"type": "http", "scheme": name, "description": description}
