"""In which order a call is let in, counted and read, and what is said of it in any case."""

from __future__ import annotations

import asyncio
import json
import uuid
from typing import TYPE_CHECKING, Any

import pytest
import structlog.testing

from tests.unit.http.profile_edge import DELETER, OWNER, ProfileEdge, error, identify
from tests.unit.http.tracking_edge import KEY, KINDS, TOKEN, TrackingEdge, basic, fault, until
from unify_grpc.http import messages
from unify_grpc.machines.audit_trail import AuditQuery
from unify_grpc.machines.control_records import ACCESS_TOKEN

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

EVENT = {"type": "track", "userId": "u", "event": "E", "messageId": "m"}
DELETION = json.dumps({"delete_external_ids": [{"type": "email", "id": "b@example.com"}]}).encode()
PERSON = identify("u", traits={"email": "b@example.com"})
PROFILE = "users/profiles/user_id:u"


def refuse_to_read(*_: object) -> Any:
    """What must not be called."""
    pytest.fail("an event was read")


@pytest.mark.parametrize("key", ["wrong", TOKEN, ""])
async def test_events_are_read_for_those_who_are_let_in(
    monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    """Whoever has no key costs no more than a look at the outside of a body."""
    monkeypatch.setattr(messages, "_read", refuse_to_read)

    answer = await TrackingEdge().post("/v1/batch", {"batch": [EVENT], "writeKey": key}, key=None)

    assert 401 == fault(answer)[0]


async def test_events_are_read_for_those_within_their_limit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Wherever their key is."""
    edge = TrackingEdge(key_writes_per_s=1)
    body = {"batch": [EVENT], "writeKey": KEY}
    assert 200 == (await edge.post("/v1/batch", body, key=None)).status_code
    monkeypatch.setattr(messages, "_read", refuse_to_read)

    assert 429 == (await edge.post("/v1/batch", body, key=None)).status_code
    assert 429 == (await edge.post("/v1/batch", body)).status_code


async def test_a_batch_is_taken_apart_for_those_who_are_let_in(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """That costs far more than reading one that is JSON; with a key beside the body it is done."""
    edge = TrackingEdge()
    body = b'{"writeKey":"WRITEKEY","batch":[{"type":"track","a":NaN},%s]}' % (
        json.dumps(EVENT).encode()
    )
    bearer = await edge.send("/v1/batch", body, key=None, authorization=f"Bearer {KEY}")
    monkeypatch.setattr(messages, "_split", refuse_to_read)
    alone = await edge.send("/v1/batch", body, key=None)
    wrong = await edge.send("/v1/batch", body, key=None, authorization="Bearer wrong")

    assert 200 == bearer.status_code
    assert ["m"] == list(edge.backend.stored)
    assert (400, "invalid_json") == fault(alone)
    assert 401 == wrong.status_code


async def test_a_key_that_is_revoked_while_a_body_arrives_opens_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The body may have taken ten seconds."""
    edge = TrackingEdge()
    going = asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        yield b"{"
        await going.wait()
        yield json.dumps(EVENT).encode()[1:]

    call = asyncio.create_task(
        edge.client.post("/v1/track", content=body(), headers={"authorization": basic(KEY)})
    )
    await until(lambda: edge.edge.counts.reading)
    monkeypatch.delitem(KINDS, KEY)
    going.set()

    assert 401 == (await call).status_code
    assert not edge.backend.stored


async def test_a_token_that_is_revoked_while_a_body_arrives_deletes_nothing() -> None:
    """And a body that arrives is counted as such."""
    edge = ProfileEdge()
    await edge.open(PERSON)
    space = edge.directory.find_space("one")
    held = edge.directory.credentials_of(space, ACCESS_TOKEN)
    (token,) = [each for each in held if each.name == "deleter"]
    going = asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        yield DELETION[:5]
        await going.wait()
        yield DELETION[5:]

    call = asyncio.create_task(
        edge.client.post(
            f"/v1/spaces/one/collections/{PROFILE}/external_ids/delete",
            content=body(),
            headers={"authorization": basic(DELETER)},
        )
    )
    await until(lambda: edge.edge.counts.reading)
    edge.backend.control.revoke(ACCESS_TOKEN, token.credential_id)
    await edge.directory.renew()
    going.set()

    assert (401, "unauthorized") == error(await call)
    assert 200 == (await edge.get("users/profiles/email:b@example.com/traits")).status_code


async def test_a_deletion_is_noted_though_its_caller_gave_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What was deleted stays deleted: there has to be a note of it."""
    edge = ProfileEdge(deadline_s_default=0.05)
    await edge.open(PERSON)
    noting, real = asyncio.Event(), edge.backend.administer

    async def held(command: Any) -> Any:
        await noting.wait()
        return await real(command)

    monkeypatch.setattr(edge.backend, "administer", held)
    answer = await edge.delete("user_id:u", DELETION)
    assert not deletions(edge)
    noting.set()
    await until(lambda: deletions(edge))

    assert (504, "deadline_passed") == error(answer)
    assert [answer.headers["request-id"]] == [each.call_id for each in deletions(edge)]


async def test_a_deletion_that_comes_again_answers_the_same_and_is_noted_once() -> None:
    """By the key that its caller gave it, which belongs to that deletion alone."""
    edge = ProfileEdge()
    await edge.open(PERSON, identify("u", traits={"email": "c@example.com"}))
    key = {"idempotency-key": str(uuid.uuid4()), "authorization": basic(DELETER)}
    path = f"/v1/spaces/one/collections/{PROFILE}/external_ids/delete"

    answers = [await edge.client.post(path, content=DELETION, headers=key) for _ in range(2)]
    other = await edge.client.post(path, content=DELETION.replace(b"b@", b"c@"), headers=key)
    key["idempotency-key"] = "5"
    bad = await edge.client.post(path, content=DELETION, headers=key)

    assert [200, 200] == [each.status_code for each in answers]
    assert answers[0].json() == answers[1].json()
    assert 1 == len(deletions(edge))
    assert (400, "bad_request") == error(other) == error(bad)
    assert "Idempotency-Key" in bad.text


async def test_how_a_caller_stands_comes_with_every_answer_that_counts() -> None:
    """A refusal has cost a call, too."""
    edge = ProfileEdge()
    await edge.open(PERSON)
    answers = [
        await edge.get(f"{PROFILE}/traits"),
        await edge.get("users/profiles/user_id:nobody/traits"),
        await edge.get(f"{PROFILE}/traits", limit="0"),
    ]
    writing = TrackingEdge(key_writes_per_s=9)
    writing.backend.failure = ValueError()
    answers.append(await writing.post("/v1/track", EVENT))

    assert [200, 404, 400, 500] == [each.status_code for each in answers]
    left = [each.headers["x-ratelimit-remaining"] for each in answers]
    assert ["99", "98", "97", "8"] == left


async def test_a_line_of_log_says_whose_call_it_was_and_why_it_was_refused() -> None:
    """As far as that is known; counts say why, too."""
    edge = ProfileEdge()
    await edge.open(PERSON)
    with structlog.testing.capture_logs() as lines:
        await edge.get(f"{PROFILE}/traits")
        await edge.get("users/profiles/user_id:nobody/traits", OWNER)
        await edge.get(f"{PROFILE}/traits", "wrong")

    said = [(line["space_id"], line["code"], line["status"]) for line in lines]
    assert [
        ("spa_one", "", 200),
        ("spa_one", "profile_not_found", 404),
        ("", "credential_invalid", 401),
    ] == said
    text = edge.edge.counts.text(is_ready=True, queued_events=0)
    assert '{route="profiles/traits",status="404",code="profile_not_found"} 1\n' in text


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/a/v1/track", 200),
        ("/a/b/v1/t/", 200),
        ("/v1/a/v1/b", 400),
        ("/a/v1/trackx", 404),
        ("/a/v2/track", 404),
        ("/a/track", 404),
        ("/a" * 4000, 404),
    ],
)
async def test_routes_are_found_below_any_path(path: str, status: int) -> None:
    """By their last segments; a long path is no reason to look at each route in turn."""
    assert status == (await TrackingEdge().post(path, EVENT)).status_code


async def test_settings_below_a_path_send_browsers_there() -> None:
    """With the key of their path, and no other method."""
    edge = TrackingEdge()
    path = f"/a/v1/projects/{KEY}/settings"
    found = (await edge.client.get(path)).json()["integrations"]["Segment.io"]

    assert (KEY, "unify.test/a/v1") == (found["apiKey"], found["apiHost"])
    assert 405 == (await edge.client.put(path)).status_code


def deletions(edge: ProfileEdge) -> list[Any]:
    """Returns what the audit trail has of deletions."""
    page = edge.backend.control.machine.audit.read(AuditQuery(1, None, None, 0, 100))
    return [each for each in page.entries if each.action == "DeleteExternalIds"]
