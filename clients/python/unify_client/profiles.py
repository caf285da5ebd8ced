"""What reads return about a profile, as callers read it: values parsed, times with their zone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from unify_client.identifiers import ExternalId, Identifier
from unify_client.results import Drop, drop, identifier
from unify_client.times import optional_time_of, time_of
from unify_grpc._pb.unify.v1 import profile_pb2, profile_service_pb2


@dataclass(frozen=True, slots=True, kw_only=True)
class Trait:
    """One trait: the value that was set last, by event time."""

    name: str
    value: Any
    """The parsed JSON value, never None; a masked text without the scope `pii`."""
    source_id: str | None
    """What sent the event that set it; None, as the next two, where the list is not verbose."""
    updated_time: datetime | None
    """The time of that event."""
    message_id: str | None
    """Its message id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileExternalId:
    """One identifier of a profile, and how it got there."""

    collection: str
    type: str
    id: str
    """The normalised value; masked without the scope `pii`."""
    encoding: str
    source_id: str
    """What sent the event that first carried it."""
    created_time: datetime
    """The time of the event that joined it to a profile."""
    first_message_id: str
    """The message id of that event."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileMetadata:
    """What is known of a profile as a whole; counts cover absorbed profiles too."""

    created_time: datetime
    updated_time: datetime
    first_seen_time: datetime
    last_seen_time: datetime
    first_message_id: str
    first_source_id: str
    last_message_id: str
    last_source_id: str
    events_count: int
    events_count_by_type: Mapping[str, int]
    merges_count: int
    external_ids_count: int
    traits_count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """One person or account."""

    segment_id: str
    """The id that the profile was asked by; its canonical id where asked by identifier."""
    canonical_segment_id: str
    """The id that the profile goes by now."""
    collection: str
    metadata: ProfileMetadata | None
    """None where it was not asked for."""
    traits: tuple[Trait, ...]
    """By name, at most 1,000; empty where they were not asked for."""
    external_ids: tuple[ProfileExternalId, ...]
    """In the space's order of priority, at most 1,000; empty where they were not asked for."""

    def trait_values(self) -> dict[str, Any]:
        """Returns the traits as a plain object."""
        return {trait.name: trait.value for trait in self.traits}


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileEvent:
    """One event of a profile's history, as stored."""

    type: str
    name: str
    message_id: str
    source_id: str
    timestamp: datetime
    """The event time."""
    received_time: datetime
    external_ids: tuple[ExternalId, ...]
    """The identifiers that the event was resolved by."""
    properties: dict[str, Any]
    """Each value masked as a whole without the scope `pii`; so in the next two.

    Empty where an event was refused because it held no JSON object there.
    """
    context: dict[str, Any]
    traits: dict[str, Any]
    drops: tuple[Drop, ...]
    """The identifiers that were left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileLink:
    """Joins a profile to one of the other collection: a person to an account, or the reverse."""

    to_collection: str
    """`users` or `accounts`: that of the other profile."""
    segment_id: str
    """The canonical id of the other profile."""
    external_ids: tuple[ProfileExternalId, ...]
    """The other profile's identifiers by priority, at most 25."""
    created_time: datetime
    """The time of the first event that named both."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeletedExternalIds:
    """What was parted from a profile."""

    segment_id: str
    """The canonical id of the profile."""
    external_ids: tuple[Identifier, ...]
    """The identifiers, normalised."""


def trait(message: profile_pb2.Trait) -> Trait:
    """Returns a trait of the wire."""
    return Trait(
        name=message.name,
        value=json.loads(message.value_json),
        source_id=message.source_id or None,
        updated_time=optional_time_of(message, "updated_time"),
        message_id=message.message_id or None,
    )


def profile_external_id(message: profile_pb2.ProfileExternalId) -> ProfileExternalId:
    """Returns an identifier of a profile from the wire."""
    return ProfileExternalId(
        collection=message.collection,
        type=message.type,
        id=message.id,
        encoding=message.encoding,
        source_id=message.source_id,
        created_time=time_of(message.created_time),
        first_message_id=message.first_message_id,
    )


def profile(message: profile_pb2.Profile) -> Profile:
    """Returns a profile of the wire."""
    return Profile(
        segment_id=message.segment_id,
        canonical_segment_id=message.canonical_segment_id,
        collection=message.collection,
        metadata=_metadata(message.metadata) if message.HasField("metadata") else None,
        traits=tuple(map(trait, message.traits)),
        external_ids=tuple(map(profile_external_id, message.external_ids)),
    )


def profile_event(message: profile_pb2.ProfileEvent) -> ProfileEvent:
    """Returns an event of a profile's history from the wire."""
    return ProfileEvent(
        type=message.type,
        name=message.name,
        message_id=message.message_id,
        source_id=message.source_id,
        timestamp=time_of(message.timestamp),
        received_time=time_of(message.received_time),
        external_ids=tuple(
            ExternalId(entry.type, entry.id, entry.collection, entry.encoding)
            for entry in message.external_ids
        ),
        properties=_object(message.properties_json),
        context=_object(message.context_json),
        traits=_object(message.traits_json),
        drops=tuple(map(drop, message.drops)),
    )


def deleted_external_ids(
    message: profile_service_pb2.DeleteExternalIdsResponse,
) -> DeletedExternalIds:
    """Returns what was deleted from the wire."""
    return DeletedExternalIds(
        segment_id=message.segment_id,
        external_ids=tuple(map(identifier, message.deleted_external_ids)),
    )


def profile_link(message: profile_pb2.ProfileLink) -> ProfileLink:
    """Returns a link of the wire."""
    return ProfileLink(
        to_collection=message.to_collection,
        segment_id=message.segment_id,
        external_ids=tuple(map(profile_external_id, message.external_ids)),
        created_time=time_of(message.created_time),
    )


def _metadata(message: profile_pb2.ProfileMetadata) -> ProfileMetadata:
    return ProfileMetadata(
        created_time=time_of(message.created_time),
        updated_time=time_of(message.updated_time),
        first_seen_time=time_of(message.first_seen_time),
        last_seen_time=time_of(message.last_seen_time),
        first_message_id=message.first_message_id,
        first_source_id=message.first_source_id,
        last_message_id=message.last_message_id,
        last_source_id=message.last_source_id,
        events_count=message.events_count,
        events_count_by_type=dict(message.events_count_by_type),
        merges_count=message.merges_count,
        external_ids_count=message.external_ids_count,
        traits_count=message.traits_count,
    )


def _object(json_bytes: bytes) -> dict[str, Any]:
    """Returns an object of the wire; empty for what an event was refused for, which is none."""
    try:
        parsed = json.loads(json_bytes) if json_bytes else {}
    except (ValueError, RecursionError):
        return {}
    return parsed if isinstance(parsed, dict) else {}
