"""Everything that a space holds, read through its lists as any caller would."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from unify_client import ProfileEvent, UnifyClient

COLLECTIONS = ("users", "accounts")
_KINDS = ("identify", "track", "page", "screen", "group", "alias")
_PAGE = 100


class HeldEvent(NamedTuple):
    """One event where it is listed."""

    message_id: str
    type: str
    name: str
    payload: dict[str, Any]
    """Traits, properties and context."""
    drops: tuple[tuple[str, str, str, str], ...]
    """Sorted (collection, type, value, reason)."""


class HeldProfile(NamedTuple):
    """One profile with all that hangs on it."""

    segment_id: str
    identifiers: frozenset[str]
    """As `type:value`."""
    traits: dict[str, Any]
    events: list[HeldEvent]
    events_count: int
    """What the profile itself says."""
    linked: frozenset[str]
    """Of an account: the segment_ids of its people."""


Holdings = dict[str, list[HeldProfile]]
"""All profiles by collection."""


def read_all(reader: UnifyClient) -> Holdings:
    """Returns everything that a space holds; nobody should be writing to it."""
    return {
        collection: [
            _read(reader, collection, each.segment_id)
            for each in reader.list_profiles(collection, parts=["metadata"], page_size=_PAGE)
        ]
        for collection in COLLECTIONS
    }


def _read(reader: UnifyClient, collection: str, segment_id: str) -> HeldProfile:
    profile = reader.get_profile(segment_id)
    assert profile.metadata is not None
    links = reader.list_links(segment_id) if collection == "accounts" else ()
    listed = reader.list_events(segment_id, types=_KINDS, page_size=_PAGE)
    return HeldProfile(
        profile.canonical_segment_id,
        frozenset(f"{each.type}:{each.id}" for each in profile.external_ids),
        profile.trait_values(),
        [_event(each) for each in listed],
        profile.metadata.events_count,
        frozenset(each.segment_id for each in links),
    )


def _event(event: ProfileEvent) -> HeldEvent:
    drops = (
        (each.identifier.collection, each.identifier.type, each.identifier.value, str(each.reason))
        for each in event.drops
    )
    payload = {"traits": event.traits, "properties": event.properties, "context": event.context}
    return HeldEvent(event.message_id, event.type, event.name, payload, tuple(sorted(drops)))
