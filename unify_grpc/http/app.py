"""All routes of the HTTP edge as one application."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from unify_grpc.http.calls import refuse
from unify_grpc.http.counts import CONTENT_TYPE
from unify_grpc.http.openapi import openapi_routes
from unify_grpc.http.prefixes import BelowPrefix
from unify_grpc.http.profile_routes import profile_routes
from unify_grpc.http.refusals import INTERNAL
from unify_grpc.http.tracking_routes import tracking_routes

if TYPE_CHECKING:
    from starlette.requests import Request

    from unify_grpc.http.edge import Edge


def build_app(edge: Edge) -> Starlette:
    """Returns the application of a gateway."""
    tracking = tracking_routes(edge)
    app = Starlette(
        routes=[*health_routes(edge), *openapi_routes(), *profile_routes(edge), *tracking],
        exception_handlers={HTTPException: _no_route, Exception: _failed},  # type: ignore[dict-item]  # narrower than any request
    )
    # A slash more or less is a route of its own, or none; a redirect would lose a POST's body.
    app.router.redirect_slashes = False
    app.router.default = BelowPrefix(tracking, app.router.not_found)
    return app


def health_routes(edge: Edge) -> list[BaseRoute]:
    """Returns the routes for those who watch the service. They need no key and name nobody.

    Pages of other origins may not read them, unlike the Tracking API's.
    """

    async def healthz(request: Request) -> Response:
        del request
        return _plain_answer({"status": "ok"})

    async def readyz(request: Request) -> Response:
        del request
        is_ready = _is_ready(edge)
        return _plain_answer({"ready": is_ready}, 200 if is_ready else 503)

    async def metrics(request: Request) -> Response:
        del request
        queued = edge.ingestor.queued_events
        text = edge.counts.text(is_ready=_is_ready(edge), queued_events=queued)
        return Response(text, headers={"Content-Type": CONTENT_TYPE})

    return [
        Route("/healthz", healthz, methods=["GET"]),
        Route("/readyz", readyz, methods=["GET"]),
        Route("/metrics", metrics, methods=["GET"]),
    ]


def _is_ready(edge: Edge) -> bool:
    return edge.directory.is_current and not edge.draining.is_on


async def _no_route(request: Request, error: HTTPException) -> Response:
    del request
    content = {"success": False, "code": "not_found", "message": "There is no such route."}
    if error.status_code == 405:  # noqa: PLR2004 - a status is its own best name
        content |= {"code": "method_not_allowed", "message": "The route has no such method."}
    headers = dict(error.headers) if error.headers else None
    return _plain_answer(content, error.status_code, headers)


def _plain_answer(
    content: object, status: int = 200, headers: dict[str, str] | None = None
) -> Response:
    return Response(msgspec.json.encode(content), status, headers, "application/json")


async def _failed(request: Request, error: Exception) -> Response:
    del request, error
    return refuse(INTERNAL)
