"""What a caller says happened: its fields, its time, and the limits on what it may say.

The size of an event and of its batch are judged where its bytes are; everything else is here.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import msgspec

from unify_grpc.identity.identifiers import GROUP_ID_CHARS_MAX, WHITE_SPACE
from unify_grpc.identity.outcomes import EventRejected, RejectionReason

if TYPE_CHECKING:
    from collections.abc import Mapping

IDENTIFY: Final = "identify"
TRACK: Final = "track"
PAGE: Final = "page"
SCREEN: Final = "screen"
GROUP: Final = "group"
ALIAS: Final = "alias"
EVENT_TYPES: Final = frozenset({IDENTIFY, TRACK, PAGE, SCREEN, GROUP, ALIAS})

MESSAGE_ID_CHARS_MAX: Final = 100
TRAITS_MAX: Final = 300
PROPERTIES_MAX: Final = 300
DEPTH_MAX: Final = 8
"""Objects and arrays inside one another; `traits`, `properties`, `context` are each the first."""
TIME_CHARS_MAX: Final = 64

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_CONTAINERS = frozenset({dict, list})


class ClientEvent(msgspec.Struct, kw_only=True, gc=False):
    """One event as its caller sent it, nothing normalised.

    Ids are raw, of any JSON kind; None is absent. Times are microseconds since 1970.
    """

    type: str
    message_id: str = ""
    """Empty: the caller gave none, and the server gives one."""
    user_id: object | None = None
    anonymous_id: object | None = None
    group_id: object | None = None
    previous_id: object | None = None
    name: str | None = None
    """What happened, of a track; the name of a page or screen."""
    timestamp_us: int | None = None
    original_timestamp_us: int | None = None
    sent_at_us: int | None = None
    traits: dict[str, Any] | None = None
    properties: dict[str, Any] | None = None
    context: dict[str, Any] | None = None
    external_ids: list[Any] | None = None
    """Objects or dicts with id, type, collection and encoding; `context.externalIds` come after."""
    is_shallow: bool = False
    """Whoever parsed the event knows that nothing in it nests deeper than `DEPTH_MAX`."""


def from_segment_message(message: Mapping[str, Any]) -> ClientEvent:
    """Reads a Segment message, parsed from JSON. Keys that are not known stay in the payload.

    A time without a zone is UTC. An empty array stands for an empty object, which is how PHP
    callers write it.

    Raises:
        EventRejected: INVALID_TIMESTAMP for an unreadable time, INVALID_MESSAGE_ID for one that is
            no text, INVALID_JSON for traits, properties or context that are no object.
    """
    kind = message.get("type")
    name = message.get("event" if kind == TRACK else "name")
    message_id = message.get("messageId")
    if message_id is not None and not isinstance(message_id, str):
        raise EventRejected(RejectionReason.INVALID_MESSAGE_ID)
    return ClientEvent(
        type=kind if isinstance(kind, str) else "",
        message_id=message_id or "",
        user_id=message.get("userId"),
        anonymous_id=message.get("anonymousId"),
        group_id=message.get("groupId"),
        previous_id=message.get("previousId"),
        name=name if isinstance(name, str) else None,
        timestamp_us=_time_us(message.get("timestamp")),
        original_timestamp_us=_time_us(message.get("originalTimestamp")),
        sent_at_us=_time_us(message.get("sentAt")),
        traits=_object(message.get("traits")),
        properties=_object(message.get("properties")),
        context=_object(message.get("context")),
    )


def event_time_us(event: ClientEvent, received_us: int) -> int:
    """When an event happened, by the server's clock: microseconds since 1970.

    The client's clock may be wrong, but not while it counts: the age of the event when it was
    sent is subtracted from the time it was received. Never later than `received_us`.

    Raises:
        EventRejected: INVALID_TIMESTAMP if a time given, or the answer, lies before 1970.
    """
    sent_us = event.sent_at_us
    client_us = event.original_timestamp_us
    timestamp_us = event.timestamp_us
    earliest_us = min(sent_us or 0, client_us or 0, timestamp_us or 0)
    if client_us is None:
        client_us = timestamp_us
    if client_us is None:
        happened_us = received_us
    elif sent_us is None:
        happened_us = client_us
    else:
        happened_us = received_us - (sent_us - client_us)
    if earliest_us < 0 or happened_us < 0:
        raise EventRejected(RejectionReason.INVALID_TIMESTAMP)
    return min(happened_us, received_us)


def check_event(event: ClientEvent) -> None:
    """Refuses what no event may be, apart from its size and its number of identifiers.

    Raises:
        EventRejected: with the first reason found.
    """
    kind = event.type
    if kind not in EVENT_TYPES:
        raise EventRejected(RejectionReason.UNKNOWN_TYPE)
    if len(event.message_id) > MESSAGE_ID_CHARS_MAX:
        raise EventRejected(RejectionReason.INVALID_MESSAGE_ID)
    if kind == TRACK:
        if not event.name:
            raise EventRejected(RejectionReason.MISSING_EVENT_NAME)
    elif kind == GROUP:
        if event.group_id is None:
            raise EventRejected(RejectionReason.MISSING_GROUP_ID)
        _check_group_id(event.group_id)
    elif kind == ALIAS:
        _check_alias(event)
    context = event.context
    traits = event.traits
    if context is not None:
        _check_group_id(context.get("groupId"))
        if kind == IDENTIFY and not traits:  # these are then the traits it sets
            _check_traits(context.get("traits"))
    if traits is not None:
        _check_traits(traits)
    if event.properties is not None and len(event.properties) > PROPERTIES_MAX:
        raise EventRejected(RejectionReason.TOO_MANY_PROPERTIES)
    if not event.is_shallow:
        for payload in (context, traits, event.properties):
            if payload is not None:
                _check_depth(payload)


def _check_alias(event: ClientEvent) -> None:
    if event.user_id is None or event.user_id == "":
        raise EventRejected(RejectionReason.MISSING_USER_ID)
    if event.previous_id is None or event.previous_id == "":
        raise EventRejected(RejectionReason.MISSING_PREVIOUS_ID)


def _check_group_id(group_id: object) -> None:
    """Refuses empty and over-long texts; other kinds of values are judged by promotion."""
    if isinstance(group_id, str) and not (
        0 < len(group_id.strip(WHITE_SPACE)) <= GROUP_ID_CHARS_MAX
    ):
        raise EventRejected(RejectionReason.INVALID_GROUP_ID)


def _check_traits(traits: object) -> None:
    if isinstance(traits, dict) and len(traits) > TRAITS_MAX:
        raise EventRejected(RejectionReason.TOO_MANY_TRAITS)


def _check_depth(payload: dict[str, Any]) -> None:
    """Goes down one level at a time, so hostile depth costs no more than allowed depth."""
    level: list[Any] = [payload]
    for _ in range(DEPTH_MAX):
        below: list[Any] = []
        for container in level:
            for child in container.values() if type(container) is dict else container:
                if type(child) in _CONTAINERS:
                    below.append(child)  # noqa: PERF401  as a comprehension it costs a frame each
        if not below:
            return
        level = below
    raise EventRejected(RejectionReason.TOO_DEEP)


def _object(value: object) -> dict[str, Any] | None:
    if value is None or isinstance(value, dict):
        return value
    if value == []:
        return None
    raise EventRejected(RejectionReason.INVALID_JSON)


def _time_us(value: object) -> int | None:
    """An ISO 8601 time in microseconds since 1970."""
    if value is None:
        return None
    if not isinstance(value, str) or len(value) > TIME_CHARS_MAX:
        raise EventRejected(RejectionReason.INVALID_TIMESTAMP)
    try:
        moment = datetime.fromisoformat(value.strip().upper())
    except ValueError:
        raise EventRejected(RejectionReason.INVALID_TIMESTAMP) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - _EPOCH) // _MICROSECOND
