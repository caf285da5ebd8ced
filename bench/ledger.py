"""What the service must end up with: the workload's own bookkeeping, event by event.

A plain, sequential account of who is who under the default rules (one `user_id` a profile, five
of every other type, no windows, caps out of reach). It says which deliveries were novel links and
which profiles a reader has to find; it has nothing in common with the service's code.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Final, NamedTuple

USER_ID: Final = "user_id"
EMAIL: Final = "email"
HIDDEN: Final = ""
"""Type of a name that stands for an identifier's life before its deletion."""
_LIMIT_USER_ID: Final = 1
_LIMIT_OTHERS: Final = 5
_RANKS: Final = {USER_ID: 0, EMAIL: 1}


class Name(NamedTuple):
    """An identifier of a person."""

    type: str
    value: str


def rank(name: Name) -> tuple[int, str]:
    """Returns the sort key of the default priorities; the first of an event is its anchor."""
    return _RANKS.get(name.type, len(_RANKS)), name.type


@dataclass
class Tally:
    """What was delivered, counted."""

    events_count: int = 0
    repeats_count: int = 0
    """Second deliveries of a message, which change nothing."""
    late_count: int = 0
    """Deliveries after events that happened later."""
    novel_count: int = 0
    """Events with identifiers not known to belong together, and which then do."""
    refused_count: int = 0
    """Events of which a limit left an identifier out: the service has to decide each again."""
    merges_count: int = 0
    """Profiles that were absorbed by another."""
    bytes_count: int = 0
    """Of the serialised events."""
    by_identifiers: dict[int, int] = field(default_factory=dict)
    """Events by how many identifiers they carry."""

    def add(self, other: Tally) -> None:
        """Adds another account to this one."""
        self.events_count += other.events_count
        self.repeats_count += other.repeats_count
        self.late_count += other.late_count
        self.novel_count += other.novel_count
        self.refused_count += other.refused_count
        self.merges_count += other.merges_count
        self.bytes_count += other.bytes_count
        for identifiers, events in other.by_identifiers.items():
            self.by_identifiers[identifiers] = self.by_identifiers.get(identifiers, 0) + events


class Ledger:
    """The identity graph of one stream, whose people appear in no other stream."""

    def __init__(self) -> None:
        self._owners: dict[Name, set[Name]] = {}
        self._partners: dict[Name, set[Name]] = {}
        self._combinations: dict[Name, set[tuple[Name, ...]]] = {}
        self.combinations_count = 0
        """Known combinations: an anchor and its partners on one event, all of one profile."""
        self._counts: Counter[Name] = Counter()
        self._deletions_count = 0
        self.tally = Tally()

    def take_tally(self) -> Tally:
        """Returns what was counted since the last time."""
        taken, self.tally = self.tally, Tally()
        return taken

    def deliver(self, names: tuple[Name, ...]) -> None:
        """Accounts for one event, delivered for the first time.

        Args:
            names: what it carries, sorted by `rank`; the anchor is the first.
        """
        anchor = names[0]
        self._counts[anchor] += 1
        if len(names) == 1:
            self._owners.setdefault(anchor, {anchor})
            return
        known = self._partners.setdefault(anchor, set())
        if known.issuperset(names[1:]):
            self._note_combination(names)
            return
        kept = self._resolve(names)
        known.update(kept[1:])
        if len(kept) < len(names):
            self.tally.refused_count += 1
        else:
            self.tally.novel_count += 1
            self._note_combination(names)

    def delete(self, name: Name) -> None:
        """Parts a profile from an identifier, which may join anybody when it is seen again.

        The profile keeps the identifier's events. What any of its identifiers is known to belong
        together with has to be found out again.
        """
        members = self._owners.pop(name)
        for each in members:
            self._partners.pop(each, None)
            self.combinations_count -= len(self._combinations.pop(each, ()))
        self._deletions_count += 1
        hidden = Name(HIDDEN, str(self._deletions_count))
        members.remove(name)
        members.add(hidden)
        self._owners[hidden] = members
        self._counts[hidden] = self._counts.pop(name, 0)

    def absorb(self, other: Ledger) -> None:
        """Adds what another stream's account says of people who are in this one too."""
        self._counts.update(other._counts)
        for members in other._owners.values():
            self._resolve(tuple(sorted(members, key=rank)))

    @property
    def profiles_count(self) -> int:
        """Live profiles."""
        return len({id(members) for members in self._owners.values()})

    def names(self) -> list[Name]:
        """Returns all identifiers that belong to a profile, in the order of their joining."""
        return [name for name in self._owners if name.type != HIDDEN]

    def profile(self, name: Name) -> tuple[list[Name], int]:
        """Returns the identifiers of an identifier's profile, sorted, and its number of events."""
        members = self._owners[name]
        shown = sorted(each for each in members if each.type != HIDDEN)
        return shown, sum(self._counts[each] for each in members)

    def _note_combination(self, names: tuple[Name, ...]) -> None:
        known = self._combinations.setdefault(names[0], set())
        if names not in known:
            known.add(names)
            self.combinations_count += 1

    def _resolve(self, names: tuple[Name, ...]) -> list[Name]:
        """Joins what an event carries, but for what a limit leaves out; returns what was kept."""
        ids = list(names)
        while True:
            owners = {id(owner): owner for each in ids if (owner := self._owners.get(each))}
            profiles = list(owners.values())
            union = set(ids).union(*profiles)
            if not _is_over(union, profiles):
                break
            ids.pop()
        self.tally.merges_count += max(0, len(profiles) - 1)
        # What is new goes first, and in order: a set's own order is another in every process.
        self._owners.update(dict.fromkeys(ids, union))
        self._owners.update(dict.fromkeys(union, union))
        return ids


def _is_over(union: set[Name], profiles: list[set[Name]]) -> bool:
    """Whether a join would take some type above its limit, and above what a part has already."""
    joined = Counter(each.type for each in union)
    parts = [Counter(each.type for each in profile) for profile in profiles]
    return any(
        type_ != HIDDEN
        and count > (_LIMIT_USER_ID if type_ == USER_ID else _LIMIT_OTHERS)
        and all(count > part[type_] for part in parts)
        for type_, count in joined.items()
    )
