"""`external_ids/delete`: what it takes off a profile, and its own table of refusals."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.unit.http.profile_edge import ADMIN, DELETER, OWNER, WRITER, ProfileEdge, error, identify
from tests.unit.http.tracking_edge import basic
from unify_grpc.machines.audit_trail import AuditQuery

PATH = "/v1/spaces/one/collections/users/profiles/user_id:u/external_ids/delete"
BAD = (400, "bad_request")


@pytest.fixture
async def edge() -> ProfileEdge:
    """A space with a person of two identifiers, and an account."""
    made = ProfileEdge()
    await made.open(
        identify("u", traits={"email": "B@example.com", "plan": "pro"}),
        {"type": "group", "userId": "u", "groupId": "g"},
    )
    return made


def wanted(*ids: tuple[str, str]) -> bytes:
    """Returns the body that names identifiers."""
    named = [{"type": type_, "id": value} for type_, value in ids]
    return json.dumps({"delete_external_ids": named}).encode()


@pytest.mark.parametrize("token", [DELETER, ADMIN])
@pytest.mark.parametrize("value", ["b@example.com", "B@EXAMPLE.com "])
async def test_an_identifier_is_deleted(edge: ProfileEdge, token: str, value: str) -> None:
    """It is found no more; the profile keeps its traits."""
    profile = edge.backend.service.segment_id("user_id:u")
    answer = await edge.delete("user_id:u", wanted(("email", value)), token)

    assert 200 == answer.status_code
    assert {
        "success": True,
        "segment_id": profile,
        "deleted_external_ids": [{"collection": "users", "type": "email", "id": "b@example.com"}],
    } == answer.json()
    assert (404, "not_found") == error(await edge.get("users/profiles/email:b@example.com/traits"))
    left = (await edge.get("users/profiles/user_id:u/external_ids")).json()["data"]
    assert ["u"] == [each["id"] for each in left]
    traits = (await edge.get("users/profiles/user_id:u/traits")).json()["traits"]
    assert "pro" == traits["plan"]


async def test_a_deletion_is_in_the_audit_trail(edge: ProfileEdge) -> None:
    """With who, and under the id that the answer has; without the value."""
    answer = await edge.delete("user_id:u", wanted(("email", "b@example.com")))
    page = edge.backend.control.machine.audit.read(AuditQuery(1, None, None, 0, 100))
    entries = [each for each in page.entries if each.action == "DeleteExternalIds"]

    assert ["tok_deleter"] == [each.actor for each in entries]
    assert answer.headers["request-id"] == entries[0].call_id
    assert b"b@example.com" not in entries[0].details


@pytest.mark.parametrize(
    ("profile", "body", "expected"),
    [
        ("user_id:u", wanted(("email", "other@example.com")), (404, "eid_not_found")),
        ("user_id:nobody", wanted(("email", "b@example.com")), (404, "not_found")),
        ("user_id:u", wanted(("group_id", "g")), (400, "unsupported_eid_type")),
        ("user_id:u", wanted(("user_id", "u")), BAD),
        ("user_id:u", wanted(), BAD),
        ("user_id:u", wanted(("email", "b@example.com"), ("email", "c")), BAD),
        ("user_id:u", wanted(("Email", "b@example.com")), BAD),
        ("user_id:u", wanted(("email", "")), BAD),
        ("user_id:", wanted(("email", "b@example.com")), BAD),
        ("email:b@example.com", wanted(("user_id", "u")), BAD),
        ("use_1", wanted(("email", "b@example.com")), BAD),
        ("u", wanted(("email", "b@example.com")), BAD),
        ("user_id:u", b"", BAD),
        ("user_id:u", b"{}", BAD),
        ("user_id:u", b"[]", BAD),
        ("user_id:u", b"{", BAD),
        ("user_id:u", b'{"delete_external_ids":{}}', BAD),
        ("user_id:u", b'{"delete_external_ids":[{"type":"email"}]}', BAD),
        ("user_id:u", b'{"delete_external_ids":[{"id":1,"type":"email"}]}', BAD),
        ("user_id:u", b'{"delete_external_ids":[{"id":"\\ud800","type":"email"}]}', BAD),
        ("user_id:u", b'{"delete_external_ids":[{"id":"\xff","type":"email"}]}', BAD),
        ("user_id:u", b'{"a":' + b"[" * 8000, BAD),
        ("user_id:u", b" " * 20_000, (413, "body_too_large")),
    ],
)
async def test_what_cannot_be_deleted_is_refused(
    edge: ProfileEdge, profile: str, body: bytes, expected: tuple[int, str]
) -> None:
    """By the codes that Segment has, without repeating what was sent; and everything stays."""
    answer = await edge.delete(profile, body)

    assert expected == error(answer)
    assert "example.com" not in answer.text
    left = (await edge.get("users/profiles/user_id:u/external_ids")).json()["data"]
    assert ["u", "b@example.com"] == [each["id"] for each in left]


async def test_of_two_user_ids_one_may_go(edge: ProfileEdge) -> None:
    """The last one stays by itself: the profile is looked up by it."""
    service = edge.backend.service
    service.set_rules({"identifiers": [{"type": "user_id", "limit": 5}]})
    service.send(identify("v", traits={"email": "b@example.com"}, messageId="v"))

    first = await edge.delete("user_id:u", wanted(("user_id", "v")))
    again = await edge.delete("user_id:u", wanted(("user_id", "v")))

    assert 200 == first.status_code
    assert (404, "eid_not_found") == error(again)


async def test_accounts_keep_their_identifiers(edge: ProfileEdge) -> None:
    """The collection has to be users."""
    answer = await edge.delete("group_id:g", wanted(("group_id", "g")), collection="accounts")

    assert (400, "bad_request") == error(answer)


@pytest.mark.parametrize(
    ("token", "expected"),
    [
        (OWNER, (403, "forbidden")),
        (WRITER, (403, "forbidden")),
        ("unknown", (401, "unauthorized")),
        ("token-two", (403, "forbidden")),
    ],
)
async def test_it_needs_its_scope(edge: ProfileEdge, token: str, expected: tuple[int, str]) -> None:
    """A token that reads does not delete; without one it is 401 as Segment spells it here."""
    answer = await edge.delete("user_id:u", wanted(("email", "b@example.com")), token)

    assert expected == error(answer)


async def test_deletions_count_towards_the_limit() -> None:
    """Of the space, like its reads."""
    edge = ProfileEdge(space_reads_per_s=1)
    await edge.open(identify("u"))
    headers: Any = {"authorization": basic(DELETER)}
    statuses = [
        (await edge.client.post(PATH, content=b"{}", headers=headers)).status_code for _ in range(2)
    ]

    assert [400, 429] == statuses
