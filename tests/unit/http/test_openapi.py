"""The OpenAPI document: valid, and neither more nor less than what is served."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import jsonschema_rs
import pytest
import schemathesis
from starlette.routing import Match, Route

from tests.unit.http.profile_edge import ProfileEdge
from tests.unit.http.tracking_edge import TrackingEdge
from unify_grpc.http import openapi_profiles, openapi_tracking
from unify_grpc.http.app import build_app
from unify_grpc.http.calls import refuse_error
from unify_grpc.http.openapi import build_document, document_bytes
from unify_grpc.http.openapi_parts import RETRYING
from unify_grpc.http.profile_paths import DELETION, RESOURCES, ROOTS, read_path
from unify_grpc.http.profile_refusals import MethodNotAllowedError, profile_refusal
from unify_grpc.http.refusals import HttpError, refusal_of
from unify_grpc.service.errors import RequestInvalidError, UnifyError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.responses import Response

DOCUMENT = build_document()
PREFIX = "/{prefix:path}"
METHODS = {"get", "post", "options"}
#: One operation of each kind, by the kind's name.
ONE_OF_EACH = {
    "event": ("/v1/track", "post"),
    "batch": ("/v1/import", "post"),
    "settings": ("/v1/projects/{write_key}/settings", "get"),
    "read": ("/v1/spaces/{space}/collections/{collection}/profiles/{profile}/links", "get"),
    "deletion": (
        "/v1/namespaces/{space}/collections/users/profiles/user_id:{user_id}/external_ids/delete",
        "post",
    ),
}
REFUSALS = openapi_tracking.REFUSALS_OF | openapi_profiles.REFUSALS_OF


def parts_of(value: object) -> Iterator[dict[str, Any]]:
    """Yields every object inside one, and itself."""
    if isinstance(value, dict):
        yield value
        for each in value.values():
            yield from parts_of(each)
    elif isinstance(value, list):
        for each in value:
            yield from parts_of(each)


def found(reference: str) -> Any:
    """Returns what a reference names."""
    part: Any = DOCUMENT
    for name in reference.removeprefix("#/").split("/"):
        part = part[name]
    return part


def resolved(part: dict[str, Any]) -> dict[str, Any]:
    """Returns a part, or what it refers to."""
    return found(part["$ref"]) if "$ref" in part else part


def answers_of(kind: str) -> dict[str, dict[str, Any]]:
    """Returns the answers of the one operation of a kind, by status."""
    path, method = ONE_OF_EACH[kind]
    responses = DOCUMENT["paths"][path][method]["responses"]
    return {status: resolved(each) for status, each in responses.items()}


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yields every operation, with its path and method."""
    for path, item in DOCUMENT["paths"].items():
        for method in METHODS & set(item):
            yield path, method, item[method]


def kinds_of(root: type[Exception]) -> set[type[Any]]:
    """Returns all kinds of an error, without itself and what tests add."""
    below = {kind for each in root.__subclasses__() for kind in (each, *kinds_of(each))}
    return {kind for kind in below if kind.__module__.startswith("unify_grpc.")}


def test_the_document_is_valid() -> None:
    """By the standard's own schema; what it refers to is there, and every name is used once."""
    schemathesis.openapi.from_dict(DOCUMENT).validate()
    for part in parts_of(DOCUMENT):
        if "$ref" in part:
            assert found(part["$ref"])
    for schema in DOCUMENT["components"]["schemas"].values():
        jsonschema_rs.meta.validate(schema)
    ids = [operation["operationId"] for _, _, operation in operations()]
    assert len(ids) == len(set(ids))
    referred = {part["$ref"] for part in parts_of(DOCUMENT) if "$ref" in part}
    for kind in ("schemas", "responses", "headers"):
        assert {f"#/components/{kind}/{name}" for name in DOCUMENT["components"][kind]} <= referred


def test_parameters_of_paths_are_described() -> None:
    """All that a path has in braces, and no others."""
    for path, item in DOCUMENT["paths"].items():
        inside = {part.partition("}")[0] for part in path.split("{")[1:]}
        assert inside == {each["name"] for each in item.get("parameters", [])}, path


def test_every_route_is_in_the_document() -> None:
    """With its methods; a slash at its end and a path before it are said in words."""
    described = {(path, method.upper()) for path, method, _ in operations()}
    routes = build_app(TrackingEdge().edge).routes
    below = tuple(f"/v1/{root.decode()}/" for root in ROOTS)
    served = set()
    for route in routes:
        assert isinstance(route, Route)
        path = route.path.removeprefix(PREFIX).removesuffix("/")
        if not f"{path}/".startswith(below):
            served |= {(path, method) for method in (route.methods or set()) - {"HEAD"}}
    own = {(path, method) for path, method in described if path.startswith(below)}

    assert served == described - own
    assert {(start, *each) for start in below for each in _profile_calls()} == {
        (start, read_path({"path": path, "raw_path": path.encode()}).resource, method)
        for path, method in own
        for start in below
        if path.startswith(start)
    }


def _profile_calls() -> list[tuple[str, str]]:
    return [*((resource, "GET") for resource in RESOURCES), (DELETION, "POST")]


def test_every_operation_has_a_route() -> None:
    """Which takes its path and method."""
    routes = build_app(ProfileEdge().edge).routes
    for path, method, _ in operations():
        scope = {"type": "http", "path": path, "method": method.upper()}
        assert any(route.matches(scope)[0] is Match.FULL for route in routes), path


async def test_other_methods_are_refused_with_those_there_are() -> None:
    """405, and `Allow` names what the document has; where it has GET there is HEAD."""
    edge = TrackingEdge()
    for path, item in DOCUMENT["paths"].items():
        there = {method.upper() for method in METHODS & set(item)}
        there |= {"HEAD"} if "get" in item else set()
        for method in {"DELETE", "GET", "POST", "PUT", "PROPFIND"} - there:
            answer = await edge.client.request(method, path)
            assert 405 == answer.status_code, (method, path)
            assert there == set(answer.headers["allow"].split(", ")), (method, path)


@pytest.mark.parametrize("kind", ["event", "batch", "read", "deletion"])
def test_the_status_of_every_error_of_the_engine_is_documented(kind: str) -> None:
    """Though no call of this kind should meet it."""
    for error in kinds_of(UnifyError):
        made = error([]) if error is RequestInvalidError else error()
        if kind in openapi_profiles.REFUSALS_OF:
            status = profile_refusal(made, is_deletion=kind == "deletion").status_code
        else:
            status = refusal_of(made).status
        assert str(status) in answers_of(kind), error


def test_every_refusal_of_the_edge_is_documented() -> None:
    """But for that of another method, which no operation has: the document says it in words."""
    documented = {type(each) for errors in REFUSALS.values() for each in errors}

    assert kinds_of(HttpError) - {MethodNotAllowedError} == {
        each for each in documented if issubclass(each, HttpError)
    }


@pytest.mark.parametrize("kind", REFUSALS)
def test_refusals_are_as_documented(kind: str) -> None:
    """Their bodies and headers, of each error that a call of this kind may meet, and of ours."""
    answers = answers_of(kind)
    for error in (*REFUSALS[kind], None):
        answer: Response
        if kind in openapi_profiles.REFUSALS_OF:
            answer = profile_refusal(error, is_deletion=kind == "deletion")
        else:
            answer = refuse_error(error)
        documented = answers[str(answer.status_code)]
        body = documented["content"][answer.media_type]["schema"]
        jsonschema_rs.validator_for(body).validate(_json(answer))
        needed = {
            name
            for name, header in documented["headers"].items()
            if resolved(header).get("required") and name != "Request-Id"
        }
        assert needed <= {name for name in documented["headers"] if name in answer.headers}
        assert ("Retry-After" in answer.headers) == (answer.status_code in RETRYING)


def _json(answer: Response) -> Any:
    return json.loads(bytes(answer.body))


def test_what_needs_a_key_says_so() -> None:
    """Reads and deletions need a token; who watches, and a browser that asks first, needs none."""
    for path, method, operation in operations():
        schemes = [name for each in operation["security"] for name in each]
        if "/profiles/" in path:
            assert ["tokenBasic", "tokenBearer"] == schemes
            assert {} not in operation["security"]
        elif method == "post":
            assert ["writeKeyBasic", "writeKeyBearer"] == schemes
        else:
            assert [] == schemes


async def test_the_document_is_served_to_everybody() -> None:
    """As bytes that are made once; browsers of any origin may read it."""
    answer = await TrackingEdge().client.get("/openapi.json")

    assert (200, "application/json") == (answer.status_code, answer.headers["content-type"])
    assert document_bytes() == answer.content
    assert "*" == answer.headers["access-control-allow-origin"]
    assert document_bytes() is document_bytes()
