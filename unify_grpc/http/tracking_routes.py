"""The Tracking API: events in, as Segment's SDKs send them."""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from starlette.responses import Response
from starlette.routing import Route

from unify_grpc.http.arriving import UnknownCaller, check_room, read_bounded
from unify_grpc.http.calls import (
    CORS,
    Surrounding,
    json_answer,
    note_caller,
    note_standing,
)
from unify_grpc.http.messages import (
    ENVELOPE_BYTES,
    EVENT_BYTES_MAX,
    Outline,
    events_of,
    outline_batch,
    outline_single,
)
from unify_grpc.http.rate_limit import RateLimits
from unify_grpc.http.refusals import JsonInvalidError, PendingError
from unify_grpc.identity.outcomes import REJECTION_TEXTS, Outcome
from unify_grpc.service.arrivals import Incoming, ReadEvents
from unify_grpc.service.calls import INGEST, check_scope
from unify_grpc.service.errors import CredentialInvalidError, DeadlinePassedError
from unify_grpc.service.turns import Turns

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.requests import Request

    from unify_grpc.http.edge import Edge
    from unify_grpc.service.directory import Caller
    from unify_grpc.service.ingest_run import EventOutcome
    from unify_grpc.service.refused_event import Unreadable

BATCH_BYTES_MAX: Final = 500 * 1024
EVENTS_AT_ONCE: Final = 50
"""Read before others have a turn."""
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


def tracking_routes(edge: Edge) -> list[Route]:
    """Returns the routes of the Tracking API, each also with a slash at its end."""
    tracking = Tracking(edge)
    calls = {name: name for name in (*SINGLE, *BATCH)} | SHORT
    answers = {
        name: _or_preflight(Surrounding(edge, name, partial(tracking.take, kind=name)))
        for name in (*SINGLE, *BATCH)
    }
    settings = _or_preflight(Surrounding(edge, "settings", tracking.settings))
    routes: list[Route] = []
    for end in ("", "/"):
        for path, name in calls.items():
            routes.append(Route(f"/v1/{path}{end}", answers[name], methods=["POST", "OPTIONS"]))
        whole = f"/v1/projects/{{write_key}}/settings{end}"
        routes.append(Route(whole, settings, methods=["GET", "OPTIONS"]))
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
        outline, caller = await self._arrive(request, kind, authorization)
        self._take_rate(request, caller, len(outline.texts))
        events = await _read(outline)
        is_strict = _is_strict(request)
        outcomes = await self._ingest(events, caller, only_notable=not is_strict)
        if self._count(len(events), outcomes):
            raise PendingError
        return json_answer(_results(events, outcomes) if is_strict else SUCCESS)

    async def _arrive(
        self, request: Request, kind: str, authorization: str
    ) -> tuple[Outline, Caller]:
        """Returns the outline of a call, and who makes it; no event is read yet."""
        bytes_max = (BATCH_BYTES_MAX if kind in BATCH else EVENT_BYTES_MAX) + ENVELOPE_BYTES
        if _has_basic_key(authorization):
            # Whoever is not let in is told so before the body is read.
            caller = await self._authenticate(request, authorization)
            self._check_rate(caller)
            body = await read_bounded(self._edge, request, bytes_max)
            caller = self._edge.directory.check_again(caller)
            return _outline(body, kind), caller
        with UnknownCaller(self._edge) as unknown:
            body = await unknown.read(request, bytes_max)
            try:
                outline = _outline(body, kind, may_split=False)
            except JsonInvalidError:
                # To take a batch apart costs far more: that is done for those who are known.
                if not authorization:
                    raise
                await self._authenticate(request, authorization)
                outline = _outline(body, kind)
            key = f"Bearer {outline.write_key}" if outline.write_key else authorization
            caller = await self._authenticate(request, key)
        check_room(self._edge)
        return outline, caller

    async def settings(self, request: Request) -> Response:
        """Tells the browser SDK where to send events."""
        key: str = request.path_params["write_key"]
        await self._authenticate(request, f"Bearer {key}")
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

    async def _authenticate(self, request: Request, authorization: str) -> Caller:
        if not authorization.isascii():
            raise CredentialInvalidError
        caller = await self._edge.directory.authenticate(authorization, "")
        note_caller(request, caller)
        check_scope(caller, INGEST)
        return caller

    def _check_rate(self, caller: Caller) -> None:
        """Refuses whoever may send nothing now, before a body is read: `RateLimitedError`."""
        assert caller.space is not None, "a write key is of a space"
        space, key = caller.space.record.number, caller.credential.number
        self._limits.check(space, key, self._edge.clock())

    def _take_rate(self, request: Request, caller: Caller, count: int) -> None:
        """Counts events for their space and key; `RateLimitedError` if there are too many."""
        assert caller.space is not None, "a write key is of a space"
        space, key = caller.space.record.number, caller.credential.number
        standing = self._limits.take(space, key, self._edge.clock(), cost=max(1, count))
        note_standing(request, standing)

    async def _ingest(
        self, events: list[Incoming | Unreadable], caller: Caller, *, only_notable: bool
    ) -> list[tuple[int, EventOutcome]]:
        assert caller.space is not None, "a write key is of a space"
        deadline_s = self._edge.settings.deadline_s_default
        try:
            async with asyncio.timeout(deadline_s + DEADLINE_MARGIN_S):
                return await self._edge.ingestor.ingest(
                    ReadEvents(events),
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


def _outline(body: bytes, kind: str, *, may_split: bool = True) -> Outline:
    return outline_batch(body, may_split=may_split) if kind in BATCH else outline_single(body, kind)


async def _read(outline: Outline) -> list[Incoming | Unreadable]:
    """Reads the events of a call; others have their turns between."""
    events = []
    for each in events_of(outline):
        events.append(each)
        if not len(events) % EVENTS_AT_ONCE:
            await asyncio.sleep(0)
    return events


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


def _results(
    events: list[Incoming | Unreadable], outcomes: list[tuple[int, EventOutcome]]
) -> dict[str, Any]:
    """Returns what became of each event, for callers that ask."""
    results = [_result(events[index], index, outcome) for index, outcome in outcomes]
    is_well = all(outcome.rejection is None for _, outcome in outcomes)
    return {"success": is_well, "results": results}


def _result(each: Incoming | Unreadable, index: int, outcome: EventOutcome) -> dict[str, Any]:
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
