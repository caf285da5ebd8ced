"""Whatever stands in a path or a parameter, a read is answered, and no fault is ours."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tests.unit.http.profile_edge import ADMIN, ProfileEdge, identify
from unify_grpc.http.app import build_app

if TYPE_CHECKING:
    from starlette.applications import Starlette

START = "/v1/spaces/one/collections/users/profiles"
NASTY = [
    b"",
    b".",
    b"..",
    b"%",
    b"%zz",
    b"%00",
    b"%0A",
    b"%2F",
    b"%2e%2e%2f",
    b"%25",
    b"%FF",
    b"%C3%28",
    b"%ED%A0%80",
    b"%F0%9F%98%80",
    b"%EF%BF%BF",
    b"%E2%80%AE",
    b"%CC%81" * 100,
    b"+",
    b":",
    b"::",
    b"user_id:" + b"x" * 10_000,
    b"use_" + b"z" * 27,
    b"use_" + b"0" * 27,
    b"acc_" + b"Z" * 60,
    b"null",
    b"-1",
    b"1e308",
    b"9" * 5000,
    b"NaN",
    b"'%20OR%201=1--",
    b"<script>",
    b"9999-12-31T23:59:59-23:59",
    b"0001-01-01T00:00:00%2B23:59",
    b"2024-01-01T00:00:00.1234567890123Z",
    b"2024-W01-1",
    b"," * 5000,
]
PLACES = [
    b"/v1/spaces/%b/collections/users/profiles/user_id:u/traits",
    b"/v1/spaces/one/collections/%b/profiles/user_id:u/traits",
    b"/v1/spaces/one/collections/users/profiles/%b/traits",
    b"/v1/spaces/one/collections/users/profiles/user_id:%b/events",
    b"/v1/spaces/one/collections/users/profiles/user_id:u/%b",
    b"/v1/spaces/%b",
]
LIST = ("limit", "next", "unknown")
PARAMETERS = {
    "traits": (*LIST, "class", "include", "verbose"),
    "external_ids": (*LIST, "include", "verbose"),
    "events": (*LIST, "include", "exclude", "start", "end", "sort"),
    "metadata": ("verbose", "unknown"),
    "links": LIST,
}


@pytest.fixture(scope="module")
def app() -> Starlette:
    """A space with one person, whom tests only read."""
    made = ProfileEdge(space_reads_per_s=0)
    asyncio.run(made.open(identify("u", traits={"plan": "pro"})))
    return build_app(made.edge)


async def status(app: Starlette, raw_path: bytes, query: bytes = b"") -> int:
    """Returns the status of a read, made as a server hands it over."""
    sent: list[int] = []

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, object]) -> None:
        if message["type"] == "http.response.start":
            code = message["status"]
            assert isinstance(code, int)
            sent.append(code)

    scope = {
        "type": "http",
        "method": "GET",
        "path": "/v1/spaces/decoded",
        "raw_path": raw_path,
        "query_string": query,
        "headers": [(b"authorization", b"Bearer " + ADMIN.encode())],
    }
    await app(scope, receive, send)  # type: ignore[arg-type]  # of a test
    (found,) = sent
    return found


@pytest.mark.parametrize("place", PLACES, ids=lambda each: each.decode())
async def test_paths(app: Starlette, place: bytes) -> None:
    """It is found, not found, or refused as the caller's fault."""
    found = {nasty: await status(app, place % nasty) for nasty in NASTY}

    assert set(found.values()) <= {200, 400, 404}


@pytest.mark.parametrize("resource", PARAMETERS)
async def test_parameters(app: Starlette, resource: str) -> None:
    """It is taken, passed over, or refused as the caller's fault; so are all of them together."""
    path = f"{START}/user_id:u/{resource}".encode()
    found = [
        await status(app, path, name.encode() + b"=" + nasty)
        for name in PARAMETERS[resource]
        for nasty in NASTY
    ]
    found += [
        await status(
            app, path, b"&".join(name.encode() + b"=" + nasty for name in PARAMETERS[resource])
        )
        for nasty in NASTY
    ]

    assert set(found) <= {200, 400}
    assert 200 in found
