"""How a profile is put together from what shards store.

Each function is a generator: it yields questions by shard and is sent the answers, so the same
code reads over Ray, in process and in a simulation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar, cast

import msgspec

from unify_grpc.identity.traits import TraitCell, merge_traits, visible
from unify_grpc.machines.reads import (
    Gather,
    Gathered,
    ListEvents,
    Locate,
    Located,
    LookUpName,
)
from unify_grpc.machines.stored_event import StoredEvent

if TYPE_CHECKING:
    from collections.abc import Generator

    from unify_grpc.machines.links import LookedUp
    from unify_grpc.machines.reads import Answer, Question
    from unify_grpc.placement.slots import ShardMap

    T = TypeVar("T")
    Reading = Generator[dict[int, list[Question]], dict[int, list[Answer]], T]

HOPS_MAX = 64
_cells = msgspec.msgpack.Decoder(dict[str, TraitCell]).decode


@dataclass(frozen=True, slots=True)
class ProfileMembers:
    """A live profile: its founding member and all of them."""

    root: bytes
    members: list[bytes]
    merges: int
    created_us: int
    hidden: frozenset[bytes] = frozenset()
    """Those of `members` that were deleted: gathered, but neither listed nor found."""


@dataclass(frozen=True, slots=True)
class Profile:
    """A profile put together."""

    base: ProfileMembers
    parts: list[Gathered]
    """What each visible member contributes, in order of link time; deleted ones too."""
    traits: dict[str, TraitCell]

    @property
    def identifiers(self) -> list[Gathered]:
        """The members that are listed, in order of link time."""
        hidden = self.base.hidden
        return [each for each in self.parts if each.member not in hidden]


def locate(
    shard_map: ShardMap, space: int, key: bytes, collection: int | None = None
) -> Reading[ProfileMembers | None]:
    """Finds the live profile of an identifier's key, or of a member that founded one.

    With a `collection`, 0 for users and 1 for accounts, one of the other is none: a member does
    not tell by itself, and a caller may have put any collection before it. Profiles may merge
    while it walks, so it goes on until a home says that it is there.
    """
    for _ in range(HOPS_MAX):
        shard = shard_map.shard_of(key)
        answers = yield {shard: [Locate(space, key, collection)]}
        found = cast("Located", answers[shard][0])
        if found.root is None:
            return None
        if found.members is not None:
            return ProfileMembers(
                found.root, found.members, found.merges, found.created_us, frozenset(found.hidden)
            )
        key = found.root
    message = "bindings lead in a circle"
    raise AssertionError(message)


def look_up_names(shard_map: ShardMap, keys: list[bytes]) -> Reading[list[LookedUp]]:
    """Asks which lives identifiers are in, and how events founded profiles for them alone."""
    asked: dict[int, list[bytes]] = {}
    for key in keys:
        asked.setdefault(shard_map.shard_of(key), []).append(key)
    answers = yield {shard: [LookUpName(key) for key in listed] for shard, listed in asked.items()}
    found = {
        key: cast("LookedUp", answer)
        for shard, listed in asked.items()
        for key, answer in zip(listed, answers[shard], strict=True)
    }
    return [found[key] for key in keys]


def read_profile(
    shard_map: ShardMap,
    space: int,
    key: bytes,
    *,
    with_traits: bool,
    collection: int | None = None,
) -> Reading[Profile | None]:
    """Reads everything of a profile but its events; `collection` as in `locate`."""
    root = yield from locate(shard_map, space, key, collection)
    if root is None:
        return None
    questions: dict[int, list[Question]] = {}
    for member in root.members:
        questions.setdefault(shard_map.shard_of(member), []).append(Gather(member, with_traits))
    answers = yield questions
    parts = [cast("Gathered", each) for listed in answers.values() for each in listed]
    parts = sorted((each for each in parts if each.type), key=_age)
    traits: dict[str, TraitCell] = {}
    for part in parts:
        if part.traits:
            merge_traits(traits, _cells(part.traits))
    return Profile(root, parts, visible(traits))


def list_events(
    shard_map: ShardMap,
    space: int,
    key: bytes,
    question: ListEvents,
    collection: int | None = None,
) -> Reading[tuple[ProfileMembers, list[StoredEvent]] | None]:
    """Reads a page of a profile's events: `question` without its members; one more than a page.

    `collection` as in `locate`.
    """
    root = yield from locate(shard_map, space, key, collection)
    if root is None:
        return None
    by_shard: dict[int, list[bytes]] = {}
    for member in root.members:
        by_shard.setdefault(shard_map.shard_of(member), []).append(member)
    answers = yield {
        shard: [msgspec.structs.replace(question, members=members)]
        for shard, members in by_shard.items()
    }
    events = [each for listed in answers.values() for each in cast("list[StoredEvent]", listed[0])]
    events.sort(key=lambda each: each.order, reverse=not question.ascending)
    return root, events[: question.limit]


def _age(part: Gathered) -> tuple[int, bytes]:
    return part.joined_us, part.member
