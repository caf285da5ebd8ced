"""What each kind of key opens over HTTP, and until when."""

from __future__ import annotations

import time

import pytest

from tests.unit.http.profile_edge import (
    ADMIN,
    DELETER,
    MASKED,
    OWNER,
    WRITER,
    ProfileEdge,
    error,
    identify,
)
from tests.unit.http.tracking_edge import TOKEN, TrackingEdge, basic, fault

READS = ["traits", "external_ids", "events", "metadata", "links"]
BODY = b'{"delete_external_ids": [{"type": "email", "id": "u@example.com"}]}'
CALLS = ["identify", "track", "page", "screen", "group", "alias", "batch", "import", "t", "b"]
DAY_US = 86_400 * 10**6


@pytest.fixture
async def edge() -> ProfileEdge:
    """A space with one person."""
    made = ProfileEdge()
    await made.open(identify("u", traits={"email": "u@example.com"}))
    return made


@pytest.mark.parametrize("rest", READS)
async def test_a_write_key_opens_no_read(edge: ProfileEdge, rest: str) -> None:
    """It is in every browser, and opens nothing of the Profile API, by any header."""
    path = f"users/profiles/user_id:u/{rest}"
    bearer = await edge.client.get(
        f"/v1/spaces/one/collections/{path}", headers={"authorization": f"Bearer {WRITER}"}
    )

    assert [(403, "forbidden")] * 2 == [error(await edge.get(path, WRITER)), error(bearer)]
    assert 200 == (await edge.get(path, OWNER)).status_code


@pytest.mark.parametrize("token", [WRITER, OWNER, MASKED])
async def test_only_the_scope_delete_deletes(edge: ProfileEdge, token: str) -> None:
    """Not a write key, and no token that can only read."""
    refused = await edge.delete("user_id:u", BODY, token)

    assert (403, "forbidden") == error(refused)
    assert 200 == (await edge.delete("user_id:u", BODY, DELETER)).status_code


async def test_a_token_ends_when_its_time_has_come(edge: ProfileEdge) -> None:
    """Whatever else holds of it; one whose time has not come is let in."""
    now_us = time.time_ns() // 1000
    control = edge.backend.control
    for name, expire_us in (("past", now_us - 1), ("future", now_us + DAY_US)):
        control.create_token(
            name, scopes=["read", "pii"], expire_us=expire_us, now_us=now_us - DAY_US
        )
    await edge.directory.renew()
    path = "users/profiles/user_id:u/traits"

    assert (401, "authentication_error") == error(await edge.get(path, "token-past"))
    assert 200 == (await edge.get(path, "token-future")).status_code


@pytest.mark.parametrize("token", [WRITER, MASKED, OWNER, ADMIN])
@pytest.mark.parametrize("header", ["{}", "Bearer", "Basic {}", "Digest {}", "basic{}"])
async def test_a_key_in_another_form_opens_nothing(
    edge: ProfileEdge, token: str, header: str
) -> None:
    """What is not Basic with the key as user name, or Bearer, is no key."""
    path = "/v1/spaces/one/collections/users/profiles/user_id:u/traits"
    answer = await edge.client.get(path, headers={"authorization": header.format(token)})

    assert (401, "authentication_error") == error(answer)


@pytest.mark.parametrize("call", CALLS)
async def test_a_token_writes_nothing(call: str) -> None:
    """What reads profiles is for servers, and ingests no events, in a header or in a body."""
    edge = TrackingEdge()
    message = {"userId": "u", "event": "e", "batch": []}
    answers = [
        await edge.post(f"/v1/{call}", message, key=TOKEN),
        await edge.post(f"/v1/{call}", message, key=None, authorization=f"Bearer {TOKEN}"),
        await edge.post(f"/v1/{call}", {**message, "writeKey": TOKEN}, key=None),
        await edge.post(f"/v1/{call}", {**message, "writeKey": TOKEN}, authorization=basic(TOKEN)),
    ]

    assert [(401, "scope_missing")] * len(answers) == [fault(each) for each in answers]
    assert not edge.backend.stored
