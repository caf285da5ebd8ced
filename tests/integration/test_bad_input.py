"""Bad input over gRPC: its own clear answer for each, and nothing else suffers."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from google.protobuf.struct_pb2 import Struct
from google.protobuf.timestamp_pb2 import Timestamp
from unify_client import Event as WireEvent
from unify_client import UnifyClient

from tests.integration.service import ACCESS_TOKEN, ADMIN_TOKEN, WRITE_KEY
from unify_grpc._pb.unify.v1 import (
    identity_pb2,
    ingest_service_pb2,
    ingest_service_pb2_grpc,
    space_service_pb2,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.service import Service

pytestmark = pytest.mark.ray

INGEST = "/unify.v1.IngestService/Ingest"


@pytest.fixture(scope="module")
def channel(service: Service) -> Iterator[grpc.Channel]:
    """A raw channel to the service."""
    with grpc.insecure_channel(service.address) as opened:
        yield opened


def ingest(channel: grpc.Channel, *events: WireEvent, key: str = WRITE_KEY) -> list[Any]:
    """Sends events as one batch and returns their results."""
    stub = ingest_service_pb2_grpc.IngestServiceStub(channel)
    request = ingest_service_pb2.IngestRequest(events=events)
    metadata = (("authorization", f"Bearer {key}"),)
    return list(stub.Ingest(request, metadata=metadata, timeout=10).results)


def good(message_id: str) -> WireEvent:
    """An event that nothing is wrong with."""
    return WireEvent(type="track", name="Seen", user_id=f"good-{message_id}", message_id=message_id)


def track(**fields: Any) -> WireEvent:
    """A track of one user with something special about it."""
    return WireEvent(**{"type": "track", "name": "Seen", "user_id": "bad-1", **fields})


def nested(depth: int) -> bytes:
    """JSON of objects inside one another."""
    return b'{"a":' * depth + b"1" + b"}" * depth


def struct_of(depth: int) -> Struct:
    """A Struct of Structs inside one another."""
    struct = Struct()
    inner = struct
    for _ in range(depth - 1):
        inner = inner.fields["a"].struct_value
    inner.fields["a"].number_value = 1
    return struct


def not_a_number() -> Struct:
    """A Struct with a number that JSON does not have."""
    struct = Struct()
    struct.fields["a"].number_value = float("nan")
    return struct


MANY = b"{" + b",".join(b'"t%d":1' % number for number in range(301)) + b"}"
REJECTED = {
    "an unknown type": (track(type="purchase"), "UNKNOWN_TYPE"),
    "no type": (track(type=""), "UNKNOWN_TYPE"),
    "no identifier": (WireEvent(type="track", name="Seen"), "NO_IDENTIFIER"),
    "a blocked identifier only": (
        WireEvent(type="track", name="Seen", user_id="null"),
        "NO_IDENTIFIER",
    ),
    "301 traits": (track(type="identify", traits_json=MANY), "TOO_MANY_TRAITS"),
    "301 properties": (track(properties_json=MANY), "TOO_MANY_PROPERTIES"),
    "33 KB": (track(properties_json=b'{"a":"' + b"x" * 33 * 1024 + b'"}'), "EVENT_TOO_LARGE"),
    "a message id of 101 characters": (track(message_id="m" * 101), "INVALID_MESSAGE_ID"),
    "NaN in JSON": (track(properties_json=b'{"a":NaN}'), "INVALID_JSON"),
    "NaN in a Struct": (track(properties=not_a_number()), "INVALID_JSON"),
    "an unpaired surrogate": (track(properties_json=b'{"a":"\\ud800"}'), "INVALID_JSON"),
    "an unpaired surrogate in a key": (track(properties_json=b'{"\\udc00":1}'), "INVALID_JSON"),
    "broken UTF-8": (track(properties_json=b'{"a":"\xff"}'), "INVALID_JSON"),
    "half an object": (track(properties_json=b'{"a":1'), "INVALID_JSON"),
    "an array": (track(properties_json=b"[1]"), "INVALID_JSON"),
    "depth 9": (track(properties_json=nested(9)), "TOO_DEEP"),
    "depth 9 in a Struct": (track(properties=struct_of(9)), "TOO_DEEP"),
    "depth 15,000": (track(properties_json=b"[" * 15_000), "TOO_DEEP"),
    "1969": (track(timestamp=Timestamp(seconds=-1)), "INVALID_TIMESTAMP"),
    "an unreadable time": (track(timestamp=Timestamp(nanos=-1)), "INVALID_TIMESTAMP"),
    "a track without a name": (track(name=""), "MISSING_EVENT_NAME"),
    "a group without a group id": (track(type="group"), "MISSING_GROUP_ID"),
    "an empty group id": (track(type="group", group_id=""), "INVALID_GROUP_ID"),
    "a group id of 501 characters": (track(type="group", group_id="g" * 501), "INVALID_GROUP_ID"),
    "an alias without a previous id": (track(type="alias"), "MISSING_PREVIOUS_ID"),
}


@pytest.mark.parametrize("what", REJECTED)
def test_a_bad_event_is_refused_by_itself(what: str, channel: grpc.Channel) -> None:
    """Between two good events a bad one gets its own reason, and both good ones are stored."""
    event, reason = REJECTED[what]
    label = what.replace(" ", "-")
    before, refused, after = ingest(channel, good(label + "-1"), event, good(label + "-2"))

    assert ingest_service_pb2.EVENT_STATUS_REJECTED == refused.status
    assert reason == _reason(refused)
    assert refused.reason_text
    stored = {ingest_service_pb2.EVENT_STATUS_STORED}
    assert stored == {before.status, after.status}
    assert before.segment_id
    assert after.segment_id


def _reason(result: Any) -> str:
    enum = result.DESCRIPTOR.fields_by_name["reason"].enum_type
    name: str = enum.values_by_number[result.reason].name
    return name.removeprefix("REJECTION_REASON_")


POISON = {
    "a message id of 100 wide characters": track(
        user_id="wide-1", anonymous_id="wide-2", message_id="訂單" * 50
    ),
    "the same with one identifier": track(user_id="wide-3", message_id="日" * 100),
    "values and types as long as they may be": WireEvent(
        type="identify",
        user_id="é" * 128,
        anonymous_id="日" * 85,
        traits_json=b'{"email":"x@example.com"}',
    ),
    "a group id of 500 wide characters": WireEvent(
        type="group", user_id="wide-4", group_id="日" * 500
    ),
    "duplicate keys in context": WireEvent(
        type="identify",
        user_id="twice-1",
        anonymous_id="twice-2",
        context_json=b'{"traits":5,"traits":{"a":1}}',
    ),
    "duplicate traits": WireEvent(
        type="identify", user_id="twice-3", traits_json=b'{"a":{"b":1},"a":2}'
    ),
    "numbers at their edges": WireEvent(
        type="identify",
        user_id="edge-1",
        traits_json=b'{"a":1e308,"b":-0.0,"c":123456789012345678901234567890,"d":1e-400}',
    ),
}


@pytest.mark.parametrize("what", POISON)
def test_a_legal_event_at_the_edge_harms_nobody(what: str, channel: grpc.Channel) -> None:
    """An event that is allowed is stored and resolved, and so is everything after it."""
    label = "poison-" + what.replace(" ", "-")
    result, after = ingest(channel, POISON[what], good(label))

    assert ingest_service_pb2.EVENT_STATUS_REJECTED != result.status
    assert identity_pb2.OUTCOME_PENDING != result.outcome
    assert after.segment_id
    again = ingest(channel, WireEvent(type="identify", user_id=label, anonymous_id=label))
    assert again[0].segment_id


@pytest.mark.parametrize(
    "event",
    [
        track(anonymous_id="x" * 40_000),
        track(previous_id="x" * 40_000),
        WireEvent(
            type="track",
            name="Seen",
            user_id="bad-1",
            external_ids=[
                {"id": "x" * 100, "type": "t", "collection": "nobody", "encoding": "none"}
            ]
            * 400,
        ),
    ],
)
def test_ids_count_towards_the_size_of_an_event(event: WireEvent, channel: grpc.Channel) -> None:
    """Nothing that is stored escapes the bound of 32 KB."""
    assert "EVENT_TOO_LARGE" == _reason(ingest(channel, event)[0])


def test_a_future_time_is_the_time_of_receipt(service: Service, channel: grpc.Channel) -> None:
    """A timestamp later than receipt is taken as the moment of receipt."""
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    when = Timestamp()
    when.FromDatetime(tomorrow)
    event = track(user_id="future-1", message_id="future-1", timestamp=when)

    assert ingest_service_pb2.EVENT_STATUS_STORED == ingest(channel, event)[0].status
    with UnifyClient(service.address, key=ACCESS_TOKEN) as reader:
        listed = next(iter(reader.list_events("user_id:future-1")))
    assert listed.received_time == listed.timestamp
    assert listed.timestamp < tomorrow


def test_struct_and_json_give_the_same_profile(service: Service, channel: grpc.Channel) -> None:
    """Both encodings of one event give the same traits and the same identifiers."""
    struct = Struct()
    struct.update({"email": "Same@example.com", "count": 5, "nested": {"list": [1, True, None]}})
    json = b'{"email":"Same@example.com","count":5,"nested":{"list":[1,true,null]}}'
    ingest(channel, WireEvent(type="identify", user_id="form-1", traits=struct))
    ingest(channel, WireEvent(type="identify", user_id="form-2", traits_json=json))

    with UnifyClient(service.address, key=ACCESS_TOKEN) as reader:
        first = reader.get_profile("user_id:form-1")
        second = reader.get_profile("user_id:form-2")
    assert {t.name: t.value for t in first.traits} == {t.name: t.value for t in second.traits}
    assert "email" in {each.type for each in first.external_ids}


def call_raw(channel: grpc.Channel, method: str, data: bytes, key: str | None) -> grpc.RpcError:
    """Calls a method with bytes and returns its refusal."""
    call: Any = channel.unary_unary(method)
    metadata = (("authorization", key),) if key is not None else ()
    with pytest.raises(grpc.RpcError) as caught:
        call(data, metadata=metadata, timeout=10)
    return caught.value


def test_a_malformed_message_is_an_invalid_argument(channel: grpc.Channel) -> None:
    """Bytes that are no request are refused with a fixed text, without class names."""
    error = call_raw(channel, INGEST, b"\xff\xff\xff", f"Bearer {WRITE_KEY}")

    assert grpc.StatusCode.INVALID_ARGUMENT == error.code()
    assert "not of the method's request type" in (error.details() or "")
    assert "Error" not in (error.details() or "")


@pytest.mark.parametrize("key", [None, "Bearer nobody", "Basic %%%", "Digest x", "Bearer "])
def test_a_wrong_key_is_unauthenticated(key: str | None, channel: grpc.Channel) -> None:
    """Without a known key nothing is said but that."""
    error = call_raw(channel, INGEST, b"", key)

    assert grpc.StatusCode.UNAUTHENTICATED == error.code()


@pytest.mark.parametrize(
    ("method", "key"),
    [
        (INGEST, ACCESS_TOKEN),
        (INGEST, ADMIN_TOKEN),
        ("/unify.v1.ProfileService/GetProfile", WRITE_KEY),
        ("/unify.v1.SpaceService/CreateSpace", WRITE_KEY),
        ("/unify.v1.SpaceService/CreateSpace", ACCESS_TOKEN),
        ("/unify.v1.OperationsService/GetStatus", WRITE_KEY),
    ],
)
def test_a_wrong_scope_is_denied(method: str, key: str, channel: grpc.Channel) -> None:
    """A known key that is not for this call is told so."""
    error = call_raw(channel, method, b"", f"Bearer {key}")

    assert grpc.StatusCode.PERMISSION_DENIED == error.code()


def test_a_method_of_a_later_version_is_unimplemented(channel: grpc.Channel) -> None:
    """What is described and not built says so, after the credential was checked."""
    method = "/unify.v1.SpaceService/RehearseRules"
    data = space_service_pb2.RehearseRulesRequest().SerializeToString()

    unknown = call_raw(channel, method, data, "Bearer nobody")
    assert grpc.StatusCode.UNAUTHENTICATED == unknown.code()
    error = call_raw(channel, method, data, f"Bearer {ACCESS_TOKEN}")
    assert grpc.StatusCode.UNIMPLEMENTED == error.code()


def test_a_request_above_the_limit_is_refused(channel: grpc.Channel) -> None:
    """More than 4 MB a message is refused, and the server goes on."""
    events = [track(properties_json=b'{"a":"' + b"x" * 30_000 + b'"}') for _ in range(150)]
    with pytest.raises(grpc.RpcError) as caught:
        ingest(channel, *events)

    assert grpc.StatusCode.RESOURCE_EXHAUSTED == caught.value.code()
    assert ingest(channel, good(f"after-{time.monotonic_ns()}"))[0].segment_id


def test_no_identifier_or_trait_value_is_ever_logged(
    service: Service, channel: grpc.Channel
) -> None:
    """A canary sent as identifier, trait, property, key and name shows up in no log line."""
    canary = "canary-5e2f"
    ingest(
        channel,
        WireEvent(
            type="identify",
            user_id=canary,
            traits_json=b'{"email":"%s@example.com"}' % canary.encode(),
        ),
        track(user_id=canary, properties_json=b'{"p":"%s' % canary.encode()),
    )
    call_raw(channel, INGEST, canary.encode(), f"Bearer {WRITE_KEY}")
    call_raw(channel, INGEST, b"", f"Bearer {canary}")
    with UnifyClient(service.address, key=ACCESS_TOKEN) as reader:
        reader.get_profile(f"user_id:{canary}")

    assert canary not in service.log()
    logs = [path.read_text() for path in service.data_dir.glob("*/actor.log")]
    assert len(logs) == 5
    assert not [text for text in logs if canary in text]
