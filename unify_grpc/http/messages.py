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
from unify_grpc.identity.events import DEPTH_MAX, TRACK, from_segment_message
from unify_grpc.identity.outcomes import EventRejected, RejectionReason
from unify_grpc.machines.batch import Body, FullBody
from unify_grpc.service.arrivals import Incoming
from unify_grpc.service.refused_event import Unreadable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

EVENT_BYTES_MAX: Final = 32 * 1024
"""As sent, without what is around it: a batch's context may be as much again."""
ENVELOPE_BYTES: Final = 4 * 1024
"""Of a body, beyond the bounds of its events: for its key, its time, its brackets."""
ENVELOPE: Final = frozenset({"writeKey", "sentAt"})
BATCH_EVENTS_MAX: Final = 2500
SHARED_BYTES_MAX: Final = 16 << 20
"""What a batch says of all its events, as often as it has events."""
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


class _Shared(NamedTuple):
    """What a batch says of all its events."""

    context: dict[str, msgspec.Raw]
    context_text: bytes
    """As the events have it that say nothing of their own; empty if it has no keys."""
    context_value: dict[str, Any]
    """The same, read once for all of them; nobody changes it."""
    fault: RejectionReason | None
    """Why it cannot be read, if so."""
    integrations: dict[str, msgspec.Raw]
    bytes_count: int
    """Of both."""
    sent_at: object


_ALONE: Final = _Shared({}, b"", {}, None, {}, 0, None)


class Outline(NamedTuple):
    """The outside of a call: enough to know who makes it and how much it is."""

    write_key: str
    """The key inside the body; empty if there is none."""
    texts: list[bytes]
    """Its events as they were sent."""
    shared: _Shared
    message: Message | None
    """The event of a call that is no batch."""


def outline_single(body: bytes, kind: str) -> Outline:
    """Reads the outside of a call of one event, whose type is the route's.

    Raises:
        JsonInvalidError: the body is no JSON object.
        BodyTooLargeError: the event is, without what is not the event's.
    """
    try:
        message = _decode_message(body)
        if len(body) > EVENT_BYTES_MAX and _event_bytes(body) > EVENT_BYTES_MAX:
            raise BodyTooLargeError
    except _UNREADABLE:
        raise JsonInvalidError from None
    message.type = kind
    return Outline(_key_of(message.write_key), [body], _ALONE, message)


def outline_batch(body: bytes, *, may_split: bool = True) -> Outline:
    """Reads the outside of a batch.

    Args:
        body: all of it.
        may_split: whether one that is no JSON as a whole is taken apart, which takes long.

    Raises:
        JsonInvalidError: the body is no JSON object with a list `batch`, or its context no object.
        BatchTooLongError: over 2500 events.
    """
    try:
        outside = _decode_batch(body)
        if len(outside.batch) > BATCH_EVENTS_MAX:
            raise BatchTooLongError
        texts: list[bytes] = [bytes(each) for each in outside.batch]
    except _UNREADABLE:
        if not may_split:
            raise JsonInvalidError from None
        outside, texts = _split(body)
    if len(texts) > BATCH_EVENTS_MAX:
        raise BatchTooLongError
    return Outline(_key_of(outside.write_key), texts, _shared(outside), None)


def events_of(outline: Outline) -> Iterator[Incoming | Unreadable]:
    """Reads the events of a call, in their order.

    A batch's `context` and `sentAt` are those of every event that lacks them; events that would
    hold too much of it, all together, are too large.
    """
    shared = outline.shared
    if outline.message is not None:
        yield _read(outline.texts[0], outline.message, shared)
        return
    room = SHARED_BYTES_MAX // max(1, shared.bytes_count)
    is_shared_too_large = shared.bytes_count > EVENT_BYTES_MAX
    for index, text in enumerate(outline.texts):
        if len(text) > EVENT_BYTES_MAX or is_shared_too_large or index >= room:
            yield _unreadable(RejectionReason.EVENT_TOO_LARGE, Message(), PAYLOADS)
        else:
            yield _read_item(text, shared)


def _event_bytes(body: bytes) -> int:
    """Returns how many bytes an event has, written without blanks and what is not the event's."""
    members = _decode_parts(body).items()
    return 1 + sum(len(k.encode()) + len(bytes(v)) + 4 for k, v in members if k not in ENVELOPE)


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
    value: dict[str, Any] = {}
    fault: RejectionReason | None = None
    try:
        context, integrations = (_parts(text) if text else {} for text in texts)
    except _UNREADABLE:
        raise JsonInvalidError from None
    text = _encode(context) if context else b""
    try:
        value = _decode(text) if text else {}
    except RecursionError:
        fault = RejectionReason.TOO_DEEP
    except _UNREADABLE:
        fault = RejectionReason.INVALID_JSON
    size = sum(map(len, texts))
    return _Shared(context, text, value, fault, integrations, size, outside.sent_at)


def _read_item(text: bytes, shared: _Shared) -> Incoming | Unreadable:
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
    if shared.fault is not None:
        return _unreadable(shared.fault, message, ())
    try:
        payloads = [_decode(each) if each else None for each in texts]
        if shared.context:
            texts[2], payloads[2] = _merged(texts[2], payloads[2], shared)
        rest = _rest(text, message.type, shared.integrations)
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


def _merged(text: bytes, value: Any, shared: _Shared) -> tuple[bytes, Any]:
    """Returns an event's context, as text and read, with what its batch says of all."""
    if value is None or value in ({}, []):  # PHP writes an empty object as an array
        return shared.context_text, shared.context_value
    if not isinstance(value, dict):
        raise EventRejected(RejectionReason.INVALID_JSON)
    merged = _encode({**shared.context, **_decode_parts(text)})
    return merged, {**shared.context_value, **value}


def _rest(text: bytes, kind: object, integrations: dict[str, msgspec.Raw]) -> bytes:
    """Returns what events have no field for; of a batch's `integrations` the own keys win.

    An event has one name: what tracks call `event` and all others `name`. The other is kept here.
    Raises what `_UNREADABLE` names.
    """
    unused = "name" if kind == TRACK else "event"
    rest = {
        key: value
        for key, value in _decode_parts(text).items()
        if key not in _KNOWN or (key == unused and bytes(value) != _NULL)
    }
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
