"""Whose profile an event belongs to, and what becomes one profile through it.

Identifiers are only ever dropped from the low end of the event's order, and a single one always
resolves: the event belongs to the profile of its first identifier, whatever else happens.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

from unify_grpc.identity.outcomes import DropReason, Outcome

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping, Sequence

    from unify_grpc.identity.rules import Limit, Rules


class Owned(NamedTuple):
    """One identifier that is on a profile."""

    member: Hashable
    type: str
    link_time_us: int
    """The event time at which it joined, in microseconds since 1970; a merge keeps it."""


class ProfileView(NamedTuple):
    """What a decision needs to know of one live profile."""

    id: Hashable
    created: tuple[Any, ...]
    """Compares as created first; no two profiles have the same."""
    merges: int
    identifiers: Sequence[Owned]


class Candidate(NamedTuple):
    """One identifier of an event."""

    member: Hashable
    type: str


class Resolution(NamedTuple):
    """What an event does to the profiles of one collection. Indexes are into the candidates."""

    kept: tuple[int, ...]
    """On the event's profile from now on; 0, the anchor, always."""
    dropped: tuple[tuple[int, DropReason], ...]
    """Left out, in the order they were dropped: lowest priority first."""
    unharmed: tuple[int, ...]
    """Left out by the loop, yet on the event's profile already; not reported."""
    survivor: Hashable | None
    """The profile the event ends in; None when it founds one."""
    absorbed: tuple[Hashable, ...]
    """The profiles that end in the survivor, in order of creation."""
    new: tuple[int, ...]
    """Kept, and owned by nobody before."""
    merges: int
    """Of the resulting profile."""
    outcome: Outcome


def resolve(
    candidates: Sequence[Candidate],
    owner: Mapping[Hashable, ProfileView],
    rules: Rules,
    event_time_us: int,
) -> Resolution:
    """Decides one collection of one event.

    Args:
        candidates: the event's identifiers, by priority and position; at least one, each once.
        owner: the live profile of each candidate's member; absent for one that nobody owns.
        rules: whose limits and caps are to hold.
        event_time_us: in microseconds since 1970; windows reach to both sides of it.
    """
    assert candidates
    counting = _Counting(rules, event_time_us)
    owners = [owner.get(candidate.member) for candidate in candidates]
    dropped: list[tuple[int, DropReason]] = []
    kept_count = len(candidates)
    # A single identifier resolves whatever the limits say, even one of 0.
    while kept_count > 1:
        reason = counting.objection(candidates[:kept_count], owners[:kept_count])
        if reason is None:
            break
        kept_count -= 1
        dropped.append((kept_count, reason))

    profiles = sorted(_distinct(owners[:kept_count]).values(), key=_created)
    ids = [profile.id for profile in profiles]
    here = set(ids)
    unharmed = {
        index for index, _ in dropped if (own := owners[index]) is not None and own.id in here
    }
    return Resolution(
        kept=tuple(range(kept_count)),
        dropped=tuple(drop for drop in dropped if drop[0] not in unharmed),
        unharmed=tuple(sorted(unharmed)),
        survivor=ids[0] if ids else None,
        absorbed=tuple(ids[1:]),
        new=tuple(index for index in range(kept_count) if owners[index] is None),
        merges=_merges(profiles),
        outcome=(Outcome.CREATED, Outcome.ATTACHED, Outcome.MERGED)[min(len(ids), 2)],
    )


class _Counting:
    """Counts identifiers as the limits of one event count them; each profile only once."""

    def __init__(self, rules: Rules, event_time_us: int) -> None:
        self._rules = rules
        self._event_time_us = event_time_us
        self._limits: dict[str, Limit | None] = {}
        self._counts: dict[Hashable, Counter[str]] = {}

    def objection(
        self, candidates: Sequence[Candidate], owners: Sequence[ProfileView | None]
    ) -> DropReason | None:
        """Why these identifiers may not all end in one profile, or None."""
        profiles = list(_distinct(owners).values())
        new_types = [
            candidate.type for candidate, own in zip(candidates, owners, strict=True) if own is None
        ]
        if len(profiles) == 1 and not new_types:
            return None  # nothing is added, even where a limit has been tightened since
        reason = self._over_limit(profiles, new_types)
        if reason is not None:
            return reason
        if len(profiles) > 1 and _merges(profiles) > self._rules.merges_max:
            return DropReason.MERGE_CAP
        sizes = [len(profile.identifiers) for profile in profiles]
        union_size = sum(sizes) + len(new_types)
        if union_size > max(self._rules.identifiers_max, *sizes, 0):
            return DropReason.IDENTIFIER_CAP
        return None

    def _over_limit(
        self, profiles: Sequence[ProfileView], new_types: Sequence[str]
    ) -> DropReason | None:
        """Of the types over their limit, one limited for ever decides what is reported."""
        each = [self._counted(profile) for profile in profiles]
        union = Counter(new_types)  # their link time is the event's own: in every window
        for counts in each:
            union.update(counts)
        reason: DropReason | None = None
        for type_name, count in union.items():
            limit = self._limit(type_name)
            if limit is None or count <= limit.count:
                continue
            if any(counts[type_name] >= count for counts in each):
                continue  # it was over before, and this event does not add to it
            if limit.window_us is None:
                return DropReason.LIMIT_EXCEEDED
            reason = DropReason.WINDOW_LIMIT_EXCEEDED
        return reason

    def _counted(self, profile: ProfileView) -> Counter[str]:
        counts = self._counts.get(profile.id)
        if counts is None:
            counts = Counter(owned.type for owned in profile.identifiers if self._in_window(owned))
            self._counts[profile.id] = counts
        return counts

    def _in_window(self, owned: Owned) -> bool:
        limit = self._limit(owned.type)
        if limit is None or limit.window_us is None:
            return True
        return abs(owned.link_time_us - self._event_time_us) < limit.window_us

    def _limit(self, type_name: str) -> Limit | None:
        if type_name not in self._limits:
            self._limits[type_name] = self._rules.limit(type_name)
        return self._limits[type_name]


def _distinct(owners: Sequence[ProfileView | None]) -> dict[Hashable, ProfileView]:
    return {profile.id: profile for profile in owners if profile is not None}


def _created(profile: ProfileView) -> tuple[Any, ...]:
    return profile.created


def _merges(profiles: Sequence[ProfileView]) -> int:
    """The merges of the profile that these make."""
    return sum(profile.merges for profile in profiles) + max(len(profiles) - 1, 0)
