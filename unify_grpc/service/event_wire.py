"""Events between their wire form and the service's own. Struct and JSON give the same result."""

from __future__ import annotations

import math
import uuid
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from unify_grpc.identity.events import DEPTH_MAX, ClientEvent
from unify_grpc.identity.outcomes import RejectionReason
from unify_grpc.machines.batch import Body
from unify_grpc.service.arrivals import Incoming
from unify_grpc.service.refused_event import Unreadable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from google.protobuf.struct_pb2 import Struct, Value
    from google.protobuf.timestamp_pb2 import Timestamp

    from unify_grpc._pb.unify.v1.event_pb2 import Event
    from unify_grpc.machines.framing import Framed
    from unify_grpc.service.plain_events import PlainFraming

EVENT_BYTES_MAX = 32 * 1024
"""Of traits, properties and context together, as JSON; and of the ids and the name together."""
STRUCT_DEPTH_MAX = 16
"""Deeper than any event may be: what lies below need not be read to refuse it."""
INTEGRAL_MAX = 2.0**53
_NANOS_MAX = 999_999_999
_SECONDS_MAX = 253_402_300_799

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


class WireEvents:
    """The events of one request over gRPC."""

    def __init__(self, wires: Sequence[Event], source: int, stream: int) -> None:
        """Takes them with the number of the source that sent them, and their stream."""
        self._wires = wires
        self._source = source
        self._stream = stream
        self._read: dict[int, Incoming | Unreadable] = {}

    def __len__(self) -> int:
        """Returns how many there are."""
        return len(self._wires)

    def frame(self, index: int, framing: PlainFraming, stamp_us: int) -> Framed | None:
        """Frames an event that is plain."""
        return framing.frame(self._wires[index], stamp_us, self._source, self._stream)

    def read(self, index: int) -> Incoming | Unreadable:
        """Reads an event whole."""
        known = self._read.get(index)
        if known is None:
            known = self._read[index] = event_from_wire(self._wires[index])
        return known


def event_from_wire(wire: Event) -> Incoming | Unreadable:
    """Reads one event; returns what is left of it, and why, if it cannot be read."""
    try:
        traits, traits_json = _payload(wire, "traits", wire.traits_json)
        properties, properties_json = _payload(wire, "properties", wire.properties_json)
        context, context_json = _payload(wire, "context", wire.context_json)
    except (RecursionError, _TooDeepError):
        return _unreadable(wire, RejectionReason.TOO_DEEP)
    except (msgspec.DecodeError, UnicodeError, ValueError):
        return _unreadable(wire, RejectionReason.INVALID_JSON)
    if len(traits_json) + len(properties_json) + len(context_json) > EVENT_BYTES_MAX:
        return _unreadable(wire, RejectionReason.EVENT_TOO_LARGE)
    ids = _ids(wire)
    if _ids_bytes(wire, ids) > EVENT_BYTES_MAX:
        return _unreadable(wire, RejectionReason.EVENT_TOO_LARGE)
    try:
        timestamp_us = _time_us(wire.timestamp) if wire.HasField("timestamp") else None
        original_us = (
            _time_us(wire.original_timestamp) if wire.HasField("original_timestamp") else None
        )
        sent_us = _time_us(wire.sent_at) if wire.HasField("sent_at") else None
    except ValueError:
        return _unreadable(wire, RejectionReason.INVALID_TIMESTAMP)
    event = ClientEvent(
        type=wire.type,
        message_id=wire.message_id,
        user_id=ids.user_id,
        anonymous_id=ids.anonymous_id,
        group_id=ids.group_id,
        previous_id=ids.previous_id,
        name=wire.name or None,
        timestamp_us=timestamp_us,
        original_timestamp_us=original_us,
        sent_at_us=sent_us,
        traits=traits,
        properties=properties,
        context=context,
        external_ids=ids.external_ids,
        is_shallow=(
            _is_shallow(traits_json) and _is_shallow(properties_json) and _is_shallow(context_json)
        ),
    )
    client_us = original_us if original_us is not None else timestamp_us
    payloads = (traits_json, properties_json, context_json)
    return Incoming(event, _body(wire, ids, payloads, client_us, sent_us))


def _unreadable(wire: Event, reason: RejectionReason) -> Unreadable:
    """Returns what can be kept of an event that cannot be read: JSON as sent, even broken."""
    payloads: list[bytes] = []
    omitted: list[str] = []
    for name in ("traits", "properties", "context"):
        text = getattr(wire, name + "_json")
        if not text and wire.HasField(name):
            try:
                text = _encode(_struct(getattr(wire, name), 1))
            except (RecursionError, _TooDeepError, UnicodeError, ValueError):
                omitted.append(name)
        payloads.append(text)
    traits, properties, context = payloads
    body = _body(wire, _ids(wire), (traits, properties, context), None, None)
    body.message_id = body.message_id or str(uuid.uuid4())
    return Unreadable(reason, wire.type, body, tuple(omitted))


class _Ids(NamedTuple):
    """The ids of an event; None is absent."""

    user_id: str | None
    anonymous_id: str | None
    group_id: str | None
    previous_id: str | None
    external_ids: list[Any] | None


def _ids(wire: Event) -> _Ids:
    return _Ids(
        wire.user_id if wire.HasField("user_id") else None,
        wire.anonymous_id if wire.HasField("anonymous_id") else None,
        wire.group_id if wire.HasField("group_id") else None,
        wire.previous_id if wire.HasField("previous_id") else None,
        list(wire.external_ids) if wire.external_ids else None,
    )


def _ids_bytes(wire: Event, ids: _Ids) -> int:
    """Returns about how much of an event is not in its payloads."""
    size = len(wire.name) + sum([len(each) for each in ids[:4] if each is not None])
    if ids.external_ids:
        size += sum([each.ByteSize() for each in ids.external_ids])
    return size


def _body(
    wire: Event,
    ids: _Ids,
    payloads: tuple[bytes, bytes, bytes],
    client_us: int | None,
    sent_us: int | None,
) -> Body:
    """Returns an event as it is stored; `payloads` are traits, properties and context."""
    user_id, anonymous_id, group_id, previous_id, external_ids = ids
    return Body(
        wire.message_id,
        wire.name,
        *payloads,
        _external_ids_json(external_ids) if external_ids else b"",
        user_id,
        anonymous_id,
        group_id,
        previous_id,
        client_us,
        sent_us,
    )


class _TooDeepError(Exception):
    """A Struct goes deeper than any event may."""


def _payload(wire: Event, name: str, text: bytes) -> tuple[dict[str, Any] | None, bytes]:
    """Returns one of an event's objects, parsed and as JSON text."""
    if text:
        if len(text) > EVENT_BYTES_MAX:
            return None, text
        parsed = _decode(text)
        if not isinstance(parsed, dict):
            raise ValueError(name)
        return parsed, text
    if not wire.HasField(name):
        return None, b""
    parsed = _struct(getattr(wire, name), 1)
    return parsed, _encode(parsed)


def _struct(struct: Struct, depth: int) -> dict[str, Any]:
    if depth > STRUCT_DEPTH_MAX:
        raise _TooDeepError
    return {key: _value(value, depth) for key, value in struct.fields.items()}


def _value(value: Value, depth: int) -> Any:
    kind = value.WhichOneof("kind")
    if kind == "string_value":
        return value.string_value
    if kind == "number_value":
        return _number(value.number_value)
    if kind == "bool_value":
        return value.bool_value
    if kind == "struct_value":
        return _struct(value.struct_value, depth + 1)
    if kind == "list_value":
        if depth >= STRUCT_DEPTH_MAX:
            raise _TooDeepError
        return [_value(each, depth + 1) for each in value.list_value.values]
    return None


def _number(number: float) -> int | float:
    """JSON has no NaN, and a Struct no integers: 5.0 is the 5 of JSON."""
    if not math.isfinite(number):
        raise ValueError
    return int(number) if number.is_integer() and abs(number) < INTEGRAL_MAX else number


def _time_us(time: Timestamp) -> int:
    if not (0 <= time.nanos <= _NANOS_MAX and -_SECONDS_MAX <= time.seconds <= _SECONDS_MAX):
        raise ValueError
    return time.seconds * 1_000_000 + time.nanos // 1000


def _is_shallow(text: bytes) -> bool:
    """Whether JSON text opens too few brackets to be too deep: cheaper than walking through it."""
    return text.count(b"{") + text.count(b"[") <= DEPTH_MAX


def _external_ids_json(external_ids: list[Any]) -> bytes:
    return _encode(
        [
            {
                "id": each.id,
                "type": each.type,
                "collection": each.collection,
                "encoding": each.encoding,
            }
            for each in external_ids
        ]
    )
