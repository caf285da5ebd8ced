"""What must be true of the open space at the end, whatever was killed: its ledger against it."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from tests.chaos.holdings import COLLECTIONS
from tests.chaos.ledger import State
from tests.chaos.people import OPEN_RULES
from tests.reference.backend import ReferenceBackend
from tests.reference.decoding import decode
from tests.reference.resolver import Rules

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tests.chaos.findings import Findings
    from tests.chaos.holdings import HeldEvent, HeldProfile, Holdings
    from tests.chaos.ledger import Entry, Message

_RULES = Rules(OPEN_RULES)


class Audit:
    """Compares a ledger with what is held."""

    def __init__(
        self,
        entries: dict[str, Entry],
        holdings: Holdings,
        deleted: Iterable[str],
        findings: Findings,
    ) -> None:
        """Takes the events by message id, and the identifiers that were deleted."""
        self._entries = entries
        self._holdings = holdings
        self._deleted = set(deleted)
        self._findings = findings
        self._listed = {
            collection: Counter(
                event.message_id for profile in holdings[collection] for event in profile.events
            )
            for collection in COLLECTIONS
        }

    @property
    def stored(self) -> list[str]:
        """Message ids of all events that are held, in the order of the ledger."""
        return [each for each in self._entries if any(each in c for c in self._listed.values())]

    def check(self) -> None:
        """Notes every broken promise."""
        self._check_events()
        self._check_payloads()
        self._check_segment_ids()
        reference = self._reference()
        for collection in COLLECTIONS:
            self._check_partition(reference, collection)
        self._check_links(reference)

    def _check_events(self) -> None:
        """Acknowledged ⊆ stored ⊆ sent, each once under its anchor, and on both sides or none."""
        for collection, listed in self._listed.items():
            for message_id, count in listed.items():
                if message_id not in self._entries:
                    self._findings.note("an event was never sent", f"{message_id} ({collection})")
                elif count > 1:
                    text = f"{message_id} {count} times ({collection})"
                    self._findings.note("an event is stored twice", text)
        for message_id, entry in self._entries.items():
            sides = sides_of(entry.message)
            held = {side for side in sides if message_id in self._listed[side]}
            extra = {side for side, ids in self._listed.items() if message_id in ids} - sides
            if entry.state is State.ACKED and held != sides:
                text = f"{message_id} is not held by {sorted(sides - held)}"
                self._findings.note("an acknowledged event is lost", text)
            elif held and held != sides:
                text = f"{message_id} is held by {sorted(held)} alone"
                self._findings.note("an event is torn", text)
            if extra:
                text = f"{message_id} is held by {sorted(extra)}"
                self._findings.note("an event is where it does not belong", text)

    def _check_payloads(self) -> None:
        """What is stored is what was sent, and a profile counts the events that it lists."""
        for profile in self._profiles():
            for event in profile.events:
                entry = self._entries.get(event.message_id)
                if entry is not None and not _is_same(event, entry.message):
                    self._findings.note("an event was changed", event.message_id)
            if profile.events_count != len(profile.events):
                text = f"{profile.segment_id}: {profile.events_count}, not {len(profile.events)}"
                self._findings.note("a profile counts its events wrongly", text)

    def _check_segment_ids(self) -> None:
        """An identifier is on one profile, and so is a segment_id."""
        for collection in COLLECTIONS:
            profiles = self._holdings[collection]
            owners = Counter(each for profile in profiles for each in profile.identifiers)
            several = sum(count > 1 for count in owners.values())
            if several:
                text = f"{several} of {collection}"
                self._findings.note("an identifier is on two profiles", text)
            ids = Counter(profile.segment_id for profile in profiles)
            for segment_id, count in ids.items():
                if count > 1:
                    self._findings.note("a profile is listed twice", segment_id)
            for profile in profiles:
                if profile.identifiers & self._deleted:
                    self._findings.note("what was deleted is back", profile.segment_id)

    def _reference(self) -> ReferenceBackend:
        """The reference, once it has taken in what is stored."""
        reference = ReferenceBackend(OPEN_RULES)
        for number, message_id in enumerate(self.stored):
            reference.send(self._entries[message_id].message | {"received_at": number + 10**15 * 2})
        return reference

    def _check_partition(self, reference: ReferenceBackend, collection: str) -> None:
        """Who belongs together, the traits of each, and the history of each."""
        found = {profile.identifiers: profile for profile in self._holdings[collection]}
        wanted = {each - self._deleted: each for each in reference.partition(collection)}
        for identifiers in wanted.keys() ^ found.keys():
            which = "is missing" if identifiers in wanted else "is wrong"
            events = found[identifiers].events if identifiers in found else []
            text = f"one of {len(identifiers)} identifiers {which} ({collection}), for example "
            text += events[-1].message_id if events else _first_of(self._entries, identifiers)
            self._findings.note("the partition is not the reference's", text)
        for identifiers in wanted.keys() & found.keys():
            anyone = min(wanted[identifiers])
            profile = found[identifiers]
            if reference.traits(anyone, collection) != profile.traits:
                text = f"{profile.segment_id} ({collection})"
                self._findings.note("traits are not the reference's", text)
            listed = sorted(event.message_id for event in profile.events)
            if sorted(reference.events(anyone, collection)) != listed:
                text = f"{profile.segment_id} ({collection})"
                self._findings.note("a history is not the reference's", text)

    def _check_links(self, reference: ReferenceBackend) -> None:
        """Which person and which account were named together."""
        wanted = linked_pairs(reference, self._deleted)
        found = {
            (by_id.identifiers, account.identifiers)
            for account in self._holdings["accounts"]
            for by_id in self._holdings["users"]
            if by_id.segment_id in account.linked
        }
        if wanted != found:
            text = f"{len(wanted - found)} are missing, {len(found - wanted)} are wrong"
            self._findings.note("links of accounts are not the reference's", text)

    def _profiles(self) -> Iterator[HeldProfile]:
        for collection in COLLECTIONS:
            yield from self._holdings[collection]


def sides_of(message: Message) -> set[str]:
    """Returns the collections in which an event is stored."""
    if message["type"] == "alias":
        return {"users"}
    return {collection for collection, _, _ in _RULES.promote(decode(message), set())[0]}


def linked_pairs(
    reference: ReferenceBackend, deleted: set[str]
) -> set[tuple[frozenset[str], frozenset[str]]]:
    """Returns the (person, account) pairs that the reference has, each by its identifiers."""
    sets = {
        reference.segment_id(min(each), collection): (collection, each - deleted)
        for collection in COLLECTIONS
        for each in reference.partition(collection)
    }
    pairs = set()
    for pair in reference.memberships():
        sides = dict(sets[each] for each in pair if each is not None)
        if len(sides) == len(COLLECTIONS):
            pairs.add((sides["users"], sides["accounts"]))
    return pairs


def _is_same(event: HeldEvent, message: Message) -> bool:
    sent: dict[str, Any] = {
        name: message.get(name) or {} for name in ("traits", "properties", "context")
    }
    name = message.get("event") or message.get("name") or ""
    return (event.type, event.name, event.payload) == (message["type"], name, sent)


def _first_of(entries: dict[str, Entry], identifiers: frozenset[str]) -> str:
    """Returns the first event that carries one of the identifiers of a profile."""
    for message_id, entry in entries.items():
        for _, type_, value in _RULES.promote(decode(entry.message), set())[0]:
            if f"{type_}:{value}" in identifiers:
                return message_id
    return "none"
