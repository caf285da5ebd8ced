"""Whatever is sent: an answer that says what is wrong, never a 500, and others' events unharmed."""

from __future__ import annotations

import json
from typing import Any

import pytest
import structlog

from tests.unit.http.naughty_strings import NAUGHTY
from tests.unit.http.tracking_edge import TrackingEdge, fault
from unify_grpc.http.messages import events_of, outline_batch

DEEP = 100_000
GOOD = {"type": "track", "userId": "good", "event": "E", "messageId": "good"}
#: No JSON, or none that an event may be made of.
BROKEN = {
    "nothing": b"",
    "blanks": b" \n ",
    "half an object": b'{"userId":"u"',
    "a comma too many": b'{"userId":"u",}',
    "a colon too few": b'{"userId" "u"}',
    "something behind": b'{"userId":"u"} x',
    "two of them": b'{"userId":"u"}{"userId":"u"}',
    "single quotes": b"{'userId':'u'}",
    "no quotes": b"{userId:1}",
    "a comment": b'{/* */"userId":"u"}',
    "a leading zero": b'{"userId":01}',
    "a plus": b'{"userId":+1}',
    "no digits": b'{"userId":.5}',
    "hexadecimal": b'{"userId":0x1}',
    "an exponent of nothing": b'{"userId":1e}',
    "too large a number": b'{"userId":1e999}',
    "too many digits": b'{"userId":' + b"1" * 5000 + b"}",
    "not a number": b'{"userId":NaN}',
    "infinity": b'{"userId":-Infinity}',
    "a Python literal": b'{"userId":True}',
    "a raw newline": b'{"userId":"a\nb"}',
    "a raw NUL": b'{"userId":"a\x00b"}',
    "a wrong escape": b'{"userId":"\\x41"}',
    "half an escape": b'{"userId":"\\u12"}',
    "half a character": b'{"userId":"\\ud800"}',
    "the other half": b'{"userId":"\\udc00x"}',
    "no UTF-8": b'{"userId":"\xff"}',
    "overlong UTF-8": b'{"userId":"\xc0\xaf"}',
    "UTF-16": '{"userId":"u"}'.encode("utf-16"),
    "a byte order mark": b'\xef\xbb\xbf{"userId":"u"}',
    "an array": b"[]",
    "a string": b'"userId"',
    "null": b"null",
    "open for ever": b"[" * 20_000,
    "objects for ever": b'{"a":' * 5_000,
    "binary": bytes(range(256)),
}


@pytest.mark.parametrize("name", BROKEN)
async def test_a_single_event_that_is_no_json_object_is_400(name: str) -> None:
    """And nothing is stored."""
    edge = TrackingEdge()

    assert (400, "invalid_json") == fault(await edge.send("/v1/track", BROKEN[name]))
    assert {} == edge.backend.stored


@pytest.mark.parametrize("name", BROKEN)
async def test_a_batch_that_is_no_json_object_is_400(name: str) -> None:
    """The same, of a batch."""
    assert (400, "invalid_json") == fault(await TrackingEdge().send("/v1/batch", BROKEN[name]))


#: One event each, broken inside: the reason that it is refused for.
BROKEN_INSIDE = {
    "not a number": (b'{"properties":{"a":NaN},%s}', "INVALID_JSON"),
    "half a character": (b'{"properties":{"a":"\\ud800"},%s}', "INVALID_JSON"),
    "half a character as a key": (b'{"properties":{"\\udfff":1},%s}', "INVALID_JSON"),
    "no UTF-8": (b'{"properties":{"a":"\xff"},%s}', "INVALID_JSON"),
    "no UTF-8 in what is only kept": (b'{"x":{"a":"\xff"},%s}', "INVALID_JSON"),
    "no UTF-8 in its integrations": (b'{"integrations":{"\xed\xa0\x80":1},%s}', "INVALID_JSON"),
    "too large a number": (b'{"properties":{"a":1e999},%s}', "INVALID_JSON"),
    "a Python literal": (b'{"properties":{"a":None},%s}', "INVALID_JSON"),
    "a wrong escape": (b'{"properties":{"a":"\\x"},%s}', "INVALID_JSON"),
    "properties that are a text": (b'{"properties":"a",%s}', "INVALID_JSON"),
    "too deep": (b'{"properties":{"a":[[[[[[[[[]]]]]]]]]},%s}', "TOO_DEEP"),
    "far too deep": (
        b'{"properties":{"a":' + b"[" * 5000 + b"]" * 5000 + b"},%s}",
        "TOO_DEEP",
    ),
    "of another kind": (b'{"properties":[1],%s}', "INVALID_JSON"),
    "at no time": (b'{"timestamp":"soon",%s}', "INVALID_TIMESTAMP"),
    "without a type": (b'{"type":5,"messageId":"bad","userId":"u"}', "UNKNOWN_TYPE"),
}
IDS = b'"type":"track","event":"E","messageId":"bad","userId":"u"'


@pytest.mark.parametrize("name", BROKEN_INSIDE)
async def test_a_broken_event_takes_no_other_with_it(name: str) -> None:
    """Those before and behind are stored; it is refused by its message id, and kept so."""
    text, reason = BROKEN_INSIDE[name]
    bad = text % IDS if b"%s" in text else text
    edge = TrackingEdge()
    others = [json.dumps({**GOOD, "messageId": f"m{at}"}).encode() for at in range(2)]
    body = b'{"batch":[%s],"sentAt":null}' % b",".join([others[0], bad, others[1]])

    answer = await edge.send("/v1/batch?strict=1", body)

    assert 200 == answer.status_code
    results = answer.json()["results"]
    assert ["STORED", "REJECTED", "STORED"] == [each["status"] for each in results]
    assert (reason, "bad") == (results[1]["reason"], results[1]["messageId"])
    assert [reason] == edge.reasons()
    assert ["bad"] == [each.body.message_id for each in edge.backend.refused]
    assert ["m0", "m1"] == edge.events("user_id:good")


@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
async def test_a_hundred_thousand_brackets_are_one_events_fault(opening: bytes) -> None:
    """Deeper than any stack goes; the event beside it is stored."""
    closing = b"]" if opening == b"[" else b"}"
    count = DEEP if opening == b"[" else DEEP // 2
    deep = b'{"x":%s1%s}' % (opening * count, closing * count)
    edge = TrackingEdge()
    body = b'{"batch":[%s,%s]}' % (deep, json.dumps(GOOD).encode())

    answer = await edge.send("/v1/batch", body)

    assert 200 == answer.status_code
    assert ["EVENT_TOO_LARGE"] == edge.reasons()
    assert ["good"] == list(edge.backend.stored)


async def test_of_keys_that_come_twice_the_last_counts() -> None:
    """Everywhere: in the batch, in an event, in its traits, and where the batch is broken too."""
    good = (
        b'{"type":"track","type":"identify","userId":"v","userId":"u","messageId":"m%d",'
        b'"traits":{"plan":"free","plan":"pro"},"context":{"a":1,"a":2}}'
    )
    edge = TrackingEdge()

    for number, extra in enumerate((b"", b',{"a":NaN}')):
        body = b'{"batch":[],"context":{"b":1},"context":{"c":1,"c":3},"batch":[%s%s]}'
        await edge.send("/v1/batch", body % (good % number, extra))

    assert {"plan": "pro"} == edge.traits("user_id:u")
    assert [{"a": 2, "c": 3}] * 2 == [edge.context(f"m{number}") for number in range(2)]
    assert edge.segment_id("user_id:v") is None


@pytest.mark.parametrize("place", ["userId", "anonymousId", "messageId", "type", "event", "sentAt"])
async def test_naughty_strings_are_texts_like_others(place: str) -> None:
    """In any field of an event: never a 500, and what is stored is what was sent."""
    edge = TrackingEdge()
    events = [{**GOOD, "messageId": f"m{at}", place: text} for at, text in enumerate(NAUGHTY)]

    answer = await edge.post("/v1/batch?strict=1", {"batch": events})

    assert 200 == answer.status_code, answer.text
    results = answer.json()["results"]
    assert len(events) == len(results)
    if place in {"event", "anonymousId", "userId"}:
        stored = [at for at, each in enumerate(results) if each["status"] == "STORED"]
        assert len(stored) > len(events) // 2
        attribute = {"event": "name", "anonymousId": "anonymous_id", "userId": "user_id"}[place]
        for at in stored:
            assert NAUGHTY[at] == getattr(edge.body(f"m{at}"), attribute)


async def test_naughty_strings_may_be_names_and_values_of_traits() -> None:
    """They come back as they were sent."""
    edge = TrackingEdge()
    traits: dict[str, Any] = {text: text for text in NAUGHTY if text}
    names = [*traits]

    for start in range(0, len(names), 40):
        part = {name: traits[name] for name in names[start : start + 40]}
        answer = await edge.post("/v1/identify", {"userId": "u", "traits": part})
        assert 200 == answer.status_code, answer.text
        assert [] == edge.reasons()

    assert traits == edge.traits("user_id:u")


@pytest.mark.parametrize("text", [each for each in NAUGHTY if each.strip()][::7])
async def test_naughty_strings_are_no_keys(text: str) -> None:
    """Nor anything else than 401."""
    edge = TrackingEdge()

    answer = await edge.post("/v1/track", {**GOOD, "writeKey": text}, key=None)

    assert (401, "credential_invalid") == fault(answer)
    assert len(text) < 4 or text not in answer.text


@pytest.mark.parametrize("value", [None, True, 0, 5, 1.5, 10**30, [], {}, [1], {"a": 1}])
@pytest.mark.parametrize(
    "place",
    [
        *("type", "messageId", "userId", "anonymousId", "groupId", "previousId", "event", "name"),
        *("timestamp", "originalTimestamp", "sentAt", "traits", "properties", "context"),
        *("integrations", "writeKey"),
    ],
)
async def test_no_field_has_a_kind_that_it_may_not_have(place: str, value: object) -> None:
    """An event with any JSON in any place is stored or refused, alone and in a batch."""
    edge = TrackingEdge()
    message = {**GOOD, place: value}

    answers = [
        await edge.post("/v1/track?strict=1", message),
        await edge.post("/v1/batch?strict=1", {"batch": [message]}),
        await edge.post("/v1/batch?strict=1", {"batch": [GOOD], place: value}),
    ]

    for answer in answers:
        assert answer.status_code in {200, 400}, answer.text
    assert [200, 200] == [each.status_code for each in answers[:2]]


async def test_what_callers_send_is_in_no_log_and_in_no_refusal() -> None:
    """Not their ids, not their traits, not their keys, whether it is taken or refused."""
    secret = "canary"
    good = {"type": "identify", "userId": secret, "traits": {"email": f"{secret}@example.com"}}
    edge = TrackingEdge()
    with structlog.testing.capture_logs() as lines:
        answers = [
            await edge.post("/v1/identify", good),
            await edge.post("/v1/batch", {"batch": [good, {**good, "timestamp": secret}]}),
            await edge.post(f"/v1/{secret}", good),
            await edge.post("/v1/track", good, key=secret),
            await edge.send("/v1/batch", b'{"userId":"canary",'),
            await edge.send("/v1/batch", secret.encode(), content_encoding=secret),
            await edge.client.get(f"/v1/projects/{secret}/settings"),
        ]

    assert len(lines) == len(answers) - 1, "a path that is not there is not logged"
    assert [] == [answer.text for answer in answers if secret in answer.text]
    assert secret not in str(lines)
    assert secret not in (await edge.client.get("/metrics")).text


def test_ids_are_shown_as_texts() -> None:
    """A whole number is one, as promotion takes it; anything else is not shown."""
    ids = [5, 5.0, -5.0, 1.5, True, "5", 2**60, 1e300, None, [5]]
    body = json.dumps({"batch": [{**GOOD, "userId": each} for each in ids]}).encode()

    shown = [each.body.user_id for each in events_of(outline_batch(body))]

    assert ["5", "5", "-5", None, None, "5", None, None, None, None] == shown
