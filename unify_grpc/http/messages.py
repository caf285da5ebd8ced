"""Segment messages, as the Tracking API takes them, on their way to the `Ingestor`.

One event's fault is that event's: a body is refused whole only if its outline cannot be read.
Objects are kept as the text that was sent, and so is what events have no field for.
"""

from __future__ import annotations

import contextlib
import uuid
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from unify_grpc.http.refusals import BatchTooLongError, BodyTooLargeError, JsonInvalidError
from unify_grpc.http.splitting import NotSplitError, TooManyPartsError, split_array, split_object
from unify_grpc.identity.events import DEPTH_MAX, from_segment_message
from unify_grpc.identity.outcomes import EventRejected, RejectionReason
from unify_grpc.machines.batch import Body, FullBody
from unify_grpc.service.arrivals import Incoming
from unify_grpc.service.refused_event import Unreadable

if TYPE_CHECKING:
    from collections.abc import Mapping

EVENT_BYTES_MAX: Final = 32 * 1024
"""As sent, a batch's context included."""
BATCH_EVENTS_MAX: Final = 2500
SHARED_BYTES_MAX: Final = 4 << 20
"""What a batch says of all its events, as often as it has events: as much as over gRPC."""
INTEGRAL_MAX: Final = 2.0**53
PAYLOADS: Final = ("traits", "properties", "context")

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode
_NULL: Final = b"null"
NO_OBJECT: Final = frozenset({b"", _NULL, b"[]"})
_NOTHING: Final = msgspec.Raw()
_UNREADABLE: Final = (msgspec.DecodeError, UnicodeError, ValueError, RecursionError)
"""What msgspec raises of texts that are no JSON, or none that it can hold."""


class Message(msgspec.Struct, rename="camel"):
    """One event as it was sent; its other keys are in `_rest`."""

    type: Any = None
    message_id: Any = None
    user_id: Any = None
    anonymous_id: Any = None
    group_id: Any = None
    previous_id: Any = None
    event: Any = None
    name: Any = None
    timestamp: Any = None
    original_timestamp: Any = None
    sent_at: Any = None
    write_key: Any = None
    traits: msgspec.Raw = _NOTHING
    properties: msgspec.Raw = _NOTHING
    context: msgspec.Raw = _NOTHING


class _Batch(msgspec.Struct, rename="camel"):
    """The outside of a batch."""

    batch: list[msgspec.Raw]
    context: msgspec.Raw = _NOTHING
    integrations: msgspec.Raw = _NOTHING
    sent_at: Any = None
    write_key: Any = None


_decode_message = msgspec.json.Decoder(Message).decode
_decode_batch = msgspec.json.Decoder(_Batch).decode
_decode_parts = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_KNOWN: Final = frozenset(each.encode_name for each in msgspec.structs.fields(Message))
_FIELDS: Final = {each.encode_name.encode(): each.name for each in msgspec.structs.fields(Message)}


class Call(NamedTuple):
    """The events of one request."""

    write_key: str
    """The key inside the body; empty if there is none."""
    events: list[Incoming | Unreadable]


class _Shared(NamedTuple):
    """What a batch says of all its events."""

    context: dict[str, msgspec.Raw]
    integrations: dict[str, msgspec.Raw]
    bytes_count: int
    """Of both."""
    sent_at: object


_ALONE: Final = _Shared({}, {}, 0, None)


def read_single(body: bytes, kind: str) -> Call:
    """Reads a call of one event, whose type is the route's.

    Raises:
        JsonInvalidError: the body is no JSON object.
    """
    try:
        message = _decode_message(body)
    except _UNREADABLE:
        raise JsonInvalidError from None
    message.type = kind
    return Call(_key_of(message.write_key), [_read(body, message, _ALONE)])


def read_batch(body: bytes) -> Call:
    """Reads a batch; its `context` and `sentAt` are those of every event that lacks them.

    Raises:
        JsonInvalidError: the body is no JSON object with a list `batch`, or its context no object.
        BatchTooLongError: over 2500 events.
        BodyTooLargeError: with what it says of all in each of its events it would be.
    """
    try:
        outside = _decode_batch(body)
        if len(outside.batch) > BATCH_EVENTS_MAX:
            raise BatchTooLongError
        texts: list[bytes] = [bytes(each) for each in outside.batch]
    except _UNREADABLE:
        outside, texts = _split(body)
    shared = _shared(outside)
    if shared.bytes_count * len(texts) > SHARED_BYTES_MAX:
        raise BodyTooLargeError("The batch's context is too large for as many events; send fewer.")
    return Call(_key_of(outside.write_key), [_read_item(text, shared) for text in texts])


def _split(body: bytes) -> tuple[_Batch, list[bytes]]:
    """Takes a batch apart in which something is wrong; refuses it if that is outside of events."""
    try:
        members = split_object(body)
        texts = _split_events(members.pop(b"batch", b""))
        inner = b",".join(b'"%s":%s' % each for each in members.items())
        return _decode_batch(b'{"batch":[]%s%s}' % (b"," if inner else b"", inner)), texts
    except (NotSplitError, *_UNREADABLE):
        raise JsonInvalidError from None


def _split_events(text: bytes) -> list[bytes]:
    try:
        return split_array(text, BATCH_EVENTS_MAX)
    except TooManyPartsError:
        raise BatchTooLongError from None


def _shared(outside: _Batch) -> _Shared:
    texts = [_text(outside.context), _text(outside.integrations)]
    try:
        context, integrations = (_parts(text) if text else {} for text in texts)
    except _UNREADABLE:
        raise JsonInvalidError from None
    return _Shared(context, integrations, sum(map(len, texts)), outside.sent_at)


def _read_item(text: bytes, shared: _Shared) -> Incoming | Unreadable:
    if len(text) + shared.bytes_count > EVENT_BYTES_MAX:
        return _unreadable(RejectionReason.EVENT_TOO_LARGE, Message(), PAYLOADS)
    try:
        message = _decode_message(text)
    except RecursionError:
        return _unreadable(RejectionReason.TOO_DEEP, *_salvage(text))
    except _UNREADABLE:
        return _unreadable(RejectionReason.INVALID_JSON, *_salvage(text))
    return _read(text, message, shared)


def _salvage(text: bytes) -> tuple[Message, tuple[str, ...]]:
    """Returns what can be read of a broken event, and the objects that cannot be told apart."""
    try:
        members = split_object(text)
    except NotSplitError:
        return Message(), PAYLOADS
    message = Message()
    for key, value in members.items():
        name = _FIELDS.get(key)
        if name in PAYLOADS:
            setattr(message, name, msgspec.Raw(value))
        elif name is not None:
            with contextlib.suppress(*_UNREADABLE):
                setattr(message, name, _decode(value))
    return message, ()


def _read(text: bytes, message: Message, shared: _Shared) -> Incoming | Unreadable:
    """Reads one event that is a JSON object, of that text."""
    texts = [_text(message.traits), _text(message.properties), _text(message.context)]
    try:
        if shared.context:
            texts[2] = _encode({**shared.context, **_parts(texts[2] or b"{}")})
        payloads = [_decode(each) if each else None for each in texts]
        rest = _rest(text, shared.integrations)
        event = from_segment_message(_as_sent(message, payloads, shared.sent_at))
    except EventRejected as rejected:
        return _unreadable(rejected.reason, message, ())
    except RecursionError:
        return _unreadable(RejectionReason.TOO_DEEP, message, ())
    except _UNREADABLE:
        return _unreadable(RejectionReason.INVALID_JSON, message, ())
    event.is_shallow = all(map(_is_shallow, texts))
    original_us = event.original_timestamp_us
    body = FullBody(
        event.message_id,
        event.name or "",
        b"" if event.traits is None else texts[0],
        b"" if event.properties is None else texts[1],
        b"" if event.context is None else texts[2],
        b"",
        *_ids(message),
        event.timestamp_us if original_us is None else original_us,
        event.sent_at_us,
        rest,
    )
    return Incoming(event, body)


def _rest(text: bytes, integrations: dict[str, msgspec.Raw]) -> bytes:
    """Returns what events have no field for; of a batch's `integrations` the own keys win.

    Raises what `_UNREADABLE` names.
    """
    rest = {key: value for key, value in _decode_parts(text).items() if key not in _KNOWN}
    if integrations:
        own = bytes(rest.get("integrations", _NOTHING))
        if own in NO_OBJECT or own.startswith(b"{"):
            merged = {**integrations, **(_parts(own) if own.startswith(b"{") else {})}
            rest["integrations"] = msgspec.Raw(_encode(merged))
    kept = _encode(rest) if rest else b""
    if not kept.isascii():
        kept.decode()  # nobody has looked into the values yet, and text has to be UTF-8
    return kept


def _as_sent(message: Message, payloads: list[Any], sent_at: object) -> Mapping[str, Any]:
    """Returns a message by the names of its keys."""
    traits, properties, context = payloads
    return {
        "type": message.type,
        "messageId": message.message_id,
        "userId": message.user_id,
        "anonymousId": message.anonymous_id,
        "groupId": message.group_id,
        "previousId": message.previous_id,
        "event": message.event,
        "name": message.name,
        "timestamp": message.timestamp,
        "originalTimestamp": message.original_timestamp,
        "sentAt": sent_at if message.sent_at is None else message.sent_at,
        "traits": traits,
        "properties": properties,
        "context": context,
    }


def _unreadable(reason: RejectionReason, message: Message, omitted: tuple[str, ...]) -> Unreadable:
    """Returns what can be kept of an event that is refused before anybody looks at its ids."""
    message_id = message.message_id
    name = message.name if message.event is None else message.event
    body = Body(
        message_id if isinstance(message_id, str) and message_id else str(uuid.uuid4()),
        name if isinstance(name, str) else "",
        _text(message.traits),
        _text(message.properties),
        _text(message.context),
        b"",
        *_ids(message),
    )
    return Unreadable(reason, message.type if isinstance(message.type, str) else "", body, omitted)


def _ids(message: Message) -> tuple[str | None, str | None, str | None, str | None]:
    return (
        _id(message.user_id),
        _id(message.anonymous_id),
        _id(message.group_id),
        _id(message.previous_id),
    )


def _id(value: object) -> str | None:
    """Returns an id as it is shown: a text, or a whole number as one."""
    if isinstance(value, str):
        return value
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return None
    return str(int(value)) if abs(value) < INTEGRAL_MAX and value == int(value) else None


def _key_of(value: object) -> str:
    return value if isinstance(value, str) else ""


def _text(raw: msgspec.Raw) -> bytes:
    """Returns an object's text; empty if it is absent or null."""
    text = bytes(raw)
    return b"" if text == _NULL else text


def _parts(text: bytes) -> dict[str, msgspec.Raw]:
    """Returns the members of an object; an empty array stands for an empty one."""
    if text.startswith(b"[") and not text[1:-1].strip():
        return {}
    parts: dict[str, msgspec.Raw] = _decode_parts(text)
    return parts


def _is_shallow(text: bytes) -> bool:
    """Whether JSON text opens too few brackets for anything in it to be too deep."""
    return text.count(b"{") + text.count(b"[") <= DEPTH_MAX
