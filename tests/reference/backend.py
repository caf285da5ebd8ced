"""The reference as tests talk to it: messages in, answers by name, look-ups by `type:value`.

What an event does is decided in `resolver.py`; here its state is only looked at.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, NamedTuple

from tests.reference.conformance_rules import with_limit
from tests.reference.decoding import MalformedError, decode
from tests.reference.resolver import Drop, Identifier, Reference, Rules


class Outcome(NamedTuple):
    """What came of one event."""

    status: str
    """STORED, DUPLICATE or REJECTED."""
    reason: str | None = None
    """Of a rejection."""
    outcome: str | None = None
    """CREATED, ATTACHED, MERGED of the user side, of the account side where there is no other."""
    drops: Sequence[Drop] = ()
    """Of both sides, in no order that matters."""
    segment_id: str | None = None
    """Of the profile that the outcome is about."""


class ReferenceBackend:
    """A space of the reference under a rules document."""

    def __init__(self, rules: dict[str, Any]) -> None:
        self._rules = rules
        self._reference = Reference(rules)

    def send(self, event: dict[str, Any]) -> Outcome:
        """Sends one message; it is resolved at once."""
        try:
            decoded = decode(event)
        except MalformedError as malformed:
            return Outcome("REJECTED", str(malformed))
        status, reason, outcome, drops, anchor = self._reference.send(decoded)
        segment_id = None if anchor is None else self._segment_id(anchor)
        return Outcome(status, reason, outcome, drops, segment_id)

    def set_rules(self, rules: dict[str, Any]) -> None:
        """Puts new rules in force for later events; what is linked stays linked."""
        self._rules = rules
        self._reference.versions.append(Rules(rules))

    def set_limit(self, type_: str, limit: int | None) -> None:
        """Changes one listed type's limit for later events."""
        self.set_rules(with_limit(self._rules, type_, limit))

    def delete(self, lookup: str, identifiers: Sequence[str], collection: str = "users") -> str:
        """Deletes an identifier from the profile of another: `deleted`, or why it may not be."""
        if len(identifiers) != 1:
            return "not_one"
        if self.segment_id(lookup, collection) is None:
            return "no_profile"
        named = (self._named(each, collection) for each in (identifiers[0], lookup))
        return (self._reference.delete(*named) or "deleted").lower()

    def partition(self, collection: str) -> set[frozenset[str]]:
        """Every profile of the collection as the set of its identifiers."""
        return {
            frozenset(f"{type_}:{value}" for _, type_, value in linked)
            for (side, *_), linked in self._reference.profiles.items()
            if side == collection
        }

    def traits(self, identifier: str, collection: str = "users") -> dict[str, Any]:
        """The traits of the identifier's profile, without the removed; empty if nobody has it."""
        stored = self._reference.stored(self._named(identifier, collection))
        traits = {name: value for *_, set_by in stored for name, value in set_by.items()}
        return {name: value for name, value in traits.items() if value is not None}

    def events(self, identifier: str, collection: str = "users") -> list[str]:
        """Message ids of the profile's history; of its aliases only, for an id without profile."""
        stored = self._reference.stored(self._named(identifier, collection))
        return [message_id for _, message_id, *_ in stored]

    def segment_id(self, identifier: str, collection: str = "users") -> str | None:
        """Canonical segment_id of the identifier's profile; None if there is none."""
        return self._segment_id(self._named(identifier, collection))

    def canonical(self, segment_id: str) -> str:
        """What a segment_id stands for by now."""
        collection, _, stamp = segment_id.partition("-")
        profiles = self._reference.profiles
        return next(_written(each) for each in profiles if {collection, int(stamp)} <= {*each})

    def merges(self) -> int:
        """Profiles absorbed so far, in both collections together."""
        return sum(len(absorbed) for _, _, *absorbed in self._reference.profiles)

    def memberships(self) -> set[frozenset[str | None]]:
        """The (user profile, account profile) pairs that events linked, by canonical segment_id."""
        both = defaultdict[int, set[Identifier]](set)
        for anchor, events in self._reference.history.items():
            for _, _, stamp, _ in events:
                both[stamp].add(anchor)
        return {frozenset(map(self._segment_id, pair)) for pair in both.values() if len(pair) > 1}

    def _named(self, identifier: str, collection: str) -> Identifier:
        """A looked-up value is normalised like a promoted one."""
        type_, _, value = identifier.partition(":")
        normalised = self._reference.versions[-1].normalise(type_, value)
        return collection, type_, value if normalised is None else normalised

    def _segment_id(self, identifier: Identifier) -> str | None:
        owners = (
            profile for profile, linked in self._reference.profiles.items() if identifier in linked
        )
        return next(map(_written, owners), None)


def _written(profile: tuple[Any, ...]) -> str:
    collection, stamp, *_ = profile
    return f"{collection}-{stamp}"
