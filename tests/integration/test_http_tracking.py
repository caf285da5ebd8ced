"""The Tracking API of a running service: recorded requests, torn connections, drains, gateways."""

from __future__ import annotations

import gzip
import json
import os
import signal
import socket
import threading
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx
import pytest
from unify_client import UnifyClient

from tests.integration.service import ACCESS_TOKEN, WRITE_KEY, Service
from tests.integration.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.ray, pytest.mark.timeout(120)]

RECORDED = sorted((Path(__file__).parents[1] / "unit" / "http" / "recorded").glob("*.json"))
#: The client makes its own, and the key is another one.
OWN_HEADERS = {"host", "content-length", "connection", "accept-encoding", "authorization"}
AUTH = (WRITE_KEY, "")


@pytest.fixture
def http(service: Service) -> Iterator[httpx.Client]:
    """A caller with the write key."""
    with httpx.Client(base_url=service.http_url, auth=AUTH, timeout=30) as client:
        yield client


def track(user: str, message_id: str, **fields: Any) -> dict[str, Any]:
    """Returns a track call."""
    return {"type": "track", "event": "E", "userId": user, "messageId": message_id, **fields}


def events_of(service: Service, user: str) -> list[str]:
    """Returns the message ids on a user's profile, oldest first."""
    with UnifyClient(service.address, key=ACCESS_TOKEN) as reader:
        listed = [each.message_id for each in reader.list_events(f"user_id:{user}")]
    return sorted(listed)


def connected(service: Service) -> socket.socket:
    """Returns a connection that sends what a test likes."""
    url = urlsplit(service.http_url)
    assert url.hostname is not None
    return socket.create_connection((url.hostname, url.port or 80), timeout=30)


def received(connection: socket.socket) -> bytes:
    """Returns all that comes until the other side ends the connection."""
    parts = []
    while part := connection.recv(65536):
        parts.append(part)
    return b"".join(parts)


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_what_sdks_sent_once_is_taken(http: httpx.Client, path: Path) -> None:
    """Every recorded request, sent again, gets the answer that its SDK takes for success."""
    for recorded in json.loads(path.read_text()):
        body = b"" if recorded["body"] is None else json.dumps(recorded["body"]).encode()
        body = body.replace(b'"WRITEKEY"', json.dumps(WRITE_KEY).encode())
        headers = {k: v for k, v in recorded["headers"].items() if k.lower() not in OWN_HEADERS}

        answer = http.request(
            recorded["method"],
            recorded["path"].replace("WRITEKEY", WRITE_KEY),
            content=gzip.compress(body) if recorded["gzip"] else body,
            headers=headers,
        )

        assert 200 == answer.status_code, answer.text
        if recorded["method"] == "POST":
            assert {"success": True} == answer.json()


def test_what_is_acknowledged_shows_at_once(service: Service, http: httpx.Client) -> None:
    """Through gRPC too, on one profile with what gRPC stored."""
    for at in range(20):
        message = track("http-1", f"m{at}", anonymousId=f"http-anon-{at % 3}")
        answer = http.post("/v1/track", json=message)

        assert {"success": True} == answer.json()
        assert sorted(f"m{each}" for each in range(at + 1)) == events_of(service, "http-1")


def test_a_connection_serves_many_calls(http: httpx.Client, service: Service) -> None:
    """Sent one behind the other without waiting, answered in order, refusals among them."""
    body = json.dumps(track("http-2", "m")).encode()
    good = b"POST /v1/track HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer %s\r\n"
    good = good % WRITE_KEY.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body
    last = good.replace(b"Host: h", b"Host: h\r\nConnection: close")
    bad = good.replace(WRITE_KEY.encode(), b"wrong-key-xyz")

    with connected(service) as connection:
        connection.sendall(good + bad + good + last)
        answers = received(connection)

    statuses = [each[:3] for each in answers.split(b"HTTP/1.1 ")[1:]]
    assert [b"200", b"401", b"200", b"200"] == statuses
    assert http.get("/healthz").is_success


def test_chunks_make_a_body(service: Service) -> None:
    """However small, and whatever comes with them."""
    body = json.dumps({"batch": [track("http-3", "m")], "writeKey": WRITE_KEY}).encode()
    chunks = b"".join(b"1;x=y\r\n%c\r\n" % each for each in body)

    with connected(service) as connection:
        head = b"POST /v1/b HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n"
        connection.sendall(head + b"Connection: close\r\n\r\n" + chunks + b"0\r\nT: v\r\n\r\n")
        answer = received(connection)

    assert answer.startswith(b"HTTP/1.1 200 "), answer
    assert ["m"] == events_of(service, "http-3")


@pytest.mark.parametrize(
    "sent",
    [
        b"GARBAGE\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nHost: h\r\n\r\n",
        b"POST /v1/t HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n\r\n",
        b"POST /v1/t HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"POST /v1/t HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /v1/t HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
    ],
)
def test_what_is_not_http_is_refused_and_hung_up_on(service: Service, sent: bytes) -> None:
    """At once, by 400 in the form of all refusals."""
    with connected(service) as connection:
        connection.sendall(sent)
        answer = received(connection)

    assert answer.startswith(b"HTTP/1.1 400 "), answer[:200]
    content = json.loads(answer.partition(b"\r\n\r\n")[2])
    assert {"success", "code", "message"} == set(content)


def test_a_head_without_an_end_is_hung_up_on(service: Service) -> None:
    """After 64 KB of it, whatever its caller still sends."""
    with connected(service) as connection, pytest.raises(ConnectionError):
        connection.sendall(b"GET / HTTP/1.1\r\nX: " + b"a" * (600 << 20))


def test_half_a_request_holds_nobody_up(service: Service, http: httpx.Client) -> None:
    """Hundreds of callers that stop in the middle, in the head or in the body: others are served,
    and of a body whose caller has gone nothing is stored.
    """
    half = b"POST /v1/t HTTP/1.1\r\nHost: h\r\nContent-Length: 900\r\n\r\n"
    half += json.dumps(track("http-4", "half")).encode()
    connections = [connected(service) for _ in range(100)]
    for at, connection in enumerate(connections):
        connection.sendall(half[: 40 if at % 2 else len(half)])

    answers = [http.post("/v1/track", json=track("http-4", f"m{at}")) for at in range(10)]
    for connection in connections:
        connection.close()

    assert [200] * 10 == [each.status_code for each in answers]
    assert "half" not in events_of(service, "http-4")
    eventually(lambda: "unify_http_calls 0\n" in http.get("/metrics").text, "no call is under way")


def test_a_body_that_stops_is_answered(service: Service) -> None:
    """503 after the time that a body has, and the end of the connection."""
    with connected(service) as connection:
        connection.sendall(b"POST /v1/t HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\n{")
        answer = received(connection)

    assert answer.startswith(b"HTTP/1.1 503 "), answer
    assert b'"code":"body_late"' in answer


def test_a_caller_that_sends_far_too_much_hears_why(service: Service) -> None:
    """413, although it sends megabytes before it listens."""
    body = bytes(3 << 20)
    answer = httpx.post(service.http_url + "/v1/batch", content=body, auth=AUTH, timeout=30)

    assert 413 == answer.status_code
    assert "body_too_large" == answer.json()["code"]


def test_a_bomb_costs_no_memory(service: Service, http: httpx.Client) -> None:
    """Thirty times 400 MB in 400 KB: refused each time, and the process stays small."""
    packer = zlib.compressobj(wbits=31)
    bomb = b"".join([packer.compress(bytes(1 << 20)) for _ in range(400)]) + packer.flush()
    before = resident_kb(service.pid)

    for _ in range(30):
        answer = http.post("/v1/batch", content=bomb, headers={"Content-Encoding": "gzip"})
        assert 413 == answer.status_code

    assert resident_kb(service.pid) - before < 64 << 10


def resident_kb(pid: int) -> int:
    """Returns the memory that a process holds, in kilobytes."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0])


def test_sigterm_lets_http_calls_end(tmp_path: Path) -> None:
    """What is under way is answered and stored, an idle connection is closed, and the code is 0."""
    service = Service(tmp_path / "data", "--shards", "2")
    statuses: list[int] = []

    def send(number: int) -> None:
        with httpx.Client(base_url=service.http_url, auth=AUTH, timeout=30) as client:
            for at in range(1000):
                batch = [track(f"drain-{number}", f"{at}-{each}") for each in range(20)]
                try:
                    answer = client.post("/v1/batch", json={"batch": batch})
                except httpx.TransportError:
                    return
                statuses.append(answer.status_code)

    with service:
        idle = connected(service)
        callers = [threading.Thread(target=send, args=(number,)) for number in range(4)]
        for caller in callers:
            caller.start()
        eventually(lambda: len(statuses) > 20, "calls are under way")
        assert 0 == service.stop()
        for caller in callers:
            caller.join()
        assert b"" == received(idle)
        idle.close()
        taken = statuses.count(200)
        service.start()
        stored = [events_of(service, f"drain-{number}") for number in range(4)]

    assert set(statuses) <= {200, 503}
    assert sum(map(len, stored)) >= 20 * taken


def test_gateways_share_the_port_for_http(tmp_path: Path) -> None:
    """Calls on new connections reach all of them; one that is killed is not missed for long."""
    with Service(tmp_path / "data", shards=2, gateways=2) as service:

        def gateways_met() -> set[str]:
            texts = [httpx.get(service.http_url + "/metrics").text for _ in range(30)]
            return {text.rpartition("process_start_time_seconds ")[2] for text in texts}

        def is_taken(message_id: str) -> bool:
            try:
                message = track("shared", message_id)
                answer = httpx.post(service.http_url + "/v1/track", json=message, auth=AUTH)
            except httpx.TransportError:
                return False
            return answer.status_code == 200

        assert all(is_taken(f"m{at}") for at in range(20))
        assert len(gateways_met()) > 1
        os.kill(service.gateway_pids()[0], signal.SIGKILL)
        eventually(lambda: is_taken("after"), "calls are taken again")
        assert {"after", *(f"m{at}" for at in range(20))} == set(events_of(service, "shared"))
