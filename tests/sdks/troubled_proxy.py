"""What stands between an SDK and the service: a proxy that records, and makes trouble.

Requests and answers pass unchanged, byte for byte of the body, but for the trouble that was asked
for. Of an SDK only the host is configured, so each gets a proxy, and thereby a host, of its own.
"""

from __future__ import annotations

import gzip
import json
import threading
import time
from collections import Counter
from enum import Enum
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Final, NamedTuple, Self
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from types import TracebackType

HOP_BY_HOP: Final = {"connection", "keep-alive", "transfer-encoding"}
FORWARD_TIMEOUT_S: Final = 30
TOO_SLOW: Final = frozenset({(503, "deadline_passed"), (503, "pending")})
"""What the service answers when it, or the machine, is."""
TIMER_S: Final = 0.1
"""What a timer may be early by."""
UNAVAILABLE: Final = json.dumps(
    {"success": False, "code": "unavailable", "message": "Try again later."}
).encode()


class Trouble(Enum):
    """What goes wrong."""

    LIMITED = "limited"
    """The space's limit is used up before a request goes on: the service refuses it, by 429."""
    LOST = "lost"
    """The proxy refuses by 503; what is sent again is stored, and its answer is lost for a 503."""
    STILL = "still"
    """The service's shards stand still: by 503 it says that it does not know what is stored."""

    @property
    def refusals(self) -> frozenset[tuple[int, str]]:
        """The status and the code with which an SDK is refused, or one of them."""
        if self is Trouble.LIMITED:
            return frozenset({(429, "rate_limit_error")})
        if self is Trouble.LOST:
            return frozenset({(503, "unavailable")})
        return TOO_SLOW


class Sent(NamedTuple):
    """An event as it was sent."""

    message_id: str
    whose: str
    """The user id, or where there is none the anonymous id."""


class Exchange(NamedTuple):
    """A request with the answer that the SDK got."""

    method: str
    path: str
    events: tuple[Sent, ...]
    arrived_s: float
    status: int
    code: str
    """Of a refusal."""
    retry_after_s: int
    """What the answer says; 0: nothing."""
    answered_s: float
    """Right before the answer went out."""
    may_be_stored: bool


class TroubledProxy:
    """A proxy on loopback for one SDK; runs as long as its context."""

    def __init__(self, service_url: str, trouble: Trouble, use_up: Callable[[], object]) -> None:
        """Takes where the service is, and what uses up the limit of the SDK's space."""
        self.trouble = trouble
        self.use_up = use_up
        self.upstream = urlsplit(service_url).netloc
        self._exchanges: list[Exchange] = []
        self._attempts: Counter[tuple[str, ...]] = Counter()
        self._lock = threading.Condition()
        self._server = _Listening(self)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        """The host that an SDK is configured with."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def exchanges(self, method: str = "POST") -> list[Exchange]:
        """Returns what has been answered so far, oldest first."""
        with self._lock:
            return [each for each in self._exchanges if each.method == method]

    def sent(self) -> Counter[str]:
        """Returns how often each message was sent."""
        return Counter(each.message_id for sent in self.exchanges() for each in sent.events)

    def senders(self) -> dict[str, set[str]]:
        """Returns as whose each message was sent, when it may have been stored."""
        senders: dict[str, set[str]] = {}
        for exchange in self.exchanges():
            for each in exchange.events if exchange.may_be_stored else ():
                senders.setdefault(each.message_id, set()).add(each.whose)
        return senders

    def acknowledged(self) -> set[str]:
        """Returns the messages of which the SDK has heard that they are stored."""
        return {
            each.message_id
            for exchange in self.exchanges()
            if exchange.status == 200
            for each in exchange.events
        }

    def refused(self) -> list[Exchange]:
        """Returns what was not acknowledged."""
        return [each for each in self.exchanges() if each.status != 200]

    def seconds_too_soon(self, heeded: Collection[int]) -> list[float]:
        """Returns by how much events came back sooner than answers with some statuses asked for."""
        may_come: dict[str, float] = {}
        early = []
        for exchange in sorted(self.exchanges(), key=lambda each: each.arrived_s):
            for each, _ in exchange.events:
                early.append(may_come.get(each, 0) - exchange.arrived_s)
                pause_s = exchange.retry_after_s if exchange.status in heeded else 0
                may_come[each] = exchange.answered_s + pause_s
        return [each for each in early if each > TIMER_S]

    def await_acknowledged(self, count: int, give_up_s: float) -> bool:
        """Waits until so many messages are acknowledged; False if that took too long."""
        with self._lock:
            return self._lock.wait_for(lambda: len(self.acknowledged()) >= count, give_up_s)

    def await_refusal(self, give_up_s: float) -> bool:
        """Waits until something is refused; False if that took too long."""
        with self._lock:
            return self._lock.wait_for(lambda: bool(self.refused()), give_up_s)

    def attempt_of(self, events: tuple[Sent, ...]) -> int:
        """Counts how often the same events were sent, this time included."""
        message_ids = tuple(each.message_id for each in events)
        with self._lock:
            self._attempts[message_ids] += 1
            return self._attempts[message_ids]

    def record(self, exchange: Exchange) -> None:
        """Remembers what is about to be answered."""
        with self._lock:
            self._exchanges.append(exchange)
            self._lock.notify_all()


class _Listening(ThreadingHTTPServer):
    """The socket of a proxy."""

    def __init__(self, proxy: TroubledProxy) -> None:
        super().__init__(("127.0.0.1", 0), _Connection)
        self.proxy = proxy


class _Answer(NamedTuple):
    """What goes back to the SDK."""

    status: int
    headers: list[tuple[str, str]]
    """Their names in lower case."""
    body: bytes
    may_be_stored: bool = False
    """Whether events reached the service, and were not refused outright."""

    @property
    def code(self) -> str:
        """Of a refusal; empty with what is none."""
        return "" if self.status == 200 else str(json.loads(self.body)["code"])


#: As the service says it: a browser reads what is exposed to its origin, and nothing else.
_REFUSED = _Answer(
    503,
    [
        ("content-type", "application/json"),
        ("retry-after", "1"),
        ("access-control-allow-origin", "*"),
        ("access-control-expose-headers", "Retry-After"),
    ],
    UNAVAILABLE,
)


class _Connection(BaseHTTPRequestHandler):
    """One connection of an SDK."""

    protocol_version = "HTTP/1.1"
    server: _Listening

    def exchange(self) -> None:
        """Takes a request, lets it pass or not, and answers."""
        assert "transfer-encoding" not in self.headers, "none of the SDKs sends chunks"
        arrived_s = time.monotonic()
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        encoding = self.headers.get("content-encoding", "")
        events = _events(body, encoding) if self.command == "POST" else ()
        answer = self.answer_to(body, events)
        self.server.proxy.record(
            Exchange(
                method=self.command,
                path=self.path,
                events=events,
                arrived_s=arrived_s,
                status=answer.status,
                code=answer.code,
                retry_after_s=int(dict(answer.headers).get("retry-after", 0)),
                answered_s=time.monotonic(),
                may_be_stored=answer.may_be_stored,
            )
        )
        self.send_response_only(answer.status)
        for name, value in answer.headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body)

    def answer_to(self, body: bytes, events: tuple[Sent, ...]) -> _Answer:
        """Returns what the SDK is answered, after the trouble that there is."""
        if self.command != "POST":
            return self.forward(body)
        proxy = self.server.proxy
        if proxy.trouble is Trouble.LIMITED:
            if not proxy.refused():
                proxy.use_up()
            return self.forward(body)
        if proxy.trouble is Trouble.STILL:
            return self.forward(body)
        attempt = proxy.attempt_of(events)
        if attempt == 1:
            return _REFUSED
        answer = self.forward(body)
        if attempt == 2 and answer.status == 200:
            return _REFUSED._replace(may_be_stored=True)
        return answer

    def forward(self, body: bytes) -> _Answer:
        """Hands a request to the service, with the headers that came."""
        upstream = HTTPConnection(self.server.proxy.upstream, timeout=FORWARD_TIMEOUT_S)
        try:
            upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                upstream.putheader(name, value)
            upstream.endheaders(body)
            response = upstream.getresponse()
            content = response.read()
        finally:
            upstream.close()
        dropped = HOP_BY_HOP | {"content-length"}
        named = [(name.lower(), value) for name, value in response.getheaders()]
        headers = [each for each in named if each[0] not in dropped]
        may_be_stored = self.command == "POST" and response.status != 429
        return _Answer(response.status, headers, content, may_be_stored)

    def log_message(self, *_: object) -> None:
        """Says nothing: what passed is recorded."""

    # As the standard library calls them.
    do_GET = do_POST = do_OPTIONS = exchange  # noqa: N815


def _events(body: bytes, encoding: str) -> tuple[Sent, ...]:
    """Returns the events of a batch, or the one that a body is."""
    content = json.loads(gzip.decompress(body) if encoding == "gzip" else body)
    return tuple(
        Sent(each["messageId"], each.get("userId") or each["anonymousId"])
        for each in content.get("batch", [content])
    )
