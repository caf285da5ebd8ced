"""Answers of the Profile API: Segment's shapes, whole."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.http.profile_edge import MASKED, OWNER, ProfileEdge, identify, track

CONTEXT = {"ip": "192.0.2.1", "traits": {"email": "b@example.com"}}


@pytest.fixture
async def edge() -> ProfileEdge:
    """A space with one person, of one account."""
    made = ProfileEdge()
    await made.open(
        identify("u", traits={"first_name": "Bob", "age": 33, "email": "b@example.com"}),
        track("u", "Bought", properties={"price": 1.50}, context=CONTEXT),
        {"type": "page", "userId": "u", "name": "Home", "properties": {"path": "/"}},
        {"type": "screen", "userId": "u", "timestamp": "2020-01-02T03:04:05.678Z"},
        {"type": "group", "userId": "u", "groupId": "g", "traits": {"plan": "pro"}},
    )
    return made


def cursor(edge: ProfileEdge, rest: str, collection: str = "users", limit: int = 10) -> Any:
    """Returns the cursor of a list that ends."""
    name = "group_id:g" if collection == "accounts" else "user_id:u"
    profile = edge.backend.service.segment_id(name, collection)
    url = f"/v1/spaces/spa_one/collections/{collection}/profiles/{profile}/{rest}"
    return {"url": url, "has_more": False, "next": "", "limit": limit}


def external_id(
    type_: str, value: str, created_at: str, collection: str = "users"
) -> dict[str, str]:
    """Returns an identifier as a list has it."""
    return {
        "source_id": "src_one",
        "collection": collection,
        "id": value,
        "type": type_,
        "created_at": created_at,
        "encoding": "none",
    }


async def test_traits(edge: ProfileEdge) -> None:
    """By name; with `verbose` each with its value, source and time."""
    plain = await edge.get("users/profiles/user_id:u/traits")
    verbose = await edge.get("users/profiles/user_id:u/traits", verbose="true", include="age")

    assert {
        "traits": {"first_name": "Bob", "age": 33, "email": "b@example.com"},
        "cursor": cursor(edge, "traits"),
    } == plain.json()
    assert {
        "traits": {
            "age": {"value": 33, "source_id": "src_one", "updated_at": "2023-11-14T22:13:20Z"}
        },
        "cursor": cursor(edge, "traits"),
    } == verbose.json()


async def test_external_ids(edge: ProfileEdge) -> None:
    """By priority, each with the event that it joined by; `verbose` changes nothing."""
    plain = await edge.get("users/profiles/email:b@example.com/external_ids")
    verbose = await edge.get("users/profiles/user_id:u/external_ids?verbose=true")

    first = {"first_message_id": "m0"}
    assert {
        "data": [
            external_id("user_id", "u", "2023-11-14T22:13:20Z") | first,
            external_id("email", "b@example.com", "2023-11-14T22:13:20Z") | first,
        ],
        "cursor": cursor(edge, "external_ids"),
    } == plain.json()
    assert plain.json() == verbose.json()


async def test_events(edge: ProfileEdge) -> None:
    """The newest first: `track`, and pages and screens by the names that they go by."""
    answer = await edge.get("users/profiles/user_id:u/events")

    related = {"users": edge.backend.service.segment_id("user_id:u")}
    user_id = {"collection": "users", "type": "user_id", "id": "u", "encoding": "none"}
    email = {"collection": "users", "type": "email", "id": "b@example.com", "encoding": "none"}
    shared = {"source_id": "src_one", "related": related}
    assert {
        "data": [
            {
                "external_ids": [user_id],
                "context": {},
                "type": "page",
                "message_id": "m2",
                "timestamp": "2023-11-14T22:13:20.000002Z",
                "properties": {"path": "/"},
                "event": "Page Viewed",
                "name": "Home",
                **shared,
            },
            {
                "external_ids": [user_id, email],
                "context": CONTEXT,
                "type": "track",
                "message_id": "m1",
                "timestamp": "2023-11-14T22:13:20.000001Z",
                "properties": {"price": 1.5},
                "event": "Bought",
                **shared,
            },
            {
                "external_ids": [user_id],
                "context": {},
                "type": "screen",
                "message_id": "m3",
                "timestamp": "2020-01-02T03:04:05.678Z",
                "properties": {},
                "event": "Screen Viewed",
                **shared,
            },
        ],
        "cursor": cursor(edge, "events"),
    } == answer.json()


async def test_metadata(edge: ProfileEdge) -> None:
    """When it was founded and last reached, and by which messages; it never expires."""
    answer = await edge.get("users/profiles/user_id:u/metadata", verbose="true")

    assert {
        "metadata": {
            "created_at": "2023-11-14T22:13:20Z",
            "updated_at": "2023-11-14T22:13:20.000004Z",
            "expires_at": None,
            "first_message_id": "m0",
            "first_source_id": "src_one",
            "last_message_id": "m4",
            "last_source_id": "src_one",
        }
    } == answer.json()


async def test_links(edge: ProfileEdge) -> None:
    """Of a person the accounts, of an account the people, with their identifiers."""
    user = await edge.get("users/profiles/user_id:u/links")
    account = await edge.get("accounts/profiles/group_id:g/links")

    group = external_id("group_id", "g", "2023-11-14T22:13:20.000004Z", "accounts")
    assert {
        "data": [{"to_collection": "accounts", "external_ids": [group]}],
        "cursor": cursor(edge, "links"),
    } == user.json()
    linked = account.json()["data"]
    assert ["users"] == [each["to_collection"] for each in linked]
    assert ["u", "b@example.com"] == [each["id"] for each in linked[0]["external_ids"]]
    assert cursor(edge, "links", "accounts") == account.json()["cursor"]


async def test_accounts_have_profiles_too(edge: ProfileEdge) -> None:
    """With traits of their own, and no events but those that are about them."""
    traits = await edge.get("accounts/profiles/group_id:g/traits")
    events = await edge.get("accounts/profiles/group_id:g/events")

    assert {
        "traits": {"plan": "pro"},
        "cursor": cursor(edge, "traits", "accounts"),
    } == traits.json()
    assert {"data": [], "cursor": cursor(edge, "events", "accounts")} == events.json()


@pytest.mark.parametrize(
    "rest", ["traits", "traits?verbose=true", "external_ids", "events", "links"]
)
async def test_without_the_scope_values_are_masked(edge: ProfileEdge, rest: str) -> None:
    """No value of an identifier or trait is in the answer; names and counts are."""
    path = f"users/profiles/user_id:u/{rest}"
    seen, masked = await edge.get(path, OWNER), await edge.get(path, MASKED)

    assert 200 == masked.status_code
    assert "***" in masked.text
    assert seen.json().keys() == masked.json().keys()
    for value in ("b@example.com", "Bob", "192.0.2.1", '"id":"u"', '"id":"g"', "1.5"):
        assert value not in masked.text


@pytest.mark.parametrize("rest", ["traits", "external_ids", "events", "metadata", "links"])
async def test_every_answer_has_the_headers(edge: ProfileEdge, rest: str) -> None:
    """An id of its own, nothing kept on the way, and no other origin's page may read it."""
    answers = [await edge.get(f"users/profiles/user_id:u/{rest}") for _ in range(2)]

    headers = answers[0].headers
    assert "application/json" == headers["content-type"]
    assert "no-store" == headers["cache-control"]
    assert "nosniff" == headers["x-content-type-options"]
    assert "access-control-allow-origin" not in headers
    assert 2 == len({each.headers["request-id"] for each in answers})


async def test_old_ids_lead_to_the_profile_that_is_left(edge: ProfileEdge) -> None:
    """Merged away or not, and by any identifier, the answer is the same."""
    service = edge.backend.service
    service.send(identify("v", traits={"late": True}, messageId="v"))
    old = service.segment_id("user_id:v")
    rules = {"identifiers": [{"type": "user_id", "limit": 5}]}
    service.set_rules(rules)
    service.send(identify("u", anonymousId="a", messageId="link1"))
    service.send(
        {"type": "track", "event": "E", "userId": "v", "anonymousId": "a", "messageId": "x"}
    )
    assert old != service.segment_id("user_id:v")

    answers = [
        await edge.get(f"users/profiles/{name}/traits") for name in (old, "user_id:v", "user_id:u")
    ]
    assert True is answers[0].json()["traits"]["late"]
    assert answers[0].json() == answers[1].json() == answers[2].json()
