"""Routes below any path: callers name a host with a path, and a proxy may leave it there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from starlette.routing import Match, Route

if TYPE_CHECKING:
    from collections.abc import Iterable

    from starlette.types import ASGIApp, Receive, Scope, Send

SEGMENTS_MAX: Final = 4
"""Of a route, a slash at its end left out."""


class BelowPrefix:
    """What is asked when no route has a path: whether one has its end.

    Only the last segments are looked at, so a long path costs no more than a short one.
    """

    def __init__(self, routes: Iterable[Route], otherwise: ASGIApp) -> None:
        """Takes the routes that are found below any path, and who answers for none."""
        self._routes: dict[tuple[int, str], list[Route]] = {}
        """By how many segments they have and what the last is, which is no parameter."""
        for route in routes:
            if route.path.endswith("/"):
                continue  # the same as without
            segments = route.path[1:].split("/")
            self._routes.setdefault((len(segments), segments[-1]), []).append(route)
        self._otherwise = otherwise

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request."""
        parts = scope["path"].removesuffix("/").rsplit("/", SEGMENTS_MAX)
        partial: Route | None = None
        for length in range(1, len(parts)):
            for route in self._routes.get((length, parts[-1]), ()):
                end = {**scope, "path": "/" + "/".join(parts[-length:]), "root_path": ""}
                match, found = route.matches(end)
                if match is Match.FULL:
                    scope.update(found)
                    await route.handle(scope, receive, send)
                    return
                if match is Match.PARTIAL:
                    partial = partial or route
        await (partial.handle if partial else self._otherwise)(scope, receive, send)
