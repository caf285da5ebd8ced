"""What surrounds every Tracking call over HTTP: room, an answer whatever happens, a line of log."""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING, Any, Final

import msgspec
from starlette.responses import Response

from unify_grpc.http.arriving import check_room
from unify_grpc.http.rate_limit import RateLimitedError
from unify_grpc.http.refusals import INTERNAL, HttpError, Refusal, code_of, refusal_of
from unify_grpc.service.errors import UnifyError
from unify_grpc.telemetry.logs import get_logger

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.requests import Request

    from unify_grpc.http.edge import Edge
    from unify_grpc.http.rate_limit import Standing
    from unify_grpc.service.directory import Caller

CORS: Final = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Expose-Headers": (
        "Retry-After, Request-Id, X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset"
    ),
}
HELD_S: Final = 0.1
"""That a refusal is held back whose caller calls too often."""
_encode = msgspec.json.Encoder().encode


def json_answer(
    content: object, status: int = 200, headers: dict[str, str] | None = None
) -> Response:
    """Returns an answer in JSON, which browsers of any origin may read."""
    return Response(
        _encode(content),
        status,
        {**CORS, "X-Content-Type-Options": "nosniff", **(headers or {})},
        "application/json",
    )


def refuse(refusal: Refusal) -> Response:
    """Returns a refusal as SDKs read it."""
    headers = {}
    if refusal.retry_s is not None:
        headers["Retry-After"] = str(refusal.retry_s)
    if refusal.is_last:
        headers["Connection"] = "close"
    content = {"success": False, "code": refusal.code, "message": refusal.text}
    return json_answer(content, refusal.status, headers)


def refuse_error(error: UnifyError | HttpError | None) -> Response:
    """Returns what a Tracking call is answered for an error; None is one that is ours."""
    return refuse(INTERNAL if error is None else refusal_of(error))


def note_caller(request: Request, caller: Caller) -> None:
    """Notes who makes a call, for its line of log."""
    request.state.caller = caller


def note_standing(request: Request, standing: Standing | None) -> None:
    """Notes how its caller stands to a limit, for the answer, whatever that becomes."""
    request.state.standing = standing


class Surrounding:
    """Serves the calls of one route."""

    def __init__(
        self,
        edge: Edge,
        route: str,
        serve: Callable[[Request], Awaitable[Any]],
        refused: Callable[[UnifyError | HttpError | None], Response] = refuse_error,
    ) -> None:
        """Takes what the calls of a route have in common.

        Args:
            edge: of the gateway.
            route: its name, which counts and logs show.
            serve: answers a call, whose id is `request.state.request_id`, or raises; says who
                makes it by `note_caller` and `note_standing`.
            refused: the answer to an error; None is one that is ours.
        """
        self._edge = edge
        self._route = route
        self._serve = serve
        self._refused = refused
        self._log = get_logger("gateway")

    async def answer(self, request: Request) -> Response:
        """Answers a request; never raises."""
        counts, started = self._edge.counts, time.perf_counter()
        state = request.state
        request_id = state.request_id = uuid.uuid4().hex
        state.caller = state.standing = None
        code = ""
        counts.calls += 1
        try:
            self._edge.draining.check()
            check_room(self._edge)
            response: Response = await self._serve(request)
        except (UnifyError, HttpError) as error:
            if isinstance(error, RateLimitedError):
                state.standing = error.standing
                await hold(self._edge)
            code, response = code_of(error), self._refused(error)
        except Exception:  # noqa: BLE001 - whatever it is, the caller gets an answer
            self._log.exception("http_failed", route=self._route, request_id=request_id)
            code, response = INTERNAL.code, self._refused(None)
        finally:
            counts.calls -= 1
        response.headers["Request-Id"] = request_id
        if state.standing is not None:
            response.headers.update(state.standing.headers)
        if self._edge.draining.is_on:
            response.headers["Connection"] = "close"
        counts.requests[self._route, str(response.status_code), code] += 1
        self._log.info(
            "http_finished",
            route=self._route,
            status=response.status_code,
            code=code,
            space_id=_space_id(state.caller),
            duration_ms=round((time.perf_counter() - started) * 1000, 3),
            request_id=request_id,
        )
        return response


def _space_id(caller: Caller | None) -> str:
    return caller.space.record.space_id if caller is not None and caller.space is not None else ""


async def hold(edge: Edge) -> None:
    """Keeps an answer back that calls too often: whoever waits for it does not call meanwhile.

    So a caller without patience costs the others little. As many are held back as may be served.
    """
    counts = edge.counts
    if counts.held >= edge.settings.calls_concurrent_max:
        return
    counts.held += 1
    try:
        await edge.pause(HELD_S)
    finally:
        counts.held -= 1
