"""The HTTP side of a running service is what its OpenAPI document says, whatever is sent."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import requests

from tests.integration.documented_calls import Caller, operations
from tests.integration.raw_requests import ANSWERED, connected, cut_short, received
from tests.integration.service import ACCESS_TOKEN, ADMIN_TOKEN, WRITE_KEY, Service
from tests.integration.waiting import eventually
from tests.unit.http.malformed_bodies import (
    BEYOND_UTF8,
    COMPRESSED_WRONG,
    MUCH_OF_IT,
    MUCH_THAT_IS_TAKEN,
    bomb,
)
from unify_grpc.http.openapi import build_document

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.ray, pytest.mark.timeout(120)]

OPERATIONS = operations()
BATCH = OPERATIONS["POST /v1/batch"]
DELETIONS = [label for label in OPERATIONS if label.endswith("/delete")]
#: Of each operation; of those that are another's under a second name fewer.
EXAMPLES, EXAMPLES_OF_OTHER_NAMES = 50, 10
KNOWN = {
    "space": "dev",
    "collection": "users",
    "profile": "user_id:known",
    "user_id": "known",
    "write_key": WRITE_KEY,
}
AUTH = (WRITE_KEY, "")
PROFILE = "/v1/spaces/dev/collections/users/profiles/user_id:beside/traits"
BOMB_MB = 1024
BESIDE_MIN = 40
"""Calls that are served during a storm, which goes on until then."""
STORM_KB_MAX = 32 << 10
"""That a gateway may hold more after a storm than before it."""


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service that never gives up for want of time, with limits that are never reached."""
    data_dir = tmp_path_factory.mktemp("contract") / "data"
    settings: dict[str, Any] = {"space_reads_per_s": 10**6, "space_writes_per_s": 10**6}
    with Service(data_dir, "--shards", "2", deadline_s_default=60, **settings) as running:
        yield running


@pytest.fixture(scope="module")
def caller(service: Service) -> Iterator[Caller]:
    """A caller who knows a profile."""
    known = {"userId": "known", "traits": {"email": "known@example.com", "b": [2]}}
    batch = [
        {"type": "identify", "messageId": "m0", **known},
        {"type": "page", "messageId": "m1", "name": "P", "properties": {"c": 3}, **known},
        {"type": "track", "messageId": "m2", "event": "E", "anonymousId": "a", **known},
        {"type": "group", "messageId": "m3", "groupId": "g", **known},
    ]
    answer = httpx.post(f"{service.http_url}/v1/batch", json={"batch": batch}, auth=AUTH)
    assert 200 == answer.status_code
    with requests.Session() as session:
        yield Caller(service.http_url, session, KNOWN)


def test_the_document_is_there_for_everybody(service: Service) -> None:
    """Without a key, as it is made up of the code."""
    answer = httpx.get(f"{service.http_url}/openapi.json")

    assert (200, "application/json") == (answer.status_code, answer.headers["content-type"])
    assert build_document() == answer.json()


@pytest.mark.parametrize("label", OPERATIONS)
def test_answers_are_as_documented(caller: Caller, label: str) -> None:
    """No 5xx, no status, type, header or shape that the document lacks, none without its key."""
    operation = OPERATIONS[label]
    is_other_name = "/namespaces/" in label or len(label.rpartition("/v1/")[2]) == 1
    good, other = (ADMIN_TOKEN, WRITE_KEY) if "{space}" in label else (WRITE_KEY, ACCESS_TOKEN)
    examples = EXAMPLES_OF_OTHER_NAMES if is_other_name else EXAMPLES

    statuses = caller.try_out(operation, [good, good, good, other, "nobody"], examples)

    assert statuses[404 if label in DELETIONS else 200], statuses


@pytest.mark.parametrize("label", DELETIONS)
def test_a_deletion_is_as_documented(caller: Caller, label: str) -> None:
    """Of an identifier that is there, under either name of the route."""
    email = f"{DELETIONS.index(label)}@example.com"
    identify = {"type": "identify", "userId": "known", "traits": {"email": email}}
    caller.call(BATCH, WRITE_KEY, body={"batch": [identify]}, media_type="application/json")

    wanted = {"delete_external_ids": [{"type": "email", "id": email}]}
    answer = caller.call(OPERATIONS[label], ADMIN_TOKEN, body=wanted, media_type="application/json")

    assert email == answer["deleted_external_ids"][0]["id"]


def test_what_became_of_each_event_is_as_documented(caller: Caller) -> None:
    """Stored, known before, refused, and with an identifier left out."""
    good = {"type": "track", "event": "E", "userId": "strict", "messageId": "strict"}
    bad: list[dict[str, Any]] = [{"type": "track", "userId": "u"}, {"type": "x", "userId": "u"}]
    dropping = {**good, "messageId": "drop", "anonymousId": "null"}

    answer = caller.call(
        BATCH,
        WRITE_KEY,
        query={"strict": "1"},
        body={"batch": [good, good, *bad, dropping]},
        media_type="application/json",
    )

    statuses = [each["status"] for each in answer["results"]]
    assert ["STORED", "DUPLICATE", "REJECTED", "REJECTED", "STORED"] == statuses
    assert "null" == answer["results"][-1]["drops"][0]["value"]


@pytest.mark.parametrize("name", ANSWERED)
def test_what_is_written_byte_by_byte_is_answered(service: Service, name: str) -> None:
    """Once, in JSON, and never by a 5xx; then the connection ends."""
    sent, status = ANSWERED[name]

    with connected(service.http_url) as connection:
        connection.sendall(sent)
        *before, head, body = received(connection).split(b"\r\n\r\n")

    assert f"HTTP/1.1 {status} ".encode() == head[:13]
    assert all(each.startswith(b"HTTP/1.1 100 ") for each in before)
    content = json.loads(body)
    if status != 200:
        refused = content.get("error", content)
        assert refused["code"]
        assert refused["message"]


def test_what_is_cut_short_holds_nobody_up(service: Service) -> None:
    """Left open in the middle: others are served; ended there: the connection ends."""
    half = [(connected(service.http_url), each) for each in cut_short() for _ in range(5)]
    for connection, sent in half:
        connection.sendall(sent)
    with httpx.Client(base_url=service.http_url, auth=AUTH, timeout=60) as client:
        event = {"type": "track", "event": "E", "userId": "beside"}
        answers = [client.post("/v1/track", json=event) for _ in range(20)]
        for connection, _ in half:
            connection.shutdown(2)
            connection.close()
        eventually(lambda: "unify_http_calls 0\n" in client.get("/metrics").text, "all have ended")

    assert [200] * 20 == [each.status_code for each in answers]


def test_a_storm_of_malformed_bodies_harms_nobody(service: Service) -> None:
    """Each is refused as it should be; who calls beside it is served; memory stays bounded."""
    packed = {"Content-Encoding": "gzip"}
    storm: list[tuple[bytes, dict[str, str], set[int]]] = [
        *((body, {}, {400}) for body in (*BEYOND_UTF8.values(), *MUCH_OF_IT.values())),
        *((body, packed, {400}) for body in COMPRESSED_WRONG.values()),
        *((body, {}, {200}) for body in MUCH_THAT_IS_TAKEN.values()),
        (bomb(BOMB_MB), packed, {413}),
        (bomb(BOMB_MB), {"Content-Encoding": "gzip, gzip"}, {400}),
    ]
    over = threading.Event()
    beside: list[int] = []

    with httpx.Client(base_url=service.http_url, auth=AUTH, timeout=60) as client:

        def send(each: tuple[bytes, dict[str, str], set[int]]) -> bool:
            body, headers, expected = each
            return client.post("/v1/batch", content=body, headers=headers).status_code in expected

        def call_beside() -> None:
            with httpx.Client(base_url=service.http_url, timeout=60) as other:
                while not over.is_set():
                    event = {"type": "track", "event": "E", "userId": "beside"}
                    beside.append(other.post("/v1/t", json=event, auth=AUTH).status_code)
                    beside.append(other.get(PROFILE, auth=(ADMIN_TOKEN, "")).status_code)

        assert all(map(send, storm)), "what the process keeps for good it has by now"
        before = resident_kb(service.pid)
        calling = threading.Thread(target=call_beside)
        calling.start()
        as_expected: list[bool] = []
        with ThreadPoolExecutor(8) as pool:
            while len(beside) < BESIDE_MIN and calling.is_alive():
                as_expected += pool.map(send, storm)
        over.set()
        calling.join()
        metrics = client.get("/metrics").text

    assert all(as_expected)
    assert {200} == set(beside)
    assert len(beside) >= BESIDE_MIN
    assert resident_kb(service.pid) - before < STORM_KB_MAX
    assert 'status="500"' not in metrics
    assert "Traceback" not in service.log()
    assert "http_failed" not in service.log()


def resident_kb(pid: int) -> int:
    """Returns the memory that a process holds, in kilobytes."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0])
