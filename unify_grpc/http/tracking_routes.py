"""The Tracking API: events in, as Segment's SDKs send them."""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from unify_grpc.http.calls import CORS, Surrounding, json_answer, read_bounded
from unify_grpc.http.messages import EVENT_BYTES_MAX, read_batch, read_single
from unify_grpc.http.rate_limit import RateLimits
from unify_grpc.http.refusals import PendingError
from unify_grpc.identity.outcomes import REJECTION_TEXTS, Outcome
from unify_grpc.service.arrivals import Incoming, ReadEvents
from unify_grpc.service.calls import INGEST, check_scope
from unify_grpc.service.errors import CredentialInvalidError, DeadlinePassedError
from unify_grpc.service.turns import Turns

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.requests import Request

    from unify_grpc.http.edge import Edge
    from unify_grpc.http.messages import Call
    from unify_grpc.http.rate_limit import Standing
    from unify_grpc.service.directory import Caller
    from unify_grpc.service.ingest_run import EventOutcome

BATCH_BYTES_MAX: Final = 500 * 1024
DEADLINE_MARGIN_S: Final = 0.05
SINGLE: Final = ("identify", "track", "page", "screen", "group", "alias")
BATCH: Final = ("batch", "import")
SHORT: Final = {"a": "alias", "b": "batch", **{name[0]: name for name in SINGLE[:-1]}}
PREFLIGHT: Final = {
    **CORS,
    "Access-Control-Allow-Methods": "GET, POST, OPTIONS",
    "Access-Control-Allow-Headers": (
        "authorization, content-type, content-encoding, x-retry-count, unify-strict"
    ),
    "Access-Control-Max-Age": "86400",
}
SUCCESS: Final = {"success": True}
SCHEMES: Final = frozenset({"http", "https"})
STRICT: Final = frozenset({"1", "true"})


def tracking_routes(edge: Edge) -> list[BaseRoute]:
    """Returns the routes of the Tracking API.

    Each also with a slash at its end, and below any prefix: callers name a host with a path.
    """
    tracking = Tracking(edge)
    calls = {name: name for name in (*SINGLE, *BATCH)} | SHORT
    answers = {
        name: _or_preflight(Surrounding(edge, name, partial(tracking.take, kind=name)))
        for name in (*SINGLE, *BATCH)
    }
    routes: list[BaseRoute] = []
    for prefix in ("", "/{prefix:path}"):
        for path, name in calls.items():
            for end in ("", "/"):
                whole = f"{prefix}/v1/{path}{end}"
                routes.append(Route(whole, answers[name], methods=["POST", "OPTIONS"]))
        for end in ("", "/"):
            whole = f"{prefix}/v1/projects/{{write_key}}/settings{end}"
            answer = _or_preflight(Surrounding(edge, "settings", tracking.settings))
            routes.append(Route(whole, answer, methods=["GET", "OPTIONS"]))
    return routes


def _or_preflight(call: Surrounding) -> Callable[[Request], Awaitable[Response]]:
    """Returns what answers a route: one route has all of its methods, so `Allow` names them all."""

    async def answer(request: Request) -> Response:
        return await (preflight if request.method == "OPTIONS" else call.answer)(request)

    return answer


async def preflight(request: Request) -> Response:
    """Tells a browser that it may call."""
    del request
    return Response(status_code=200, headers=PREFLIGHT)


class Tracking:
    """Answers the Tracking API's calls from a gateway's `Ingestor`."""

    def __init__(self, edge: Edge) -> None:
        self._edge = edge
        settings = edge.settings
        self._limits = RateLimits(
            space_per_s=settings.space_writes_per_s,
            key_per_s=settings.key_writes_per_s,
            gateways=settings.gateways,
        )

    async def take(self, request: Request, kind: str) -> Response:
        """Stores the event or events of a call, and answers when they are resolved."""
        authorization = request.headers.get("authorization", "")
        caller = None
        if _has_basic_key(authorization):
            # Whoever is not let in is told so before the body is read.
            caller = await self._authenticate(authorization)
            self._check_rate(caller)
        if kind in BATCH:
            call = read_batch(await read_bounded(self._edge, request, BATCH_BYTES_MAX))
        else:
            call = read_single(await read_bounded(self._edge, request, EVENT_BYTES_MAX), kind)
        if caller is None:
            key = f"Bearer {call.write_key}" if call.write_key else authorization
            caller = await self._authenticate(key)
        standing = self._take_rate(caller, len(call.events))
        is_strict = _is_strict(request)
        outcomes = await self._ingest(call, caller, only_notable=not is_strict)
        if self._count(len(call.events), outcomes):
            raise PendingError
        headers = standing.headers if standing is not None else None
        return json_answer(_results(call, outcomes) if is_strict else SUCCESS, headers=headers)

    async def settings(self, request: Request) -> Response:
        """Tells the browser SDK where to send events."""
        key: str = request.path_params["write_key"]
        await self._authenticate(f"Bearer {key}")
        destination = {
            "apiKey": key,
            "apiHost": _host_of(request),
            "protocol": _scheme_of(request),
        }
        return json_answer(
            {
                "integrations": {"Segment.io": destination},
                "plan": {},
                "edgeFunction": {},
                "enabledMiddleware": {},
                "metrics": {"sampleRate": 0},
                "legacyVideoPluginsEnabled": False,
                "remotePlugins": [],
            }
        )

    async def _authenticate(self, authorization: str) -> Caller:
        if not authorization.isascii():
            raise CredentialInvalidError
        caller = await self._edge.directory.authenticate(authorization, "")
        check_scope(caller, INGEST)
        return caller

    def _check_rate(self, caller: Caller) -> None:
        """Refuses whoever may send nothing now, before a body is read: `RateLimitedError`."""
        assert caller.space is not None, "a write key is of a space"
        space, key = caller.space.record.number, caller.credential.number
        self._limits.check(space, key, self._edge.clock())

    def _take_rate(self, caller: Caller, count: int) -> Standing | None:
        """Counts events for their space and key; `RateLimitedError` if there are too many."""
        assert caller.space is not None, "a write key is of a space"
        return self._limits.take(
            caller.space.record.number,
            caller.credential.number,
            self._edge.clock(),
            cost=max(1, count),
        )

    async def _ingest(
        self, call: Call, caller: Caller, *, only_notable: bool
    ) -> list[tuple[int, EventOutcome]]:
        assert caller.space is not None, "a write key is of a space"
        deadline_s = self._edge.settings.deadline_s_default
        try:
            async with asyncio.timeout(deadline_s + DEADLINE_MARGIN_S):
                return await self._edge.ingestor.ingest(
                    ReadEvents(call.events),
                    caller.space,
                    caller.credential.source,
                    Turns(),
                    is_resolved=True,
                    only_notable=only_notable,
                    deadline_s=deadline_s,
                )
        except TimeoutError:
            raise DeadlinePassedError from None

    def _count(self, count: int, outcomes: list[tuple[int, EventOutcome]]) -> bool:
        """Counts what became of `count` events, as `outcomes` name all that is notable.

        Returns whether one is pending.
        """
        events = self._edge.counts.events
        events["stored"] += count - len(outcomes)
        statuses = Counter(_status(outcome) for _, outcome in outcomes)
        for status, number in statuses.items():
            events[status.lower()] += number
        return bool(statuses["PENDING"])


def _has_basic_key(authorization: str) -> bool:
    """Whether there is a user name in it; without one the key is in the body."""
    scheme, _, rest = authorization.partition(" ")
    if scheme.lower() != "basic":
        return False
    try:
        return not base64.b64decode(rest.strip(), validate=True).startswith(b":")
    except (binascii.Error, ValueError):
        return True  # no key of ours either, and refused as such


def _is_strict(request: Request) -> bool:
    asked = request.query_params.get("strict") or request.headers.get("unify-strict", "")
    return asked.lower() in STRICT


def _host_of(request: Request) -> str:
    """Returns where the browser found this: its host, and the path before `/projects`."""
    path = request.url.path.partition("/projects/")[0]
    return f"{request.headers.get('host', request.url.netloc)}{path}"


def _scheme_of(request: Request) -> str:
    """Returns how the browser came here: a proxy that ends TLS says so; lies harm their author."""
    forwarded = request.headers.get("x-forwarded-proto", "")
    return forwarded if forwarded in SCHEMES else request.url.scheme


def _status(outcome: EventOutcome) -> str:
    if outcome.rejection is not None:
        return "REJECTED"
    if outcome.outcome is Outcome.PENDING:
        return "PENDING"
    return "DUPLICATE" if outcome.is_duplicate else "STORED"


def _results(call: Call, outcomes: list[tuple[int, EventOutcome]]) -> dict[str, Any]:
    """Returns what became of each event, for callers that ask."""
    results = [_result(call, index, outcome) for index, outcome in outcomes]
    is_well = all(outcome.rejection is None for _, outcome in outcomes)
    return {"success": is_well, "results": results}


def _result(call: Call, index: int, outcome: EventOutcome) -> dict[str, Any]:
    each = call.events[index]
    result: dict[str, Any] = {
        "index": index,
        "messageId": (each.event.message_id if isinstance(each, Incoming) else each.body.message_id)
        or each.body.message_id,
        "status": _status(outcome),
    }
    if outcome.rejection is not None:
        result["reason"] = outcome.rejection.name
        result["message"] = REJECTION_TEXTS[outcome.rejection]
    else:
        result["outcome"] = outcome.outcome.name if outcome.outcome else ""
        result["segmentId"] = outcome.segment_id
        result["accountSegmentId"] = outcome.account_segment_id
    if outcome.drops:
        result["drops"] = [
            {
                "collection": drop.collection,
                "type": drop.type,
                "value": drop.value,
                "reason": drop.reason.name,
            }
            for drop in outcome.drops
        ]
    return result
