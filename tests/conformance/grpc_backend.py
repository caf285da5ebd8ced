"""A space of a running service as a backend of the conformance cases."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
from google.protobuf.timestamp_pb2 import Timestamp
from unify_client import Event as WireEvent
from unify_client import (
    EventStatus,
    Identifier,
    IdentifierNotDeletable,
    IdentifierNotFound,
    ProfileNotFound,
    RequestInvalid,
    UnifyClient,
)

from tests.integration.service import ADMIN_TOKEN
from tests.reference.conformance_rules import with_limit
from unify_grpc.identity.events import from_segment_message
from unify_grpc.identity.outcomes import EventRejected
from unify_grpc.identity.promotion import promote
from unify_grpc.identity.rules import Rules

if TYPE_CHECKING:
    from collections.abc import Sequence

    from unify_client import EventResult, Profile

_names = (f"case-{number}" for number in itertools.count())


class Result(NamedTuple):
    """What became of one event; names as in `expectations.py`."""

    status: str
    reason: str | None
    outcome: str | None
    drops: list[tuple[str, str, str, str]]
    segment_id: str | None


class GrpcBackend:
    """A space of its own on a running service."""

    def __init__(self, address: str, rules: dict[str, Any]) -> None:
        self._admin = UnifyClient(address, key=ADMIN_TOKEN)
        space = self._admin.create_space(next(_names), rules=rules)
        assert space.write_key is not None
        assert space.access_token is not None
        self._writer = UnifyClient(address, key=space.write_key)
        self._reader = UnifyClient(address, key=space.access_token)
        self.write_key: str = space.write_key
        self._space = space.space.space_id
        self._owner = UnifyClient(address, key=ADMIN_TOKEN, space=self._space)
        self._document = rules
        self._rules = Rules.from_document(rules, 1)
        self._seen: dict[str, set[tuple[str, str]]] = {"users": set(), "accounts": set()}

    def close(self) -> None:
        """Closes its connections."""
        self._writer.close()
        self._reader.close()
        self._admin.close()
        self._owner.close()

    def send(self, event: dict[str, Any]) -> Result:
        """Sends one Segment message, acknowledged RESOLVED."""
        self.remember(event)
        result: EventResult = self._writer.ingest([to_wire(event)])[0]
        drops = [
            (d.identifier.collection, d.identifier.type, d.identifier.value, d.reason.name)
            for d in result.drops
        ]
        return Result(
            result.status.name,
            result.reason.name if result.status is EventStatus.REJECTED and result.reason else None,
            result.outcome.name if result.outcome else None,
            drops,
            result.segment_id or result.account_segment_id,
        )

    def remember(self, event: dict[str, Any]) -> None:
        """Notes which identifiers the event could have brought in."""
        try:
            promotion = promote(from_segment_message(event), self._rules)
        except EventRejected:
            return
        for each in (*promotion.users, *promotion.accounts):
            self._seen[each.collection].add((each.type, each.value))

    def set_limit(self, type_: str, limit: int | None) -> None:
        """Changes one type's limit, counted for ever, for later events."""
        self._document = with_limit(self._document, type_, limit)
        self._admin.set_rules(self._document, self._space)

    def delete(self, lookup: str, identifiers: Sequence[str]) -> str:
        """Deletes identifiers from a profile; returns a code of `DELETION_CODES`."""
        named, deleted = _named(lookup, "users"), [_named(each, "users") for each in identifiers]
        try:
            self._owner.delete_external_ids(named, deleted)
        except ProfileNotFound:
            return "no_profile"
        except IdentifierNotFound:
            return "not_on_profile"
        except IdentifierNotDeletable as refused:
            return refused.metadata["refusal"].lower()
        except RequestInvalid:
            return "not_one"
        return "deleted"

    def partition(self, collection: str) -> set[frozenset[str]]:
        """Every profile that any identifier sent so far leads to."""
        profiles = set()
        for type_, value in self._seen[collection]:
            profile = self._find(Identifier(collection, type_, value))
            if profile is not None:
                profiles.add(frozenset(f"{each.type}:{each.id}" for each in profile.external_ids))
        return profiles

    def traits(self, identifier: str, collection: str = "users") -> dict[str, Any]:
        """All traits of the identifier's profile."""
        profile = self._find(_named(identifier, collection))
        return {trait.name: trait.value for trait in profile.traits} if profile else {}

    def events(self, identifier: str, collection: str = "users") -> list[str]:
        """Message ids of the history of the identifier's profile."""
        kinds = ["identify", "track", "page", "screen", "group", "alias"]
        try:
            listed = self._reader.list_events(
                _named(identifier, collection), types=kinds, page_size=3
            )
            return [each.message_id for each in listed]
        except ProfileNotFound:
            return []

    def segment_id(self, identifier: str, collection: str = "users") -> str | None:
        """Canonical segment_id of the identifier's profile; None if there is none."""
        profile = self._find(_named(identifier, collection))
        return profile.canonical_segment_id if profile else None

    def canonical(self, segment_id: str) -> str:
        """What a segment_id stands for by now."""
        return self._reader.get_profile(segment_id).canonical_segment_id

    def merges(self) -> None:
        """Is not counted by this backend."""

    def _find(self, identifier: Identifier) -> Profile | None:
        try:
            return self._reader.get_profile(identifier)
        except ProfileNotFound:
            return None


def _named(identifier: str, collection: str) -> Identifier:
    type_, _, value = identifier.partition(":")
    return Identifier(collection, type_, value)


UNREADABLE = Timestamp(nanos=-1)
"""How the wire says that a time cannot be read."""


def _time(text: str) -> Timestamp:
    time = Timestamp()
    try:
        time.FromJsonString(text)
    except ValueError:
        return UNREADABLE
    return time


def why_not_sent(case: dict[str, Any]) -> str | None:
    """Why the wire cannot carry a case's events, whose ids are text fields; None if it can."""
    for event in case["events"]:
        for name in _IDS:
            value = event.get(name)
            if (value is not None and not isinstance(value, str | int)) or value is True:
                return f"{name} of the wire is a text, and cannot carry {type(value).__name__}"
    return None


_IDS = {
    "userId": "user_id",
    "anonymousId": "anonymous_id",
    "groupId": "group_id",
    "previousId": "previous_id",
}
_TIMES = {"timestamp": "timestamp", "originalTimestamp": "original_timestamp", "sentAt": "sent_at"}


def to_wire(message: dict[str, Any]) -> WireEvent:
    """Returns a Segment message as a gRPC caller would send it."""
    wire = WireEvent(type=message["type"], message_id=message.get("messageId") or "")
    wire.name = message.get("event") or message.get("name") or ""
    for source, target in _IDS.items():
        value = message.get(source)
        if value is not None:
            setattr(wire, target, str(value))
    for source, target in _TIMES.items():
        if message.get(source) is not None:
            getattr(wire, target).CopyFrom(_time(message[source]))
    for name in ("traits", "properties", "context"):
        if message.get(name) is not None:
            setattr(wire, name + "_json", msgspec.json.encode(message[name]))
    for entry in message.get("externalIds") or ():
        wire.external_ids.add(**entry)
    return wire
