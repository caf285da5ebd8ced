"""Batches and what they say of all their events."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import msgspec
import pytest

from tests.unit.http.tracking_edge import TrackingEdge, fault
from unify_grpc.http.messages import (
    BATCH_EVENTS_MAX,
    SHARED_BYTES_MAX,
    events_of,
    outline_batch,
    outline_single,
)
from unify_grpc.http.refusals import JsonInvalidError
from unify_grpc.http.tracking_routes import EVENTS_AT_ONCE, _read
from unify_grpc.machines.batch import FullBody
from unify_grpc.service.arrivals import Incoming

EVENT = {"type": "track", "userId": "u", "event": "E", "messageId": "m"}


def incoming(**batch: Any) -> Incoming:
    """Returns the first event of a batch."""
    (first, *_) = events_of(outline_batch(json.dumps({"batch": [EVENT], **batch}).encode()))
    assert isinstance(first, Incoming)
    return first


@pytest.mark.parametrize(
    ("own", "outer", "merged"),
    [
        ({"a": 1}, {"a": 2, "b": 3}, {"a": 1, "b": 3}),
        ({"a": {"x": 1}}, {"a": {"y": 2}}, {"a": {"x": 1}}),
        ({"a": None}, {"a": 2}, {"a": None}),
        (None, {"a": 1}, {"a": 1}),
        ([], {"a": 1}, {"a": 1}),
        ({}, {"a": 1}, {"a": 1}),
        ({"a": 1}, {}, {"a": 1}),
        ({"a": 1}, [], {"a": 1}),
        ({"a": 1}, None, {"a": 1}),
    ],
)
def test_a_batchs_context_is_that_of_events_that_do_not_say_otherwise(
    own: object, outer: object, merged: dict[str, Any]
) -> None:
    """Key by key; the event's own keys win. PHP writes an empty object as an empty array."""
    event, body = incoming(batch=[{**EVENT, "context": own}], context=outer)

    assert merged == event.context
    assert merged == json.loads(body.context)


@pytest.mark.parametrize("value", [5, "a", [1], True])
@pytest.mark.parametrize("name", ["context", "integrations"])
def test_a_batch_whose_context_is_no_object_is_refused(name: str, value: object) -> None:
    """It would be every event's fault."""
    with pytest.raises(JsonInvalidError):
        outline_batch(json.dumps({"batch": [EVENT], name: value}).encode())


async def test_identifiers_in_the_batchs_context_are_every_events() -> None:
    """A device that is named once."""
    edge = TrackingEdge()
    device = {"device": {"id": "d1", "type": "ios"}}
    events = [{**EVENT, "userId": None, "messageId": f"m{at}"} for at in range(2)]

    await edge.post("/v1/batch", {"batch": events, "context": device, "integrations": {"A": False}})

    assert ["m0", "m1"] == edge.events("ios.id:d1")


async def test_many_events_hold_so_much_of_their_batchs_context() -> None:
    """A body of a hundred kilobytes could become a hundred megabytes; what is over is refused."""
    context = {"a": "x" * 30_000}
    edge = TrackingEdge()
    fitting = SHARED_BYTES_MAX // len(json.dumps(context))

    await edge.post("/v1/batch", {"batch": [EVENT] * (fitting + 3), "context": context})

    assert ["EVENT_TOO_LARGE"] * 3 == edge.reasons()
    assert context == edge.context("m")


async def test_a_context_as_sdks_have_it_is_no_fault_of_a_full_batch() -> None:
    """Two kilobytes, in each of as many events as a batch may have."""
    edge = TrackingEdge()
    events = [{**EVENT, "messageId": f"m{at}"} for at in range(BATCH_EVENTS_MAX)]

    answer = await edge.post("/v1/batch", {"batch": events, "context": {"a": "x" * 2000}})

    assert (200, []) == (answer.status_code, edge.reasons())
    assert BATCH_EVENTS_MAX == len(edge.backend.stored)


def test_a_batchs_context_is_read_once() -> None:
    """Not once for each event: half a kilobyte, sent compressed, could keep everybody waiting."""
    body = json.dumps({"batch": [{}] * 3, "context": {"a": {"b": 1}}}).encode()

    read = [each for each in events_of(outline_batch(body)) if isinstance(each, Incoming)]

    assert 3 == len(read)
    assert 1 == len({id(each.event.context) for each in read})


async def test_others_have_their_turns_while_a_batch_is_read() -> None:
    """A full batch takes a tenth of a second."""
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count())
    events = await _read(outline_batch(json.dumps({"batch": [{}] * 500}).encode()))
    counting.cancel()

    assert 500 == len(events)
    assert turns >= 500 // EVENTS_AT_ONCE


@pytest.mark.parametrize(
    ("kind", "kept"),
    [
        ("track", {"name": "N"}),
        ("page", {"event": "E"}),
        ("screen", {"event": "E"}),
        ("identify", {"event": "E"}),
    ],
)
def test_the_name_that_a_type_does_not_use_is_kept_beside_it(
    kind: str, kept: dict[str, str]
) -> None:
    """Tracks go by `event`, all others by `name`."""
    body = json.dumps({**EVENT, "event": "E", "name": "N"}).encode()

    (event,) = events_of(outline_single(body, kind))

    assert isinstance(event.body, FullBody)
    assert kept == json.loads(event.body.rest)


async def test_a_context_that_is_too_deep_is_every_events_fault() -> None:
    """Each is refused by itself."""
    edge = TrackingEdge()
    deep: Any = {}
    for _ in range(9):
        deep = {"a": deep}

    await edge.post("/v1/batch", {"batch": [EVENT, EVENT], "context": deep})

    assert ["TOO_DEEP"] * 2 == edge.reasons()


def test_objects_are_kept_as_they_were_sent() -> None:
    """To the byte: numbers that no machine holds, keys that come twice, blanks."""
    text = b'{ "a" : 1.0000000000000000000001, "b":1E2, "b": 123456789012345678901234567890 }'
    body = b'{"type":"identify","userId":"u","traits":%s,"properties":%s,"context":%s}'

    (single,) = events_of(outline_single(body % (text, text, text), "identify"))
    (item,) = events_of(outline_batch(b'{"batch":[%s]}' % (body % (text, text, text))))

    for each in (single, item):
        assert [text] * 3 == [each.body.traits, each.body.properties, each.body.context]


@pytest.mark.parametrize(
    ("own", "outer", "kept"),
    [
        ({"A": False}, {"A": True, "B": True}, {"A": False, "B": True}),
        (None, {"B": True}, {"B": True}),
        ([], {"B": True}, {"B": True}),
        ({"A": {"x": 1}}, None, {"A": {"x": 1}}),
        (5, {"B": True}, 5),
    ],
)
def test_integrations_are_kept_with_those_of_the_batch(
    own: object, outer: object, kept: object
) -> None:
    """Key by key, the event's own keys win; what is none of them stays as it is."""
    _, body = incoming(batch=[{**EVENT, "integrations": own}], integrations=outer)

    assert isinstance(body, FullBody)
    assert {"integrations": kept} == json.loads(body.rest)


async def test_what_events_have_no_field_for_is_stored_with_them() -> None:
    """As it was sent, all but the key, of single events and in batches; readers need not know."""
    edge = TrackingEdge()
    more = {"_metadata": {"nodeVersion": "20"}, "channel": "server", "category": "Docs"}

    page = {key: value for key, value in EVENT.items() if key != "event"}
    await edge.post("/v1/page", {**page, **more, "writeKey": "k", "messageId": "m0"})
    await edge.post("/v1/batch", {"batch": [{**EVENT, **more, "messageId": "m1"}, EVENT]})

    found = [
        msgspec.msgpack.decode(edge.backend.packed[name], type=FullBody)
        for name in ("m0", "m1", "m")
    ]
    assert [more, more] == [json.loads(each.rest) for each in found[:2]]
    assert b"" == found[2].rest
    assert ["m0", "m1", "m"] == [each.message_id for each in found]


def test_an_absent_object_is_not_kept() -> None:
    """Nor one that is null, or an empty array."""
    absent: list[Any] = [None, []]
    for value in absent:
        _, body = incoming(batch=[{**EVENT, "traits": value, "properties": value}])

        assert (b"", b"", b"") == (body.traits, body.properties, body.context)


def test_the_route_says_the_type() -> None:
    """Whatever the body says."""
    (event,) = events_of(outline_single(json.dumps({**EVENT, "type": "alias"}).encode(), "track"))

    assert isinstance(event, Incoming)
    assert "track" == event.event.type


def test_a_page_has_a_name_and_a_track_an_event() -> None:
    """Neither takes the other's."""
    both = {"event": "E", "name": "N", "userId": "u"}

    shown = [
        incoming(batch=[{**both, "type": kind}]).body.name
        for kind in ("track", "page", "screen", "identify")
    ]

    assert ["E", "N", "N", "N"] == shown


async def test_an_event_that_identifies_nobody_is_answered_as_segment_does() -> None:
    """200, for the batch was taken; it is among the violations, and `strict` says so."""
    edge = TrackingEdge()
    nobody = {"type": "track", "event": "E", "messageId": "m"}

    plain = await edge.post("/v1/track", nobody)
    strict = await edge.post("/v1/track?strict=1", nobody)

    assert (200, {"success": True}) == (plain.status_code, plain.json())
    assert 200 == strict.status_code
    assert {
        "success": False,
        "results": [
            {
                "index": 0,
                "messageId": "m",
                "status": "REJECTED",
                "reason": "NO_IDENTIFIER",
                "message": "nothing in the event identifies anybody",
            }
        ],
    } == strict.json()
    assert ["NO_IDENTIFIER"] * 2 == edge.reasons()


@pytest.mark.parametrize("header", [{}, {"unify_strict": "1"}, {"unify_strict": "true"}])
@pytest.mark.parametrize("query", ["", "?strict=1", "?strict=true", "?strict=0", "?strict="])
async def test_strict_is_asked_for_by_query_or_header(header: dict[str, str], query: str) -> None:
    """And by nothing else."""
    answer = await TrackingEdge().post(f"/v1/batch{query}", {"batch": []}, **header)

    is_asked = query in {"?strict=1", "?strict=true"} or (header and query in {"", "?strict="})
    assert ({"success": True, "results": []} if is_asked else {"success": True}) == answer.json()


async def test_strict_tells_profiles_and_what_was_left_out() -> None:
    """Of each event in its place, by names that gRPC has too."""
    edge = TrackingEdge()
    group = {"type": "group", "userId": "u", "groupId": "g", "messageId": "m1"}
    blocked = {"type": "track", "event": "E", "userId": "u", "anonymousId": "null"}

    answer = await edge.post("/v1/batch?strict=1", {"batch": [group, blocked]})

    first, second = answer.json()["results"]
    assert {
        "index": 0,
        "messageId": "m1",
        "status": "STORED",
        "outcome": "CREATED",
        "segmentId": edge.segment_id("user_id:u"),
        "accountSegmentId": edge.segment_id("group_id:g", "accounts"),
    } == first
    assert [
        {"collection": "users", "type": "anonymous_id", "value": "null", "reason": "BLOCKED"}
    ] == second["drops"]
    assert len(second["messageId"]) > 30


async def test_a_key_that_is_no_text_is_none() -> None:
    """Anything but a string in `writeKey`."""
    keys: list[Any] = [5, True, None, [], {}]
    for each in keys:
        answer = await TrackingEdge().post("/v1/batch", {"batch": [], "writeKey": each}, key=None)

        assert (401, "credential_invalid") == fault(answer)
