"""One connection of the HTTP port: bounds on all that whoever opened it may send, hold or leave.

A message, head and body, has so many bytes and so many seconds, whatever becomes of it. A caller
that does not read its answers is hung up on, and so is one too many.
"""

from __future__ import annotations

import resource
from collections import deque
from typing import TYPE_CHECKING, Any, Final

import httptools
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from unify_grpc.http.security_headers import header_lines

if TYPE_CHECKING:
    import asyncio

HEAD_BYTES_MAX: Final = 64 << 10
"""Of a request's line and headers; whoever sends more is hung up on."""
PATH_BYTES_MAX: Final = 8 << 10
HEADERS_MAX: Final = 200
HEAD_S_MAX: Final = 10.0
"""For a head to arrive, from the opening of a connection or the first byte after a request."""
MESSAGE_BYTES_MAX: Final = 8 << 20
"""Of a head, its body and what frames the body: above all that is read of one too large."""
MESSAGE_S_MAX: Final = 15.0
"""For a body to arrive, from the end of its head: longer than those wait who read it."""
WRITE_S_MAX: Final = 15.0
"""For a caller to read what it was answered."""
PIPELINE_MAX: Final = 64
"""Requests that wait for the answers of those before them."""
CONNECTIONS_MAX: Final = 10_000
"""At once, where the system lets a process have as many files open."""
OTHER_FILES_MAX: Final = 512
"""What a process opens beside connections."""


def _refusal(status: str, code: str, message: str, more: str = "") -> bytes:
    """Returns an answer, in the form of all refusals, to what never becomes a call."""
    content = f'{{"success":false,"code":"{code}","message":"{message}"}}'
    return (
        f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(content)}\r\n{more}Connection: close\r\n\r\n{content}"
    ).encode()


INVALID: Final = _refusal(
    "400 Bad Request", "invalid_http", "The request is not HTTP, or no URL of it."
)
HEADERS_TOO_MANY: Final = _refusal(
    "400 Bad Request", "invalid_http", "The request has too many headers, or too long ones."
)
PATH_TOO_LONG: Final = _refusal("414 URI Too Long", "path_too_long", "The path is too long.")
FULL: Final = _refusal(
    "503 Service Unavailable",
    "too_many_connections",
    "Too many connections are open; try again after a pause.",
    "Retry-After: 1\r\n",
)
NOTHING: Final = b""
"""To be said; the connection only ends."""


class RefusedError(Exception):
    """What arrives is not taken; goes up through the parser, which then takes no more either."""

    def __init__(self, words: bytes) -> None:
        """Takes the last that is said on the connection."""
        super().__init__()
        self.words = words


class _Flow(FlowControl):
    """Keeps reading paused while requests wait that were read already."""

    def __init__(self, transport: asyncio.Transport, waiting: deque[Any]) -> None:
        super().__init__(transport)
        self._waiting = waiting
        self.is_over = False
        """Whether nothing will be read any more."""

    def resume_reading(self) -> None:
        """Reads on, unless there is enough to do."""
        if not self._waiting and not self.is_over:
            super().resume_reading()


class BoundedProtocol(HttpToolsProtocol):
    """The library's protocol, bounded."""

    flow: _Flow
    cycle: Any
    """The call whose message came last; None before the first."""

    def __init__(self, *args: Any, connections_max: int = CONNECTIONS_MAX, **named: Any) -> None:
        """Takes what the library's does, and how many connections there may be."""
        super().__init__(*args, **named)
        self._connections_max = connections_max
        self._message_bytes = 0
        """Of the message that is arriving."""
        self._is_arriving = False
        self._is_head_over = False
        self._patience: asyncio.TimerHandle | None = None
        """With the message that is arriving."""
        self._unread: asyncio.TimerHandle | None = None
        """Patience with a caller that does not read."""
        self._head_again: bytes | None = None
        """The head that was read last without its wish for another protocol, if it had one."""
        self._last_words: bytes | None = None
        """What is said when the calls under way are answered, before the connection ends."""

    # -- the connection -----------------------------------------------------------------------

    def connection_made(self, transport: Any) -> None:
        """Begins to wait for a head, unless there are too many already."""
        super().connection_made(transport)
        self.flow = _Flow(transport, self.pipeline)
        # Whatever cannot be sent at once is waited for, however little it is. Not 0: a transport
        # with TLS would take it that nothing is too much, and pause for good.
        transport.set_write_buffer_limits(high=1, low=0)
        if len(self.connections) > self._connections_max:
            self._end(FULL)
        else:
            self._wait(HEAD_S_MAX)

    def connection_lost(self, exc: Exception | None) -> None:
        """Waits no more."""
        self._stop_waiting()
        self._unset_keepalive_if_required()
        self.resume_writing()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Begins to wait for the caller to read."""
        super().pause_writing()
        if self._unread is None:
            self._unread = self.loop.call_later(WRITE_S_MAX, self.transport.abort)

    def resume_writing(self) -> None:
        """All was read, or never will be."""
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None
        super().resume_writing()

    def data_received(self, data: bytes) -> None:
        """Takes what came, if there is not too much of it."""
        if self.flow.is_over:
            return
        self._unset_keepalive_if_required()
        self._message_bytes += len(data)
        self._parse(data)
        if self._last_words is not None or self.transport.is_closing():
            return
        if self._is_arriving or self._message_bytes:
            self._bound_message()
        elif self.cycle is None or self.cycle.response_complete:
            # The end of a message that was answered before it: nothing else ends the connection.
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    # -- one message --------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """A head begins."""
        self._is_arriving = True
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Takes a header; what follows a body is nobody's."""
        if self._is_head_over:
            return
        if len(self.headers) >= HEADERS_MAX:
            raise RefusedError(HEADERS_TOO_MANY)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head is over."""
        self._stop_waiting()
        if len(self.url.partition(b"?")[0]) > PATH_BYTES_MAX:
            raise RefusedError(PATH_TOO_LONG)
        if self.parser.should_upgrade():
            self._head_again = self._head_without_upgrade()
            return
        if len(self.pipeline) >= PIPELINE_MAX:
            raise RefusedError(NOTHING)
        super().on_headers_complete()
        self._is_head_over = True

    def on_message_complete(self) -> None:
        """What comes next is another head."""
        if self._head_again is not None:
            return
        self._stop_waiting()
        self._is_arriving = self._is_head_over = False
        self._message_bytes = 0
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Goes on with the next request, or ends what was refused meanwhile."""
        is_last = not self.pipeline
        super().on_response_complete()
        if self.transport.is_closing():
            return
        if is_last and self._last_words is not None:
            self._hang_up(self._last_words)
            return
        self.flow.resume_reading()
        if self._patience is not None and self._is_head_over:
            self._wait(MESSAGE_S_MAX)  # nothing was read while others were served

    def send_400_response(self, msg: str) -> None:
        """Refuses what is not HTTP."""
        del msg
        self._end(INVALID)

    def _parse(self, data: bytes) -> None:
        while True:
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as asked:
                if self._head_again is None:  # the library asks for one that the head does not
                    self._end(INVALID)
                    return
                data = self._head_again + data[asked.args[0] :]
                self._head_again = None
                self.parser = httptools.HttpRequestParser(self)
                self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
            except httptools.HttpParserError as error:
                cause = error.__context__
                self._end(cause.words if isinstance(cause, RefusedError) else INVALID)
                return
            else:
                return

    def _head_without_upgrade(self) -> bytes:
        """Returns the head as it is without its wish for another protocol.

        Nobody has to grant that wish, and callers that have it (HTTP/2, most of all) go on with
        HTTP/1.1. The parser would take such a head for the end of all HTTP, and its body for
        something else, or, later, for another request.
        """
        method = self.parser.get_method()
        if method == b"CONNECT":
            raise RefusedError(INVALID)
        version = self.parser.get_http_version().encode()
        lines = [b"%s %s HTTP/%s" % (method, self.url, version)]
        for name, value in self.headers:
            kept = value
            if name == b"connection":
                tokens = [each.strip() for each in value.split(b",")]
                kept = b", ".join(each for each in tokens if each.lower() != b"upgrade")
            if name != b"upgrade":
                lines.append(name + b": " + kept)
        if any(b"\r" in each or b"\n" in each for each in lines):
            raise RefusedError(INVALID)
        return b"\r\n".join([*lines, b"", b""])

    def _bound_message(self) -> None:
        if self._message_bytes > (MESSAGE_BYTES_MAX if self._is_head_over else HEAD_BYTES_MAX):
            self._end(NOTHING if self._is_head_over else HEADERS_TOO_MANY)
        elif self._patience is None:
            self._wait(MESSAGE_S_MAX if self._is_head_over else HEAD_S_MAX)

    # -- the end ------------------------------------------------------------------------------

    def _end(self, words: bytes) -> None:
        """Reads no more; says something when the calls before it are answered, and hangs up."""
        self._stop_waiting()
        self.flow.is_over = True
        self.flow.pause_reading()
        is_waited_for = self.cycle is not None and not self.cycle.response_complete
        if self._is_head_over:  # it is the body of the last call that is wrong
            is_waited_for = bool(self.pipeline)
            if is_waited_for:
                self.pipeline.popleft()
            elif self.cycle.response_started:
                words = NOTHING
        if is_waited_for:
            self._last_words = words
        else:
            self._hang_up(words)

    def _hang_up(self, words: bytes) -> None:
        if words:
            head, content = words.split(b"\r\n\r\n", 1)
            more = header_lines(is_tls=self.scheme == "https").encode()
            self.transport.write(b"%s\r\n%s\r\n%s" % (head, more, content))
        self.transport.close()

    def _wait(self, seconds: float) -> None:
        self._stop_waiting()
        self._patience = self.loop.call_later(seconds, self._give_up, seconds)

    def _stop_waiting(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _give_up(self, seconds: float) -> None:
        self._patience = None
        if self.flow.read_paused:  # whoever sends is not the one who is late
            self._wait(seconds)
        elif not self.transport.is_closing():
            self._end(NOTHING)


def allow_connections() -> int:
    """Lets this process have as many files open as it may; returns how many connections fit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = CONNECTIONS_MAX + OTHER_FILES_MAX
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = wanted
    if soft == resource.RLIM_INFINITY:
        return CONNECTIONS_MAX
    return min(CONNECTIONS_MAX, soft - min(OTHER_FILES_MAX, soft // 2))
