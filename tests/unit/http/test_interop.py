"""What official SDKs rely on, rule by rule."""

from __future__ import annotations

import asyncio
import gzip
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.unit.http.tracking_edge import KEY, TOKEN, TrackingEdge, basic, fault
from unify_grpc.http.tracking_routes import BATCH, SHORT, SINGLE
from unify_grpc.service.errors import ShardOverloadedError, ShardUnavailableError

SECOND_US = 1_000_000
SUCCESS = (200, {"success": True})
#: Of each type, what it needs beside a user.
NEEDS: dict[str, dict[str, str]] = {
    "identify": {},
    "track": {"event": "E"},
    "page": {"name": "Home"},
    "screen": {"name": "Main"},
    "group": {"groupId": "g"},
    "alias": {"previousId": "anon-1"},
}


def event(kind: str = "track", message_id: str = "m", **fields: Any) -> dict[str, Any]:
    """Returns a valid event."""
    return {"type": kind, "messageId": message_id, "userId": "u", **NEEDS[kind], **fields}


def us(text: str) -> int:
    """Returns a time in microseconds since 1970."""
    return round(datetime.fromisoformat(text).astimezone(UTC).timestamp() * SECOND_US)


@pytest.mark.parametrize("path", ["batch", "import", "track"])
async def test_i1_success_is_exactly_200_with_success_true(path: str) -> None:
    """A sender that gets 202 or 204 sends the batch again."""
    message = event() if path == "track" else {"batch": [event()]}

    answer = await TrackingEdge().post(f"/v1/{path}", message)

    assert SUCCESS == (answer.status_code, answer.json())


@pytest.mark.parametrize(
    ("body", "key", "expected"),
    [
        (b"{", KEY, (400, "invalid_json")),
        (b"{}", "wrong", (401, "credential_invalid")),
        (b" " * 40_000, KEY, (413, "body_too_large")),
    ],
)
async def test_i2_every_refusal_has_a_code_and_a_message(
    body: bytes, key: str, expected: tuple[int, str]
) -> None:
    """A sender that finds no `code` hides the error and sends again."""
    answer = await TrackingEdge().send("/v1/track", body, key=key)

    assert expected == fault(answer)


async def test_i2_a_path_that_is_not_there_has_them_too() -> None:
    """A wrong path is 404, a wrong method 405, both in the form of all refusals."""
    edge = TrackingEdge()

    assert (404, "not_found") == fault(await edge.post("/v1/tracks", {}))
    assert (405, "method_not_allowed") == fault(await edge.client.put("/v1/track"))


@pytest.mark.parametrize(
    "kind",
    ["application/json", "text/plain", "application/x-www-form-urlencoded", "image/png", ""],
)
async def test_i3_a_body_is_json_whatever_its_type_says(kind: str) -> None:
    """Browsers send text/plain, others a form."""
    edge = TrackingEdge()

    answer = await edge.post("/v1/batch", {"batch": [event()]}, content_type=kind)

    assert SUCCESS == (answer.status_code, answer.json())
    assert ["m"] == edge.events("user_id:u")


async def test_i4_a_body_may_be_compressed() -> None:
    """By gzip, and what it decompresses to is bounded: see `test_bodies.py`."""
    edge = TrackingEdge()
    body = gzip.compress(json.dumps({"batch": [event()]}).encode())

    answer = await edge.send("/v1/batch", body, content_encoding="gzip")

    assert SUCCESS == (answer.status_code, answer.json())
    assert ["m"] == edge.events("user_id:u")


@pytest.mark.parametrize(
    ("authorization", "write_key", "status"),
    [
        (basic(KEY), None, 200),
        (basic(KEY), "wrong", 200),
        (basic("wrong"), KEY, 401),
        (basic(""), KEY, 200),
        ("", KEY, 200),
        (f"Bearer {KEY}", None, 200),
        (f"bearer {KEY}", None, 200),
        ("Bearer an.oauth.token", KEY, 200),
        (f"Bearer {KEY}", "wrong", 401),
        ("", None, 401),
        ("", 5, 401),
        ("Basic !!!", KEY, 401),
        ("Basic é", KEY, 401),
        (basic(TOKEN), None, 401),
        ("", TOKEN, 401),
    ],
)
@pytest.mark.parametrize("path", ["track", "batch"])
async def test_i5_the_key_is_in_the_header_or_in_the_body(
    path: str, authorization: str, write_key: object, status: int
) -> None:
    """Basic goes first, then the body's `writeKey`, then Bearer; an access token writes nothing."""
    edge = TrackingEdge()
    message = event() if path == "track" else {"batch": [event()]}
    keyed = message if write_key is None else {**message, "writeKey": write_key}
    sent = [(b"authorization", authorization.encode("latin-1"))] if authorization else []

    answer = await edge.client.post(f"/v1/{path}", content=json.dumps(keyed), headers=sent)

    assert status == answer.status_code
    assert (["m"] if status == 200 else []) == list(edge.backend.stored)


async def test_i6_null_ids_are_absent_and_a_null_trait_is_removed() -> None:
    """`anonymousId: null` is nobody; a trait that is null stays in the event, and goes."""
    edge = TrackingEdge()
    await edge.post("/v1/identify", event("identify", "m1", traits={"plan": "pro", "seen": 1}))

    answer = await edge.post(
        "/v1/batch?strict=1",
        {"batch": [event("identify", "m2", anonymousId=None, traits={"plan": None})]},
    )

    assert ["STORED"] == [each["status"] for each in answer.json()["results"]]
    assert {"seen": 1} == edge.traits("user_id:u")
    assert {"plan": None} == json.loads(edge.body("m2").traits)
    assert edge.body("m2").anonymous_id is None


@pytest.mark.parametrize("traits", [None, {}, []])
async def test_i7_traits_of_an_identify_may_be_in_its_context(traits: object) -> None:
    """Where it has none of its own."""
    edge = TrackingEdge()
    context = {"traits": {"email": "a@example.com", "plan": "pro"}}

    await edge.post("/v1/identify", event("identify", traits=traits, context=context))

    assert {"email": "a@example.com", "plan": "pro"} == edge.traits("user_id:u")
    assert edge.segment_id("email:a@example.com") == edge.segment_id("user_id:u")


@pytest.mark.parametrize(
    ("own", "outer", "age_us"),
    [
        (
            {"originalTimestamp": "2026-05-01T10:00:00.000Z", "timestamp": "2020-01-01T00:00:00Z"},
            "2026-05-01T10:00:02.500Z",
            2_500_000,
        ),
        ({"timestamp": "2026-05-01T10:00:00Z"}, "2026-05-01T12:00:00.000009+02:00", 9),
        (
            {"timestamp": "2026-05-01T10:00:00Z", "sentAt": "2026-05-01T10:00:01Z"},
            "2026-05-01T11:00:00Z",
            1_000_000,
        ),
    ],
)
async def test_i8_the_clients_clock_may_be_wrong(
    own: dict[str, str], outer: str, age_us: int
) -> None:
    """An event is as old as it was when it was sent; its own `sentAt` goes before the batch's."""
    edge = TrackingEdge()

    await edge.post("/v1/batch", {"batch": [event(**own)], "sentAt": outer})

    frame, body = edge.backend.stored["m"]
    assert age_us == frame.stamp_us - frame.time_us
    assert us("2026-05-01T10:00:00+00:00") == body.client_time_us


async def test_i8_without_a_sent_at_the_clients_time_stands() -> None:
    """`Z` and `+00:00`, milliseconds and microseconds."""
    edge = TrackingEdge()
    times = ["2026-05-01T10:00:00.123Z", "2026-05-01T10:00:00.123456+00:00"]

    await edge.post(
        "/v1/batch",
        {"batch": [event("track", f"m{at}", timestamp=each) for at, each in enumerate(times)]},
    )

    assert [us(each) for each in times] == [
        edge.backend.stored[f"m{at}"][0].time_us for at in range(2)
    ]


async def test_i9_a_batch_sent_again_has_no_effect() -> None:
    """The same message ids with another `sentAt` are the same events."""
    edge = TrackingEdge()
    batch = {"batch": [event("track", f"m{at}") for at in range(3)]}
    await edge.post("/v1/batch", {**batch, "sentAt": "2026-05-01T10:00:00Z"})

    answer = await edge.post("/v1/batch?strict=1", {**batch, "sentAt": "2026-05-01T10:00:05Z"})

    assert ["DUPLICATE"] * 3 == [each["status"] for each in answer.json()["results"]]
    assert 3 == len(edge.events("user_id:u"))


async def test_i10_a_pause_is_a_whole_number_that_browsers_may_read() -> None:
    """Without `Access-Control-Expose-Headers` a browser sends again at once."""
    edge = TrackingEdge(calls_concurrent_max=1)
    edge.edge.counts.calls = 1

    answer = await edge.post("/v1/t", event())

    assert (429, "shard_overloaded") == fault(answer)
    assert int(answer.headers["retry-after"]) >= 1
    assert "retry-after" in answer.headers["access-control-expose-headers"].lower()
    assert "*" == answer.headers["access-control-allow-origin"]


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"null", b"5", b'{"batch": {}}', b'{"batch": null}', b'{"context": {}}'],
)
async def test_i11_what_never_succeeds_is_400(body: bytes) -> None:
    """SDKs send again after 408, 410, 460 and 5xx."""
    answer = await TrackingEdge().send("/v1/batch", body)

    assert (400, "invalid_json") == fault(answer)
    assert "retry-after" not in answer.headers


@pytest.mark.parametrize("error", [ShardUnavailableError(), ShardOverloadedError()])
async def test_i11_what_may_succeed_later_is_not(error: Exception) -> None:
    """A part that is away is 503, one that has too much 429; both say when to come again."""
    edge = TrackingEdge()
    edge.backend.failure = error

    answer = await edge.post("/v1/track", event())

    assert answer.status_code in {429, 503}
    assert answer.headers["retry-after"].isdecimal()


@pytest.mark.parametrize("path", ["/v1/t", "/v1/b", "/v1/batch", "/v1/projects/k/settings"])
async def test_i12_browsers_are_let_in(path: str) -> None:
    """A preflight allows the headers that SDKs send, and holds for a while."""
    answer = await TrackingEdge().client.options(
        path,
        headers={
            "Origin": "http://shop.test",
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization,x-retry-count",
        },
    )

    allowed = set(answer.headers["access-control-allow-headers"].split(", "))
    assert 200 == answer.status_code
    assert {"authorization", "content-type", "content-encoding", "x-retry-count"} <= allowed
    assert {"GET", "POST", "OPTIONS"} == set(
        answer.headers["access-control-allow-methods"].split(", ")
    )
    assert int(answer.headers["access-control-max-age"]) > 0
    assert "*" == answer.headers["access-control-allow-origin"]


@pytest.mark.parametrize(("short", "long"), sorted(SHORT.items()))
async def test_i13_short_routes_are_the_long_ones(short: str, long: str) -> None:
    """What is posted to `/v1/t` is a track."""
    edge = TrackingEdge()
    message = {"batch": [event()]} if long == "batch" else event(long) | {"type": "ignored"}

    answers = [await edge.post(f"/v1/{path}?strict=1", message, key=KEY) for path in (short, long)]

    first, again = [each.json()["results"][0] for each in answers]
    assert ["STORED", "DUPLICATE"] == [first["status"], again["status"]]
    assert list("itpsgab") == [each[0] for each in (*SINGLE, "batch")]


async def test_i13_the_browsers_settings_name_this_host() -> None:
    """Where the SDK asked for them, path and all, is where it sends events."""
    edge = TrackingEdge()

    answer = await edge.client.get(f"/cdn/v1/projects/{KEY}/settings")

    assert 200 == answer.status_code
    assert {"apiKey": KEY, "apiHost": "unify.test/cdn/v1", "protocol": "http"} == answer.json()[
        "integrations"
    ]["Segment.io"]
    assert {} == answer.json()["plan"]


async def test_i13_behind_a_proxy_that_ends_tls_they_name_https() -> None:
    """Or the page's browser would refuse to send; what is no scheme is passed over."""
    edge = TrackingEdge()
    path = f"/v1/projects/{KEY}/settings"

    named = [
        (await edge.client.get(path, headers={"X-Forwarded-Proto": each})).json()
        for each in ("https", "javascript")
    ]

    assert ["https", "http"] == [each["integrations"]["Segment.io"]["protocol"] for each in named]


async def test_i13_settings_of_an_unknown_key_are_refused() -> None:
    """A typing mistake shows before events are lost."""
    answer = await TrackingEdge().client.get("/v1/projects/wrong/settings")

    assert (401, "credential_invalid") == fault(answer)


async def test_i14_an_alias_of_oneself_is_accepted() -> None:
    """Browsers send it after `alias`; it joins nothing."""
    edge = TrackingEdge({"alias_links": "user_id"})
    await edge.post("/v1/track", event("track", "m1"))

    answer = await edge.post("/v1/a", event("alias", "m2", previousId="u"))

    assert SUCCESS == (answer.status_code, answer.json())
    assert {frozenset({"user_id:u"})} == edge.backend.service.partition()


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
async def test_i15_alias_and_identify_may_arrive_in_any_order(order: tuple[int, int]) -> None:
    """They are posted in parallel; the profile is the same."""
    edge = TrackingEdge({"alias_links": "anonymous_id"})
    calls = [
        event("identify", "m1", traits={"plan": "pro"}),
        event("alias", "m2", previousId="anon-9"),
    ]

    for at in order:
        await edge.post("/v1/batch", {"batch": [calls[at]]})

    assert {frozenset({"user_id:u", "anonymous_id:anon-9"})} == edge.backend.service.partition()
    assert {"plan": "pro"} == edge.traits("anonymous_id:anon-9")


async def test_i15_and_at_the_same_time() -> None:
    """Two requests under way at once end as they would one after the other."""
    edge = TrackingEdge({"alias_links": "anonymous_id"})

    answers = await asyncio.gather(
        edge.post("/v1/batch", {"batch": [event("identify", "m1")]}),
        edge.post("/v1/batch", {"batch": [event("alias", "m2", previousId="anon-9")]}),
    )

    assert [200, 200] == [each.status_code for each in answers]
    assert {frozenset({"user_id:u", "anonymous_id:anon-9"})} == edge.backend.service.partition()


async def test_i16_unknown_keys_are_no_error() -> None:
    """`_metadata`, `channel`, a key of its own: passed over; in the context they stay."""
    edge = TrackingEdge()
    context = {"userAgentData": {"mobile": False}, "direct": True}
    message = event(_metadata={"a": 1}, channel="server", writeKey="w", context=context)

    answer = await edge.post("/v1/batch", {"batch": [message], "timestamp": "now", "more": [1]})

    assert SUCCESS == (answer.status_code, answer.json())
    assert context == edge.context("m")


async def test_i17_external_ids_of_the_context_are_identifiers() -> None:
    """With all four of their fields."""
    edge = TrackingEdge()
    listed = [{"id": "abc", "type": "ga_client_id", "collection": "users", "encoding": "none"}]

    await edge.post("/v1/track", event(context={"externalIds": listed}))

    assert edge.segment_id("ga_client_id:abc") == edge.segment_id("user_id:u")
    assert {"externalIds": listed} == edge.context("m")


@pytest.mark.parametrize("kind", [*SINGLE, *BATCH, *SHORT])
@pytest.mark.parametrize(
    "place", ["/v1/{}/", "/any/prefix/v1/{}", "http://unify.test//v1/{}", "/x/v1/{}/"]
)
async def test_i18_a_host_may_have_a_path(kind: str, place: str) -> None:
    """With a slash more at its end, too."""
    edge = TrackingEdge()
    name = SHORT.get(kind, kind)
    message = {"batch": [event()]} if name in BATCH else event(name)

    answer = await edge.post(place.format(kind), message)

    assert SUCCESS == (answer.status_code, answer.json())
    assert ["m"] == list(edge.backend.stored)


async def test_i18_a_body_may_come_in_chunks() -> None:
    """Without a length."""
    edge = TrackingEdge()
    body = json.dumps({"batch": [event()]}).encode()

    async def chunks() -> Any:
        for at in range(0, len(body), 7):
            yield body[at : at + 7]

    answer = await edge.client.post(
        "/v1/batch", content=chunks(), headers={"authorization": basic(KEY)}
    )

    assert SUCCESS == (answer.status_code, answer.json())
