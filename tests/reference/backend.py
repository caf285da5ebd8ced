"""The reference as a backend of the conformance cases."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.reference.conformance_rules import with_limit
from tests.reference.resolver import Reference

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.reference.resolver import Outcome


class ReferenceBackend:
    """A space of the reference under a case's rules document."""

    def __init__(self, rules: dict[str, Any]) -> None:
        self._rules = rules
        self._reference = Reference(rules)

    def send(self, event: dict[str, Any]) -> Outcome:
        """Sends one message; it is resolved at once."""
        return self._reference.send(event)

    def set_limit(self, type_: str, limit: int | None) -> None:
        """Changes one listed type's limit for later events."""
        self._rules = with_limit(self._rules, type_, limit)
        self._reference.set_rules(self._rules)

    def partition(self, collection: str) -> set[frozenset[str]]:
        """Every profile of the collection as the set of its identifiers."""
        return self._reference.partition(collection)

    def traits(self, identifier: str, collection: str = "users") -> dict[str, Any]:
        """All traits of the identifier's profile."""
        return self._reference.traits(collection, *_split(identifier))

    def events(self, identifier: str, collection: str = "users") -> Sequence[str]:
        """Message ids of the history of the identifier's profile."""
        return self._reference.events(collection, *_split(identifier))

    def segment_id(self, identifier: str, collection: str = "users") -> str | None:
        """Canonical segment_id of the identifier's profile; None if there is none."""
        return self._reference.segment_id(collection, *_split(identifier))

    def canonical(self, segment_id: str) -> str:
        """What a segment_id stands for by now."""
        return self._reference.canonical(segment_id)

    def merges(self) -> int:
        """Profiles absorbed so far."""
        return self._reference.merges


def _split(identifier: str) -> tuple[str, str]:
    type_, _, value = identifier.partition(":")
    return type_, value
