"""Profiles in their wire form."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from google.protobuf.timestamp_pb2 import Timestamp

from unify_grpc._pb.unify.v1 import profile_pb2
from unify_grpc.identity.identifiers import ACCOUNTS, USERS
from unify_grpc.machines.batch import EVENT_TYPES, decode_body
from unify_grpc.service.masking import MASK, MASK_JSON, mask_payload

if TYPE_CHECKING:
    from collections.abc import Iterable

    from unify_grpc.identity.traits import TraitCell
    from unify_grpc.machines.assembly import Profile
    from unify_grpc.machines.noted_drops import NotedDrop
    from unify_grpc.machines.reads import Gathered
    from unify_grpc.machines.stored_event import StoredEvent
    from unify_grpc.service.directory import Space, SpaceDirectory

ENCODING = "none"
_COLLECTIONS = (USERS, ACCOUNTS)


def time_to_wire(time_us: int) -> Timestamp:
    """Returns microseconds since 1970 as a Timestamp."""
    seconds, microseconds = divmod(time_us, 1_000_000)
    return Timestamp(seconds=seconds, nanos=microseconds * 1000)


def trait_to_wire(
    name: str, cell: TraitCell, directory: SpaceDirectory, *, is_verbose: bool, is_masked: bool
) -> Any:
    """Returns one trait; its origin only if `is_verbose`."""
    wire = profile_pb2.Trait(name=name, value_json=MASK_JSON if is_masked else cell.value_json)
    if is_verbose:
        wire.source_id = directory.source_id(cell.source)
        wire.updated_time.CopyFrom(time_to_wire(cell.time_us))
        wire.message_id = cell.message_id
    return wire


def external_id_to_wire(
    collection: str, part: Gathered, directory: SpaceDirectory, *, is_masked: bool
) -> Any:
    """Returns one identifier of a profile with the event that it joined by."""
    return profile_pb2.ProfileExternalId(
        collection=collection,
        type=part.type,
        id=MASK if is_masked else part.value,
        encoding=ENCODING,
        source_id=directory.source_id(part.source),
        created_time=time_to_wire(part.joined_us),
        first_message_id=part.message_id,
    )


def identifier_place(part: Gathered, space: Space) -> tuple[int, str, int, bytes]:
    """Returns where an identifier stands in its list, without the value: tokens hold it."""
    rank, name = space.view.rules.rank(part.type)
    return rank, name, part.joined_us, part.member


def metadata_to_wire(profile: Profile, directory: SpaceDirectory) -> Any:
    """Returns what is counted and timed of a profile."""
    counted = [part for part in profile.parts if part.first_sent is not None]
    counts: dict[str, int] = {}
    for part in counted:
        for name, count in zip(EVENT_TYPES, part.counts, strict=True):
            if count:
                counts[name] = counts.get(name, 0) + count
    wire = profile_pb2.ProfileMetadata(
        created_time=time_to_wire(profile.base.created_us),
        events_count=sum(counts.values()),
        events_count_by_type=counts,
        merges_count=profile.base.merges,
        external_ids_count=len(profile.identifiers),
        traits_count=len(profile.traits),
    )
    if not counted:
        return wire
    first = min((part.first_sent for part in counted if part.first_sent), key=_stamp)
    last = max((part.last_sent for part in counted if part.last_sent), key=_stamp)
    wire.updated_time.CopyFrom(time_to_wire(last.stamp_us))
    wire.first_seen_time.CopyFrom(time_to_wire(min(part.first_us for part in counted)))
    wire.last_seen_time.CopyFrom(time_to_wire(max(part.last_us for part in counted)))
    wire.first_message_id, wire.last_message_id = first.message_id, last.message_id
    wire.first_source_id = directory.source_id(first.source)
    wire.last_source_id = directory.source_id(last.source)
    return wire


def event_to_wire(event: StoredEvent, directory: SpaceDirectory, *, is_masked: bool) -> Any:
    """Returns one event of a profile's history."""
    body = decode_body(event.body)
    collection = _COLLECTIONS[event.collection]
    wire = profile_pb2.ProfileEvent(
        type=EVENT_TYPES[event.type],
        name=body.name,
        message_id=event.message_id,
        source_id=directory.source_id(event.source),
        timestamp=time_to_wire(event.time_us),
        received_time=time_to_wire(event.stamp_us),
        properties_json=mask_payload(body.properties) if is_masked else body.properties,
        context_json=mask_payload(body.context) if is_masked else body.context,
        traits_json=mask_payload(body.traits) if is_masked else body.traits,
    )
    dropped = dict(event.drops)
    for index, (type_, value) in enumerate(event.identifiers):
        shown = MASK if is_masked else value
        if index in dropped:
            wire.drops.add(collection=collection, type=type_, value=shown, reason=dropped[index])
        else:
            wire.external_ids.add(id=shown, type=type_, collection=collection, encoding=ENCODING)
    add_noted_drops(wire, event.noted, is_masked=is_masked)
    return wire


def add_noted_drops(wire: Any, drops: Iterable[NotedDrop], *, is_masked: bool) -> None:
    """Adds what promotion left out of an event."""
    for drop in drops:
        wire.drops.add(
            collection=_COLLECTIONS[drop.collection],
            type=drop.type,
            value=MASK if is_masked and drop.value else drop.value,
            reason=drop.reason,
        )


def _stamp(sent: Any) -> int:
    stamp: int = sent.stamp_us
    return stamp
