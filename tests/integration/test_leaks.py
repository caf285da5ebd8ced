"""What a running service says to those who show no key, and to its logs: nothing of anybody."""

from __future__ import annotations

import base64
import contextlib
import re
import socket
import uuid
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from unify_client import UnifyClient, UnifyClientError, identify

from tests.integration.administering import Administering
from tests.integration.service import ADMIN_TOKEN

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.service import Service

pytestmark = [pytest.mark.ray, pytest.mark.timeout(120)]

WATCHED = ("/healthz", "/readyz", "/metrics")
CANARY = f"canary{uuid.uuid4().hex}"
"""A part of every value that is sent; found nowhere, nothing of them is."""


@pytest.fixture(scope="module")
def keys(service: Service) -> list[str]:
    """A write key and an access token that have been used, with values of all kinds."""
    with Administering(service.address, ADMIN_TOKEN) as admin:
        made = admin("CreateSpace", name=f"space {uuid.uuid4()}")
    write_key, token = made.write_key, made.access_token
    http = httpx.Client(base_url=service.http_url, timeout=30)
    with http, UnifyClient(service.address, key=write_key) as client:
        client.ingest([event(CANARY, f"{CANARY}@example.com")])
        for message in messages():
            http.post("/v1/track", json=message, auth=(write_key, ""))
            http.post("/v1/batch", json={"batch": [message]}, auth=(write_key, ""))
        http.post(
            "/v1/track", content=f'{{"userId": "{CANARY}", NaN'.encode(), auth=(write_key, "")
        )
        for path in reads(made.space.space_id):
            http.get(path, auth=(token, ""))
            http.get(path, auth=(CANARY, ""))
            http.get(path, auth=(write_key, ""))
    with (
        UnifyClient(service.address, key=CANARY) as stranger,
        contextlib.suppress(UnifyClientError),
    ):
        stranger.get_profile(f"email:{CANARY}@example.com")
    return [write_key, token]


def event(user: str, email: str) -> Any:
    """Returns an event that says something of somebody."""
    return identify(user_id=user, traits={"email": email, CANARY: CANARY})


def messages() -> Iterator[dict[str, Any]]:
    """Yields events over HTTP: one that is stored, and some that are refused."""
    good = {"userId": CANARY, "event": CANARY, "properties": {CANARY: CANARY}}
    yield good
    yield good | {"timestamp": CANARY, "messageId": CANARY}
    yield good | {"userId": CANARY * 20, "context": {"externalIds": [{"id": CANARY}]}}
    yield good | {"traits": CANARY, "context": CANARY}
    yield {"type": CANARY, "event": CANARY}


def reads(space_id: str) -> Iterator[str]:
    """Yields paths of what is there, of what is not, and of none."""
    profiles = f"/v1/spaces/{space_id}/collections/users/profiles"
    yield f"{profiles}/email:{CANARY}@example.com/traits"
    yield f"{profiles}/user_id:{CANARY}/events?next={CANARY}&limit={CANARY}"
    yield f"{profiles}/{CANARY}/traits"
    yield f"/v1/spaces/{CANARY}/collections/users/profiles/user_id:{CANARY}/traits"
    yield f"/{CANARY}/{CANARY}"


@pytest.mark.parametrize("path", WATCHED)
def test_who_watches_the_service_hears_of_nobody(
    service: Service, keys: list[str], path: str
) -> None:
    """No key is asked for, so no answer has anything of an identifier, a trait or a key."""
    answer = httpx.get(service.http_url + path)

    assert 200 == answer.status_code
    said = answer.text + str(answer.headers)
    assert not [each for each in forbidden(keys) if each in said]


def test_no_log_names_anybody(service: Service, keys: list[str]) -> None:
    """Neither the gateway's nor an actor's, whatever was sent, stored or refused."""
    logs = [service.log_path, *service.data_dir.glob("**/actor.log")]

    said = {path: path.read_text() for path in logs}

    assert len(said) == 1 + 3 + 2, "a gateway, three shards, the merge actor and control"
    assert "http_finished" in said[service.log_path]
    assert not [
        (path.name, each) for path, text in said.items() for each in forbidden(keys) if each in text
    ]


def test_keys_are_not_stored(service: Service, keys: list[str]) -> None:
    """What a directory holds of a key is its hash; the values themselves are found in it."""
    stored = b"".join(path.read_bytes() for path in service.data_dir.glob("**/data.mdb"))

    assert CANARY.encode() in stored
    assert not [each for each in keys if each.encode() in stored]


def forbidden(keys: list[str]) -> list[str]:
    """Returns what may be seen nowhere."""
    basic = [base64.b64encode(f"{each}:".encode()).decode() for each in (*keys, CANARY)]
    return [CANARY, CANARY.upper(), *keys, *basic]


def test_every_answer_has_the_security_headers(service: Service, keys: list[str]) -> None:
    """Whatever it says, whoever made it; and none names the software."""
    write_key, token = keys
    host = httpx.URL(service.http_url)
    with httpx.Client(base_url=service.http_url, timeout=30) as http:
        answers = [
            http.post("/v1/track", json={"userId": "u", "event": "e"}, auth=(write_key, "")),
            http.post("/v1/track", json={"userId": "u"}, auth=("nobody", "")),
            http.options("/v1/track"),
            http.get(f"/v1/projects/{write_key}/settings"),
            *(http.get(path, auth=(token, "")) for path in reads("dev")),
            *(http.get(path) for path in WATCHED),
            http.put("/v1/track"),
        ]
    heads = [f"{each.headers}".lower() for each in answers]
    heads.append(raw_answer(str(host.host), host.port or 0, b"this is no HTTP\r\n\r\n"))

    assert {200, 401, 404, 405} <= {each.status_code for each in answers}
    for head in heads:
        assert "nosniff" in head
        assert "no-referrer" in head
        assert "no-store" in head
        assert "default-src 'none'; frame-ancestors 'none'" in head
        assert "strict-transport-security" not in head
        assert not re.search(r"\bserver\b|uvicorn|starlette|python", head)


def test_only_the_tracking_api_is_for_pages_of_any_origin(
    service: Service, keys: list[str]
) -> None:
    """A page elsewhere may send events, and read nothing else."""
    write_key, token = keys
    origin = {"Origin": "https://shop.example.com"}
    with httpx.Client(base_url=service.http_url, timeout=30, headers=origin) as http:
        open_to_all = [
            http.post("/v1/t", json={"userId": "u", "event": "e"}, auth=(write_key, "")),
            http.options("/v1/t"),
            http.get(f"/v1/projects/{write_key}/settings"),
            http.post("/v1/t", json={}, auth=("nobody", "")),
        ]
        closed = [
            *(http.get(path, auth=(token, "")) for path in reads("dev")),
            *(http.get(path) for path in WATCHED),
            http.options(next(reads("dev"))),
        ]

    allowed = "access-control-allow-origin"
    assert ["*"] * len(open_to_all) == [each.headers.get(allowed) for each in open_to_all]
    assert [None] * len(closed) == [each.headers.get(allowed) for each in closed]


def raw_answer(host: str, port: int, request: bytes) -> str:
    """Returns what is answered to something that need not be HTTP, in small letters."""
    with socket.create_connection((host, port), 30) as connection:
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(4096), b"")).decode().lower()
