"""The headers of every answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import pytest
from starlette.responses import Response

from tests.unit.http.tracking_edge import TrackingEdge
from unify_grpc.http.app import build_app
from unify_grpc.http.security_headers import HEADERS, TLS_HEADERS, SecurityHeaders, header_lines

if TYPE_CHECKING:
    from starlette.types import ASGIApp

HSTS = "strict-transport-security"


async def get(app: ASGIApp, scheme: str = "http") -> httpx.Response:
    """Returns what is answered to a call."""
    transport = httpx.ASGITransport(SecurityHeaders(app), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url=f"{scheme}://unify.test") as client:
        return await client.get("/healthz")


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_browsers_are_told_to_keep_to_tls_over_tls_only(scheme: str) -> None:
    """Said over plain HTTP it could come from anybody, and is passed over."""
    answer = await get(build_app(TrackingEdge().edge), scheme)

    assert 200 == answer.status_code
    assert (scheme == "https") == (HSTS in answer.headers)
    assert HEADERS.items() <= dict(answer.headers).items()


async def test_what_an_answer_says_itself_stays() -> None:
    """A page that has to load its own scripts says so, once."""
    own = {"Content-Security-Policy": "default-src 'self'", "Cache-Control": "max-age=60"}

    answer = await get(Response("page", headers=own))

    assert ["default-src 'self'"] == answer.headers.get_list("content-security-policy")
    assert ["max-age=60"] == answer.headers.get_list("cache-control")
    assert "nosniff" == answer.headers["x-content-type-options"]


async def test_an_application_that_fails_answers_with_them() -> None:
    """The answer of last resort is nobody's page either."""
    app = build_app(TrackingEdge().edge)

    async def fail(request: Any) -> Response:
        raise ValueError(request.url.path)

    app.add_route("/failing", fail)
    transport = httpx.ASGITransport(SecurityHeaders(app), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://unify.test") as client:
        answer = await client.get("/failing")

    assert (500, "internal") == (answer.status_code, answer.json()["code"])
    assert HEADERS.items() <= dict(answer.headers).items()


@pytest.mark.parametrize("is_tls", [False, True])
def test_answers_that_no_application_makes_have_the_same(*, is_tls: bool) -> None:
    """As lines of HTTP, each of them ended."""
    lines = header_lines(is_tls=is_tls).split("\r\n")

    assert "" == lines.pop()
    assert (TLS_HEADERS if is_tls else HEADERS) == dict(line.split(": ", 1) for line in lines)
