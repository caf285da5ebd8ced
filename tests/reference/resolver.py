"""The reference resolver: the identity rules, one event after another, nothing clever.

It exists to be compared with. It shares no code with the service, keeps everything in plain
dictionaries, recomputes rather than caches, and follows the wording of the rules where it can.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.reference.intake import RefusedError, check, event_time_us, received_us
from tests.reference.profiles import Profiles
from tests.reference.promotion import Drop, Identifier, inner, normalise, promote
from tests.reference.rules import Rules

if TYPE_CHECKING:
    from tests.reference.promotion import Promotion


class Outcome(NamedTuple):
    """What came of one event."""

    status: str
    """STORED, DUPLICATE or REJECTED."""
    reason: str | None = None
    """Of a rejection."""
    outcome: str | None = None
    """CREATED, ATTACHED, MERGED of the user side, of the account side where there is no other."""
    drops: tuple[Drop, ...] = ()
    """Of both sides, in no order that matters."""
    segment_id: str | None = None
    """Of the profile that the outcome is about."""


class Cell(NamedTuple):
    """One trait as one event set it; the greatest (time, message id) wins."""

    time_us: int
    message_id: str
    value: Any


class Reference:
    """A space, as if its events were processed one at a time."""

    def __init__(self, rules: dict[str, Any]) -> None:
        self._versions = [Rules(rules)]
        self._profiles = Profiles()
        self._known: set[tuple[Identifier, str]] = set()
        self._history: dict[Identifier, list[str]] = defaultdict(list)
        self._traits: dict[Identifier, dict[str, Cell]] = defaultdict(dict)
        self._memberships: set[tuple[Identifier, Identifier]] = set()
        self._event_count = 0
        self._received_us = 0

    def set_rules(self, rules: dict[str, Any]) -> None:
        """Puts new rules in force for every later event; what is linked stays linked."""
        self._versions.append(Rules(rules))

    def send(self, event: dict[str, Any]) -> Outcome:
        """Takes in one Segment-style message and says what came of it."""
        index = self._event_count
        self._event_count += 1
        rules = self._versions[-1]
        # Stamps rise strictly, whatever the event claims.
        self._received_us = max(received_us(event), self._received_us + 1)
        try:
            check(event, rules)
            time_us = event_time_us(event, self._received_us)
        except RefusedError as refusal:
            return Outcome("REJECTED", refusal.reason)
        promotion = promote(event, rules)
        message_id = event.get("messageId") or f"given-by-server-{index}"
        anchors = {promote(event, version).anchor for version in self._versions}
        if any((anchor, message_id) in self._known for anchor in anchors):
            return Outcome("DUPLICATE")
        if promotion.anchor is None:
            return Outcome("REJECTED", "NO_IDENTIFIER", drops=tuple(promotion.drops))
        self._known.add((promotion.anchor, message_id))
        outcome, drops = self._resolve(promotion, rules, time_us, index)
        self._store(event, promotion, time_us, message_id)
        owner = self._profiles.owner.get(promotion.anchor)
        return Outcome("STORED", None, outcome, tuple(drops), owner.segment_id if owner else None)

    def partition(self, collection: str = "users") -> set[frozenset[str]]:
        """Every profile of the collection as the set of its `type:value`."""
        return {
            frozenset(f"{identifier.type}:{identifier.value}" for identifier in profile.linked)
            for profile in self._profiles.owner.values()
            if profile.collection == collection
        }

    def traits(self, collection: str, type: str, value: str) -> dict[str, Any]:  # noqa: A002  # its name - the word callers use
        """The traits of the identifier's profile, without the removed; empty if nobody has it."""
        joined: dict[str, Cell] = {}
        for identifier in self._members(collection, type, value):
            for name, cell in self._traits[identifier].items():
                _join(joined, name, cell)
        return {name: cell.value for name, cell in joined.items() if cell.value is not None}

    def events(self, collection: str, type: str, value: str) -> list[str]:  # noqa: A002  # its name
        """Message ids of the profile's history; of its aliases only, for an id without profile."""
        members = self._members(collection, type, value)
        return [message_id for identifier in members for message_id in self._history[identifier]]

    @property
    def merges(self) -> int:
        """Profiles absorbed so far, in both collections together."""
        return len(self._profiles.absorbed)

    def founded_by(self, collection: str, type: str, value: str) -> int:  # noqa: A002  # its name
        """Index of the event that founded the identifier's profile; KeyError if it has none."""
        return self._profiles.owner[self._identifier(collection, type, value)].founded_by

    def segment_id(self, collection: str, type: str, value: str) -> str | None:  # noqa: A002  # its name
        """The canonical segment_id of the identifier's profile; None if it has none."""
        profile = self._profiles.owner.get(self._identifier(collection, type, value))
        return profile.segment_id if profile else None

    def canonical(self, segment_id: str) -> str:
        """The segment_id that it stands for after all merges."""
        while segment_id in self._profiles.absorbed:
            segment_id = self._profiles.absorbed[segment_id]
        return segment_id

    def memberships(self) -> set[tuple[str, str]]:
        """The (user profile, account profile) pairs that events linked, by canonical segment_id."""
        owner = self._profiles.owner
        return {
            (owner[user].segment_id, owner[account].segment_id)
            for user, account in self._memberships
        }

    def _resolve(
        self,
        promotion: Promotion,
        rules: Rules,
        time_us: int,
        index: int,
    ) -> tuple[str | None, list[Drop]]:
        """Resolves each side by itself; the first side present gives the outcome."""
        outcomes: list[str] = []
        drops = list(promotion.drops)
        for ids in (promotion.users, promotion.accounts):
            if ids and promotion.joins:
                outcome, dropped = self._profiles.resolve(ids, rules, time_us, index)
                outcomes.append(outcome)
                drops += dropped
        return (outcomes[0] if outcomes else None), drops

    def _store(
        self,
        event: dict[str, Any],
        promotion: Promotion,
        time_us: int,
        message_id: str,
    ) -> None:
        """Everything is kept with an anchor, so that a merge of profiles is a join on reading."""
        users, accounts = promotion.users, promotion.accounts
        for ids in (users, accounts):
            if ids:
                self._history[ids[0]].append(message_id)
        if users and accounts:
            self._memberships.add((users[0], accounts[0]))
        side = {"identify": users, "group": accounts}.get(event["type"], [])
        values = inner(event, "traits")
        if event["type"] == "identify" and not values:
            values = inner(event, "context", "traits")
        for name, value in values.items() if side else ():
            _join(self._traits[side[0]], name, Cell(time_us, message_id, value))

    def _members(self, collection: str, type_: str, value: str) -> list[Identifier]:
        identifier = self._identifier(collection, type_, value)
        profile = self._profiles.owner.get(identifier)
        return list(profile.linked) if profile else [identifier]

    def _identifier(self, collection: str, type_: str, value: str) -> Identifier:
        """A looked-up value is normalised like a promoted one."""
        fold = self._versions[-1].lowercase_email
        normalised = normalise(type_, value, lowercase_email=fold)
        return Identifier(collection, type_, value if normalised is None else normalised)


def _join(cells: dict[str, Cell], name: str, cell: Cell) -> None:
    present = cells.get(name)
    if present is None or cell[:2] > present[:2]:
        cells[name] = cell
