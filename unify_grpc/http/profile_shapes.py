"""Answers of the Profile API in Segment's shapes, made of the gRPC edge's answers.

Those are masked already where the caller may not see values.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import msgspec

if TYPE_CHECKING:
    from google.protobuf.timestamp_pb2 import Timestamp

EVENT_NAMES: Final = {"page": "Page Viewed", "screen": "Screen Viewed"}
"""What these calls are listed as; they may have a name of their own beside it."""
_EMPTY: Final = msgspec.Raw(b"{}")


def traits_shape(response: Any, *, is_verbose: bool) -> dict[str, Any]:
    """Returns `{"traits": {name: value}}`, or with each value's origin."""
    if not is_verbose:
        return {"traits": {each.name: msgspec.Raw(each.value_json) for each in response.traits}}
    return {
        "traits": {
            each.name: {
                "value": msgspec.Raw(each.value_json),
                "source_id": each.source_id,
                "updated_at": time_text(each.updated_time),
            }
            for each in response.traits
        }
    }


def external_ids_shape(response: Any) -> dict[str, Any]:
    """Returns `{"data": […]}` of a profile's identifiers."""
    return {
        "data": [
            {**_external_id(each), "first_message_id": each.first_message_id}
            for each in response.external_ids
        ]
    }


def events_shape(response: Any, collection: str) -> dict[str, Any]:
    """Returns `{"data": […]}` of a profile's events."""
    related = {collection: response.segment_id}
    return {"data": [_event(each, related) for each in response.events]}


def metadata_shape(metadata: Any) -> dict[str, Any]:
    """Returns `{"metadata": {…}}`; nothing here ever expires."""
    is_updated = metadata.HasField("updated_time")
    return {
        "metadata": {
            "created_at": time_text(metadata.created_time),
            "updated_at": time_text(metadata.updated_time) if is_updated else None,
            "expires_at": None,
            "first_message_id": metadata.first_message_id,
            "first_source_id": metadata.first_source_id,
            "last_message_id": metadata.last_message_id,
            "last_source_id": metadata.last_source_id,
        }
    }


def links_shape(response: Any) -> dict[str, Any]:
    """Returns `{"data": […]}` of the profiles that one is linked with."""
    return {
        "data": [
            {
                "to_collection": each.to_collection,
                "external_ids": [_external_id(one) for one in each.external_ids],
            }
            for each in response.links
        ]
    }


def deletion_shape(response: Any) -> dict[str, Any]:
    """Returns what was deleted, normalised, and from which profile."""
    return {
        "success": True,
        "segment_id": response.segment_id,
        "deleted_external_ids": [
            {"collection": each.collection, "type": each.type, "id": each.value}
            for each in response.deleted_external_ids
        ],
    }


def cursor_shape(
    response: Any, *, space_id: str, collection: str, resource: str, limit: int
) -> dict[str, Any]:
    """Returns `{"cursor": {…}}` of a page; its url names the profile by its segment_id."""
    url = f"/v1/spaces/{quote(space_id)}/collections/{collection}/profiles/{response.segment_id}"
    return {
        "cursor": {
            "url": f"{url}/{resource}",
            "has_more": bool(response.next_page_token),
            "next": response.next_page_token,
            "limit": limit,
        }
    }


def time_text(time: Timestamp) -> str:
    """Returns a time in UTC as ISO 8601, to the microsecond, without zeros at its end."""
    whole = datetime.fromtimestamp(time.seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    part = f"{time.nanos // 1000:06d}".rstrip("0")
    return f"{whole}.{part}Z" if part else f"{whole}Z"


def _external_id(wire: Any) -> dict[str, Any]:
    return {
        "source_id": wire.source_id,
        "collection": wire.collection,
        "id": wire.id,
        "type": wire.type,
        "created_at": time_text(wire.created_time),
        "encoding": wire.encoding,
    }


def _event(wire: Any, related: dict[str, str]) -> dict[str, Any]:
    listed_as = EVENT_NAMES.get(wire.type)
    shape: dict[str, Any] = {
        "external_ids": [
            {"collection": e.collection, "type": e.type, "id": e.id, "encoding": e.encoding}
            for e in wire.external_ids
        ],
        "context": _json(wire.context_json),
        "type": wire.type,
        "message_id": wire.message_id,
        "source_id": wire.source_id,
        "timestamp": time_text(wire.timestamp),
        "properties": _json(wire.properties_json),
        "event": listed_as or wire.name,
        "related": related,
    }
    if listed_as and wire.name:
        shape["name"] = wire.name
    return shape


def _json(text: bytes) -> msgspec.Raw:
    return msgspec.Raw(text) if text else _EMPTY
