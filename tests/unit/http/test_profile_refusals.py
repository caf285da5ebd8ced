"""Who and what the Profile API refuses, in Segment's form."""

from __future__ import annotations

import asyncio
import base64

import pytest

from tests.unit.http.profile_edge import (
    ADMIN,
    MASKED,
    OWNER,
    READER,
    WRITER,
    ProfileEdge,
    error,
    identify,
)
from tests.unit.http.tracking_edge import basic, until
from unify_grpc.service.errors import (
    ShardOverloadedError,
    ShardUnavailableError,
    StoreDamagedError,
    UnifyError,
)

TRAITS = "/v1/spaces/one/collections/users/profiles/user_id:u/traits"


@pytest.fixture
async def edge() -> ProfileEdge:
    """A space with one person."""
    made = ProfileEdge()
    await made.open(identify("u", traits={"plan": "pro"}))
    return made


@pytest.mark.parametrize("space", ["one", "spa_one"])
@pytest.mark.parametrize(
    "authorization",
    [
        basic(OWNER),
        f"Bearer {OWNER}",
        f"bearer {OWNER}",
        basic(MASKED),
        basic(ADMIN),
        "Basic " + base64.b64encode(f"{OWNER}:password".encode()).decode(),
        "Basic " + base64.b64encode(OWNER.encode()).decode(),
    ],
)
async def test_tokens_are_let_in(edge: ProfileEdge, authorization: str, space: str) -> None:
    """As user name or bearer, to their space by id or name; an admin token to any."""
    path = f"/v1/spaces/{space}/collections/users/profiles/user_id:u/traits"
    answer = await edge.client.get(path, headers={"authorization": authorization})

    assert 200 == answer.status_code


@pytest.mark.parametrize(
    "authorization",
    [
        "",
        "Basic",
        "Basic ",
        "Basic ???",
        "Basic é",
        "Bearer é",
        basic(""),
        basic("unknown"),
        "Bearer unknown",
        OWNER,
        "Digest x",
        "Bearer " + "x" * 5000,
    ],
)
async def test_nobody_else_is_let_in(edge: ProfileEdge, authorization: str) -> None:
    """401, before anything about the space or the profile is told."""
    for path in (TRAITS, TRAITS.replace("one", "none"), TRAITS.replace("users", "users%21")):
        answer = await edge.client.get(path, headers={b"authorization": authorization.encode()})
        assert (401, "authentication_error") == error(answer)
        assert 'Basic realm="unify"' == answer.headers["www-authenticate"]


async def test_a_revoked_token_is_refused(edge: ProfileEdge) -> None:
    """From the moment at which the gateway has heard of it."""
    assert 200 == (await edge.get(TRAITS, READER)).status_code
    edge.backend.control.revoke("access_token", "tok_reader")
    await edge.directory.renew()

    assert (401, "authentication_error") == error(await edge.get(TRAITS, READER))


async def test_a_write_key_reads_nothing(edge: ProfileEdge) -> None:
    """It is in every browser."""
    assert (403, "forbidden") == error(await edge.get(TRAITS, WRITER))


async def test_another_space_answers_as_if_there_were_none(edge: ProfileEdge) -> None:
    """By id or name, for tokens of one space; an admin token is told the same of no space."""
    profile = edge.backend.service.segment_id("user_id:u")
    answers = [
        await edge.get(f"/v1/spaces/{space}/collections/users/profiles/{profile}/traits", token)
        for space, token in [
            ("two", OWNER),
            ("spa_two", OWNER),
            ("three", OWNER),
            ("one", "token-two"),
            ("three", ADMIN),
        ]
    ]

    assert {(404, "not_found")} == {error(each) for each in answers}
    assert 1 == len({each.text for each in answers})


async def test_a_profile_of_another_space_is_not_found(edge: ProfileEdge) -> None:
    """Neither by its segment_id nor by an identifier."""
    profile = edge.backend.service.segment_id("user_id:u")
    for name in (profile, "user_id:u"):
        path = f"/v1/spaces/two/collections/users/profiles/{name}/traits"
        assert (404, "not_found") == error(await edge.get(path, "token-two"))


@pytest.mark.parametrize(
    "name", ["user_id:nobody", "custom:u", "u", "use_", "use_1", "acc_1", "", "USE_x", "x" * 5000]
)
@pytest.mark.parametrize("rest", ["traits", "external_ids", "events", "metadata", "links"])
async def test_who_is_not_there_is_not_found(edge: ProfileEdge, name: str, rest: str) -> None:
    """A value without its type neither."""
    answer = await edge.get(f"users/profiles/{name}/{rest}")

    assert (404, "not_found") == error(answer)
    assert "Profile was not found." == answer.json()["error"]["message"]


@pytest.mark.parametrize("rest", ["traits", "external_ids", "events", "metadata", "links"])
async def test_an_id_of_the_other_collection_is_not_found(edge: ProfileEdge, rest: str) -> None:
    """People are not accounts, whatever they are named by."""
    profile = edge.backend.service.segment_id("user_id:u")
    for name in (profile, "user_id:u"):
        assert (404, "not_found") == error(await edge.get(f"accounts/profiles/{name}/{rest}"))


@pytest.mark.parametrize(
    ("path", "parameter"),
    [
        ("users%21/profiles/user_id:u", "collection"),
        ("people/profiles/use_1", "collection"),
        ("users/profiles/User_Id:u", "id_type"),
        ("users/profiles/:u", "id_type"),
        ("users/profiles/user_id:", "id_value"),
        ("users/profiles/user_id:%20", "id_value"),
        ("users/profiles/user_id:%00", "id_value"),
        ("users/profiles/user_id:" + "x" * 257, "id_value"),
    ],
)
@pytest.mark.parametrize("rest", ["traits", "external_ids", "events", "metadata", "links"])
async def test_what_can_be_no_name_is_refused(
    edge: ProfileEdge, path: str, parameter: str, rest: str
) -> None:
    """By what is wrong with it, without repeating it."""
    answer = await edge.get(f"{path}/{rest}")

    assert (400, "validation_error") == error(answer)
    assert f"The parameter `{parameter}` " in answer.json()["error"]["message"]


async def test_a_path_that_cannot_be_decoded_is_refused(edge: ProfileEdge) -> None:
    """It is no UTF-8."""
    answer = await edge.get(TRAITS.replace("user_id:u", "user_id:%FF"))

    assert (400, "invalid_request_error") == error(answer)


@pytest.mark.parametrize("path", ["/v1/spaces/one", "/v1/spaces/one/collections/users/profiles"])
async def test_what_is_no_route_is_not_found(edge: ProfileEdge, path: str) -> None:
    """In the form of this API."""
    assert (404, "not_found") == error(await edge.get(path))


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("POST", TRAITS, "GET, HEAD"),
        ("OPTIONS", TRAITS, "GET, HEAD"),
        ("DELETE", TRAITS, "GET, HEAD"),
        ("GET", TRAITS.replace("traits", "external_ids/delete"), "POST"),
    ],
)
async def test_another_method_is_refused(
    edge: ProfileEdge, method: str, path: str, allowed: str
) -> None:
    """With those that there are; preflights too, for this is no API for browsers."""
    answer = await edge.client.request(method, path, headers={"authorization": basic(OWNER)})

    assert (405, "method_not_allowed") == error(answer)
    assert allowed == answer.headers["allow"]
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize(
    ("failure", "status", "code", "retry"),
    [
        (ShardUnavailableError(), 503, "shard_unavailable", "1"),
        (ShardOverloadedError(), 429, "rate_limit_error", "1"),
        (StoreDamagedError(), 503, "storage_corrupt", "30"),
        (RuntimeError("a secret"), 500, "internal", None),
    ],
)
async def test_failures_inside_are_told_apart(
    edge: ProfileEdge, failure: Exception, status: int, code: str, retry: str | None
) -> None:
    """What passes says when to try again; what is ours says nothing of itself."""
    edge.backend.failure = failure
    answer = await edge.get(TRAITS)

    assert (status, code) == error(answer)
    assert retry == answer.headers.get("retry-after")
    assert isinstance(failure, UnifyError) or "secret" not in answer.text


async def test_a_read_ends_at_its_deadline() -> None:
    """And nobody waits for a shard for ever."""
    edge = ProfileEdge(deadline_s_default=0.01)
    await edge.open(identify("u"))
    edge.backend.held = asyncio.Event()

    answer = await edge.get(TRAITS)

    assert (504, "deadline_passed") == error(answer)
    assert "1" == answer.headers["retry-after"]


async def test_too_many_calls_are_refused_at_once() -> None:
    """Beyond the bound of the gateway nothing waits."""
    edge = ProfileEdge(calls_concurrent_max=1)
    await edge.open(identify("u"))
    edge.backend.held = asyncio.Event()
    waiting = asyncio.create_task(edge.get(TRAITS))
    await until(lambda: edge.edge.counts.calls)

    assert (429, "rate_limit_error") == error(await edge.get(TRAITS))
    edge.backend.held.set()
    assert 200 == (await waiting).status_code


async def test_the_101st_read_at_once_is_refused(edge: ProfileEdge) -> None:
    """A space has a hundred a second, however many tokens ask; another has its own."""
    answers = [await edge.get(TRAITS, (OWNER, READER)[at % 2]) for at in range(103)]
    refused = answers[100:]

    assert {200} == {each.status_code for each in answers[:100]}
    assert "100" == answers[0].headers["x-ratelimit-limit"]
    assert {(429, "rate_limit_error")} == {error(each) for each in refused}
    assert "1" == refused[0].headers["retry-after"]
    assert ("100", "0", "1") == tuple(
        refused[0].headers[f"x-ratelimit-{name}"] for name in ("limit", "remaining", "reset")
    )
    elsewhere = "/v1/spaces/two/collections/users/profiles/user_id:u/traits"
    assert (404, "not_found") == error(await edge.get(elsewhere, "token-two"))
    edge.backend.now_s += 1
    assert 200 == (await edge.get(TRAITS)).status_code


async def test_limits_can_be_set() -> None:
    """None at all, or one of each token beside that of the space."""
    unlimited = ProfileEdge(space_reads_per_s=0)
    await unlimited.open(identify("u"))
    assert {200} == {(await unlimited.get(TRAITS)).status_code for _ in range(103)}
    assert "x-ratelimit-limit" not in (await unlimited.get(TRAITS)).headers

    limited = ProfileEdge(key_reads_per_s=1)
    await limited.open(identify("u"))
    statuses = [
        (await limited.get(TRAITS, token)).status_code for token in (OWNER, OWNER, READER, ADMIN)
    ]
    assert [200, 429, 200, 200] == statuses


async def test_logs_hold_no_values(edge: ProfileEdge, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither of names that are found nor of those that are refused."""
    for name in ("user_id:u-secret", "email:secret@example.com", "user_id:%00secret", "secret"):
        await edge.get(f"users/profiles/{name}/traits", include="secret", limit="secret")

    printed = capsys.readouterr()
    assert "profiles/traits" in printed.out + printed.err
    assert "secret" not in printed.out + printed.err
