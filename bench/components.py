"""Who belongs together where nothing is limited: a union-find over all that was sent.

What the yardsticks without limits have to end with. It shares no code with any of them.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bench.ledger import Name

CHECKSUM_BYTES = 8
_Member = tuple[str, str]


@dataclass(frozen=True)
class Partition:
    """Identifiers in profiles, each with its number of events, told in four values."""

    profiles_count: int
    identifiers_count: int
    events_count: int
    checksum: str
    """Of every profile's identifiers and number of events, in hexadecimal digits."""
    anchors_checksum: str = field(default="", compare=False)
    """Of the numbers of events of all anchors; what was read back may not say."""
    traits_checksum: str = field(default="", compare=False)
    """Of all traits set under a `user_id`; the same."""


class Components:
    """The connected components of identifiers that events showed together."""

    def __init__(self) -> None:
        self._parents: dict[Name, Name] = {}
        self._events: Counter[Name] = Counter()

    def add(self, names: tuple[Name, ...]) -> None:
        """Accounts for one event, delivered for the first time; its anchor is the first name."""
        self._events[names[0]] += 1
        root = self._find(names[0])
        for name in names[1:]:
            self._parents[self._find(name)] = root

    def profiles(self) -> list[tuple[list[_Member], int]]:
        """Returns (identifiers, number of events) of each component, in no order."""
        members: dict[Name, list[_Member]] = {}
        counts: Counter[Name] = Counter()
        for name in list(self._parents):
            root = self._find(name)
            members.setdefault(root, []).append((name.type, name.value))
            counts[root] += self._events[name]
        return [(each, counts[root]) for root, each in members.items()]

    def anchor_counts(self) -> list[int]:
        """Returns the number of events of each anchor, in no order."""
        return list(self._events.values())

    def _find(self, name: Name) -> Name:
        parents = self._parents
        root = name
        while (above := parents.setdefault(root, root)) != root:
            root = above
        while name != root:
            parents[name], name = root, parents[name]
        return root


def describe_counts(counts: Iterable[int]) -> str:
    """Returns a checksum of numbers in any order."""
    return blake2b(repr(sorted(counts)).encode(), digest_size=CHECKSUM_BYTES).hexdigest()


def describe_traits(traits: Iterable[tuple[str, dict[str, Any]]]) -> str:
    """Returns a checksum of (`user_id`, its traits) in any order."""
    ordered = sorted((user_id, json.dumps(each, sort_keys=True)) for user_id, each in traits)
    return blake2b(repr(ordered).encode(), digest_size=CHECKSUM_BYTES).hexdigest()


def describe_partition(profiles: Iterable[tuple[list[_Member], int]]) -> Partition:
    """Returns what two partitions agree on only if they are the same.

    Args:
        profiles: (identifiers as pairs of type and value, number of events), in any order.
    """
    ordered = sorted((sorted(members), count) for members, count in profiles)
    digest = blake2b(digest_size=CHECKSUM_BYTES)
    for each in ordered:
        digest.update(repr(each).encode())
    return Partition(
        len(ordered),
        sum(len(members) for members, _ in ordered),
        sum(count for _, count in ordered),
        digest.hexdigest(),
    )
