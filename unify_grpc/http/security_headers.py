"""The headers that every answer over HTTP has, whatever made it.

They say what a browser may do with an answer that it was not made for, so they are the strictest
there are. An answer that needs less says so itself: what it sets stays.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADERS: Final = {
    # Answers are somebody's data, or change from one second to the next.
    "cache-control": "no-store",
    # JSON that is opened as a page loads nothing, runs nothing and is framed nowhere.
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    # The path of a profile names somebody.
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}
TLS_HEADERS: Final = HEADERS | {
    # Of this host alone: what else is below its name is not ours to say.
    "strict-transport-security": "max-age=31536000",
}


class SecurityHeaders:
    """An application whose answers have these headers."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._plain, self._encrypted = (
            [(name.encode(), text.encode()) for name, text in headers.items()]
            for headers in (HEADERS, TLS_HEADERS)
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves a call."""
        wanted = self._encrypted if scope.get("scheme") == "https" else self._plain

        async def send_on(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = message["headers"]
                present = {name for name, _ in headers}
                headers.extend(each for each in wanted if each[0] not in present)
            await send(message)

        await self._app(scope, receive, send_on)


def header_lines(*, is_tls: bool) -> str:
    """Returns the headers as lines of HTTP, for answers that no application makes."""
    headers = TLS_HEADERS if is_tls else HEADERS
    return "".join(f"{name}: {text}\r\n" for name, text in headers.items())
