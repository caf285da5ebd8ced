"""How events are built: one function for each kind of call.

Each gives its event a message id at once, so that the event keeps it however often it is sent, and
writes traits, properties and context as JSON at once, so that what cannot be sent is found where
it was made. The result is the proto message itself: it can be stored, copied and changed freely.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, TypedDict, Unpack
from uuid import uuid4

from unify_client.errors import ArgumentInvalid, EventInvalid
from unify_client.identifiers import ExternalId
from unify_client.json_form import JsonObject, json_bytes
from unify_client.times import timestamp_of
from unify_grpc._pb.unify.v1 import event_pb2

Event = event_pb2.Event
"""One event as it is sent; the functions of this module build them."""


class Origin(TypedDict, total=False):
    """What events of every kind may carry; `identify` says what each means."""

    anonymous_id: str | None
    context: JsonObject | None
    external_ids: Iterable[ExternalId]
    message_id: str | None
    timestamp: datetime | None
    original_timestamp: datetime | None
    sent_at: datetime | None


class Common(Origin, total=False):
    """The same with the id of a user."""

    user_id: str | None


def identify(*, traits: JsonObject | None = None, **common: Unpack[Common]) -> Event:
    """Returns an event that says who somebody is: traits, and identifiers that belong together.

    Args:
        traits: What is known about the person; None as a value removes a trait.
        **common: What events of every kind may carry, each optional.
            user_id: The id that the caller's own system uses.
            anonymous_id: A device or browser whose user is not known yet.
            context: Where the event comes from, spelled as in Segment's messages.
            external_ids: Further identifiers.
            message_id: What makes a repetition harmless; a new UUID where it is not given.
            timestamp: When it happened; the time of receipt where it is not given.
            original_timestamp: The same by the clock of the device; goes before `timestamp`.
            sent_at: When it was sent by that clock, whose error the service corrects by it.

    Raises:
        EventInvalid: A value cannot be sent: NaN, half of a surrogate pair, a time without a zone,
            or a type that JSON does not have.
    """
    return _with_object(_event("identify", common), "traits", traits)


def track(name: str, *, properties: JsonObject | None = None, **common: Unpack[Common]) -> Event:
    """Returns an event that says what somebody did; `common` as in `identify`."""
    return _with_object(_event("track", common, name=name), "properties", properties)


def page(
    name: str = "", *, properties: JsonObject | None = None, **common: Unpack[Common]
) -> Event:
    """Returns an event that says which page somebody saw; `common` as in `identify`."""
    return _with_object(_event("page", common, name=name), "properties", properties)


def screen(
    name: str = "", *, properties: JsonObject | None = None, **common: Unpack[Common]
) -> Event:
    """Returns an event that says which screen somebody saw; `common` as in `identify`."""
    return _with_object(_event("screen", common, name=name), "properties", properties)


def group(group_id: str, *, traits: JsonObject | None = None, **common: Unpack[Common]) -> Event:
    """Returns an event that joins somebody to an account, whose traits it may set."""
    return _with_object(_event("group", common, group_id=group_id), "traits", traits)


def alias(previous_id: str, *, user_id: str, **common: Unpack[Origin]) -> Event:
    """Returns an event that says which name somebody had before `user_id`."""
    return _event("alias", {**common, "user_id": user_id}, previous_id=previous_id)


_TIMES = ("timestamp", "original_timestamp", "sent_at")
_COMMON = frozenset(Common.__annotations__)


def _event(kind: str, common: Common, **texts: str) -> Event:
    if unknown := common.keys() - _COMMON:
        raise TypeError(f"{kind} takes no {', '.join(sorted(unknown))}.")
    event = Event(type=kind, message_id=new_message_id())
    for field, text in texts.items():
        _set_text(event, field, text)
    for field, value in common.items():
        if value is None:
            continue
        if field == "context":
            _with_object(event, field, value)
        elif field == "external_ids":
            _add_external_ids(event, common["external_ids"])
        elif field in _TIMES:
            _set_time(event, field, value)
        else:
            _set_text(event, field, value)
    return event


def _with_object(event: Event, field: str, value: object) -> Event:
    if value is None:
        return event
    try:
        setattr(event, f"{field}_json", json_bytes(field, value))
    except ArgumentInvalid as error:
        raise EventInvalid(str(error)) from None
    return event


def _add_external_ids(event: Event, external_ids: Iterable[ExternalId]) -> None:
    for external_id in external_ids:
        entry = event.external_ids.add()
        for part in ("id", "type", "collection", "encoding"):
            _set_text(entry, part, getattr(external_id, part))


def _set_time(event: Event, field: str, time: Any) -> None:
    try:
        getattr(event, field).CopyFrom(timestamp_of(field, time))
    except ArgumentInvalid as error:
        raise EventInvalid(str(error)) from None


def new_message_id() -> str:
    """Returns a message id that nobody else has."""
    return str(uuid4())


def _set_text(message: Any, field: str, text: object) -> None:
    if not isinstance(text, str):
        raise EventInvalid(f"{field} is not a text.")
    try:
        setattr(message, field, text)
    except UnicodeEncodeError:
        pass
    else:
        return
    raise EventInvalid(f"{field} holds half of a surrogate pair.")
