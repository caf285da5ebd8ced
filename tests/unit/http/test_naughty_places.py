"""Strings that break programs, in every place of a call where a caller writes text."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import httpx
import pytest

from tests.unit.http.naughty_strings import NAUGHTY
from tests.unit.http.profile_edge import ADMIN, DELETER, ProfileEdge, error, identify
from tests.unit.http.tracking_edge import KEY, TrackingEdge, basic, fault
from unify_grpc.http.profile_paths import RESOURCES

if TYPE_CHECKING:
    from collections.abc import Callable

LONG = ["a" * 2_000, "\u0301" * 999, "\U0001f600" * 500, "\\" * 999, '"' * 999, "%" * 999]
ALL = [*NAUGHTY, *LONG]
#: Events with a text in a place, by the place.
PLACES: dict[str, Callable[[str], dict[str, Any]]] = {
    "groupId": lambda text: {"type": "group", "groupId": text},
    "previousId": lambda text: {"type": "alias", "previousId": text},
    "name": lambda text: {"type": "page", "name": text},
    "category": lambda text: {"type": "screen", "category": text},
    "timestamp": lambda text: {"timestamp": text},
    "originalTimestamp": lambda text: {"originalTimestamp": text},
    "a property": lambda text: {"properties": {text: text, "list": [text, {text: text}]}},
    "an integration": lambda text: {"integrations": {text: text}},
    "a key of the event": lambda text: {f"_{text}": text},
    "the context": lambda text: {"context": {text: text, "traits": {text: text}}},
    "a library": lambda text: {"context": {"library": {"name": text, "version": text}}},
    "an email": lambda text: {"type": "identify", "traits": {"email": text}},
    "a device": lambda text: {"context": {"device": {"type": "ios", "id": text, "token": text}}},
    "a type of device": lambda text: {"context": {"device": {"type": text, "id": "d"}}},
    "an external id": lambda text: {"context": {"externalIds": [external("custom", text)]}},
    "its type": lambda text: {"context": {"externalIds": [external(text, "e")]}},
    "its collection": lambda text: {
        "context": {"externalIds": [external("custom", "e") | {"collection": text}]}
    },
}
HEADERS = [
    *("authorization", "content-type", "content-encoding", "unify-strict", "host", "origin"),
    *("x-forwarded-proto", "x-forwarded-for", "accept", "accept-encoding", "cookie", "user-agent"),
    *("transfer-encoding", "content-length", "expect", "if-none-match", "range", "x-retry-count"),
]


def external(type_: str, value: str) -> dict[str, str]:
    """Returns an external id as events carry it."""
    return {"id": value, "type": type_, "collection": "users", "encoding": "none"}


@pytest.mark.parametrize("place", PLACES)
async def test_an_event_with_one_is_stored_or_refused_by_itself(place: str) -> None:
    """In whatever place: the call is a success, and whoever is not at fault is stored."""
    edge = TrackingEdge()
    good = {"type": "track", "event": "E", "userId": "good"}
    for start in range(0, len(ALL), 60):
        texts = ALL[start : start + 60]
        events = [{**good, "userId": "u", **PLACES[place](text)} for text in texts]
        batch = [{**good, "messageId": f"g{start}"}, *events, {**good, "messageId": f"h{start}"}]

        answer = await edge.post("/v1/batch?strict=1", {"batch": batch})

        assert 200 == answer.status_code, answer.text
        results = answer.json()["results"]
        assert len(batch) == len(results)
        assert {"STORED", "REJECTED"} >= {each["status"] for each in results}
        assert ("STORED", "STORED") == (results[0]["status"], results[-1]["status"])


async def test_what_a_batch_says_of_all_may_be_any_text() -> None:
    """Its context, its integrations and its time."""
    edge = TrackingEdge()
    for at, text in enumerate(ALL):
        event = {"type": "track", "event": "E", "userId": "u", "messageId": f"m{at}"}
        outer = {"context": {text: text}, "integrations": {text: text}, text: text}

        answer = await edge.post("/v1/batch", {**outer, "batch": [event]})

        assert 200 == answer.status_code, answer.text
        if f"m{at}" in edge.backend.stored:
            assert {text: text} == edge.context(f"m{at}")
    assert len(edge.backend.stored) > len(NAUGHTY)


@pytest.mark.parametrize("name", HEADERS)
@pytest.mark.parametrize("path", ["/v1/track", f"/v1/projects/{KEY}/settings", "/metrics"])
async def test_a_header_with_one_is_no_fault_of_ours(name: str, path: str) -> None:
    """In UTF-8 as in latin-1, with and without the key beside it."""
    edge = TrackingEdge()
    body = json.dumps({"type": "track", "event": "E", "userId": "u"}).encode()
    texts = ALL[HEADERS.index(name) % 12 :: 12]
    values = {text.encode() for text in texts} | {
        text.encode("latin-1", "replace") for text in texts
    }
    for value in sorted(values):
        headers = [(b"authorization", basic(KEY).encode()), (name.encode(), value)]
        request = httpx.Request(
            "POST" if path == "/v1/track" else "GET",
            f"http://unify.test{path}",
            headers=headers if name != "authorization" else headers[1:],
            content=body,
        )
        answer = await edge.client.send(request)
        assert answer.status_code in {200, 400, 401, 405, 413}, (value, answer.text)
        if answer.status_code != 200:
            fault(answer)


async def test_whoever_has_one_for_a_name_is_found_by_it() -> None:
    """Written into a path as callers have to, each character but letters and digits encoded."""
    edge = ProfileEdge(space_reads_per_s=0)
    await edge.open()
    service = edge.backend.service
    found = 0
    for at, text in enumerate(ALL):
        message = identify(text, messageId=f"m{at}", traits={"at": at}, received_at=10**15)
        answer_path = f"users/profiles/user_id:{quote(text, safe='')}"
        is_somebody = service.send(message).status == "STORED"

        answer = await edge.get(f"{answer_path}/traits")

        if is_somebody:
            assert 200 == answer.status_code, text
            found += at == answer.json()["traits"]["at"]
        else:
            assert answer.status_code in {400, 404}, text
            error(answer)
    assert found > len(NAUGHTY) // 2


@pytest.mark.parametrize("resource", RESOURCES)
async def test_a_read_with_one_is_answered(resource: str) -> None:
    """As the space, the collection, the profile, the rest of the path, and every parameter; each
    text for one resource.
    """
    edge = ProfileEdge(space_reads_per_s=0)
    await edge.open(identify("u"))
    names = ["limit", "next", "class", "include", "exclude", "start", "end", "sort", "verbose", "x"]
    for text in ALL[RESOURCES.index(resource) :: len(RESOURCES)]:
        raw = quote(text, safe="")
        start = "/v1/spaces/one/collections/users/profiles/user_id:u"
        paths = [
            f"/v1/spaces/{raw}/collections/users/profiles/user_id:u/{resource}",
            f"/v1/spaces/one/collections/{raw}/profiles/user_id:u/{resource}",
            f"/v1/spaces/one/collections/users/profiles/{raw}/{resource}",
            f"/v1/spaces/one/collections/users/profiles/{raw}:u/{resource}",
            f"/v1/namespaces/one/collections/users/profiles/user_id:u/{raw}",
            *(f"{start}/{resource}?{name}={raw}" for name in names),
            f"{start}/{resource}?{raw}=&" + "&".join(f"{name}={raw[:999]}" for name in names),
        ]
        for path in paths:
            answer = await edge.get(path, ADMIN)
            assert answer.status_code in {200, 400, 404}, (path, answer.text)
            if answer.status_code != 200:
                error(answer)


async def test_what_is_to_be_deleted_may_be_any_text() -> None:
    """It is not there, or cannot be there; the same of who is looked up."""
    edge = ProfileEdge(space_reads_per_s=0)
    await edge.open(identify("u"))
    for at, text in enumerate(ALL):
        wanted = {"type": "email", "id": text} if at % 2 else {"type": text, "id": "x"}
        body = json.dumps({"delete_external_ids": [wanted]}).encode()
        for profile in ("u", quote(text, safe="")):
            answer = await edge.delete(f"user_id:{profile}", body)
            assert error(answer)[0] in {400, 404}, text


@pytest.mark.parametrize("path", ["%FF", "user_id:%C3%28", "user_id:%ED%A0%80"])
async def test_a_deletion_whose_path_is_no_text_is_refused_as_deletions_are(path: str) -> None:
    """By the code of deletions, not of reads."""
    edge = ProfileEdge()
    await edge.open()

    assert (400, "bad_request") == error(await edge.delete(path, b"{}", DELETER))


@pytest.mark.parametrize(
    "path", ["one/collections/users/profiles/user_id:a%0Ab/traits", "a%0D%0Ab"]
)
@pytest.mark.parametrize("method", ["GET", "POST", "TRACE", "PROPFIND", "FETCH"])
async def test_below_spaces_all_is_refused_in_one_form(path: str, method: str) -> None:
    """Whatever the method, and with ends of lines in the path."""
    edge = ProfileEdge()
    await edge.open()

    answer = await edge.client.request(
        method, f"/v1/spaces/{path}", headers={"authorization": basic(ADMIN)}
    )

    assert error(answer)[0] in {400, 404, 405}
    if answer.status_code == 405:
        assert "GET, HEAD" == answer.headers["allow"]
