"""The profiles of a space and what resolving an event's identifiers does to them.

A member of both collections is told apart by its `collection`, so one graph holds them all: the
identifiers of one resolution are always of one collection, and so then are those of each profile.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.reference.promotion import Drop, Identifier

if TYPE_CHECKING:
    from tests.reference.rules import Rules


@dataclass(eq=False)
class Profile:
    """One live profile."""

    collection: str
    founded_by: int
    """Index of the founding event: the order of creation, since stamps rise with it."""
    merges: int = 0
    linked: dict[Identifier, int] = field(default_factory=dict)
    """Its identifiers, each with its link time in microseconds since 1970."""

    @property
    def segment_id(self) -> str:
        """Unlike every other profile's, for ever."""
        return f"{self.collection}-{self.founded_by}"


class Profiles:
    """Who owns which identifier."""

    def __init__(self) -> None:
        self.owner: dict[Identifier, Profile] = {}
        self.absorbed: dict[str, str] = {}
        """segment_id of a profile merged away -> that of the one which absorbed it."""

    def resolve(
        self,
        ids: list[Identifier],
        rules: Rules,
        time_us: int,
        event_index: int,
    ) -> tuple[str, list[Drop]]:
        """Links identifiers, ordered and of one collection, into one profile.

        Returns CREATED, ATTACHED or MERGED, and the drops that did harm.
        """
        kept = list(ids)
        refused: list[tuple[Identifier, str]] = []
        # The anchor alone always resolves.
        while len(kept) > 1 and (reason := self._objection(kept, rules, time_us)):
            refused.append((kept.pop(), reason))
        joined = self._owners(kept)
        if joined:
            profile = min(joined, key=lambda each: each.founded_by)
        else:
            profile = Profile(kept[0].collection, event_index)
        for other in joined:
            if other is not profile:
                self._absorb(profile, other)
        for identifier in kept:
            profile.linked.setdefault(identifier, time_us)
            self.owner[identifier] = profile
        drops = [
            Drop(*identifier, reason)
            for identifier, reason in refused
            if self.owner.get(identifier) is not profile
        ]
        return ("CREATED", "ATTACHED", "MERGED")[min(len(joined), 2)], drops

    def _objection(self, ids: list[Identifier], rules: Rules, time_us: int) -> str | None:
        """Why these identifiers cannot all be of one profile, or None."""
        joined = self._owners(ids)
        union = dict.fromkeys(ids, time_us)
        for profile in joined:
            union.update(profile.linked)
        if len(joined) == 1 and len(union) == len(joined[0].linked):
            return None
        over: list[int | None] = []
        for type_ in {identifier.type for identifier in union}:
            limit, window_us = rules.limit(type_)
            count = _count(union, type_, window_us, time_us)
            adds = all(count > _count(each.linked, type_, window_us, time_us) for each in joined)
            if limit is not None and count > limit and adds:
                over.append(window_us)
        if over:
            return "LIMIT_EXCEEDED" if None in over else "WINDOW_LIMIT_EXCEEDED"
        merges = sum(profile.merges for profile in joined) + len(joined) - 1
        if len(joined) > 1 and merges > rules.merges_max:
            return "MERGE_CAP"
        grows = all(len(union) > len(profile.linked) for profile in joined)
        return "IDENTIFIER_CAP" if len(union) > rules.identifiers_max and grows else None

    def _absorb(self, survivor: Profile, other: Profile) -> None:
        self.absorbed[other.segment_id] = survivor.segment_id
        survivor.merges += other.merges + 1
        survivor.linked.update(other.linked)
        self.owner.update(dict.fromkeys(other.linked, survivor))

    def _owners(self, ids: list[Identifier]) -> list[Profile]:
        """The distinct profiles that own any of the identifiers."""
        return list(dict.fromkeys(self.owner[each] for each in ids if each in self.owner))


def _count(
    linked: dict[Identifier, int],
    type_: str,
    window_us: int | None,
    time_us: int,
) -> int:
    """Identifiers of the type; with a window only those linked less than it away, either way."""
    return sum(
        identifier.type == type_ and (window_us is None or abs(link_time_us - time_us) < window_us)
        for identifier, link_time_us in linked.items()
    )
