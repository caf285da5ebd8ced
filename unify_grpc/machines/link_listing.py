"""How a page of a profile's links is put together: what it is linked to in the other collection.

Rows of links lie from member to member, so two profiles may be linked several times over. A pair of
profiles is shown at its first row, in order of (time, other member, own member), and at no other:
this needs no memory from page to page. It costs one look per pair of members of the two profiles,
which is one or a few for nearly all of them.

Like the functions of `assembly`, these are generators that yield questions by shard.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

from unify_grpc.machines.assembly import HOPS_MAX, Profile, ProfileMembers, locate
from unify_grpc.machines.link_questions import FirstLinks, FoundFirstLinks, ListedLinks, ListLinks
from unify_grpc.machines.reads import Gather, Gathered, Locate, Located

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from unify_grpc.machines.account_links import LinkPlace
    from unify_grpc.machines.assembly import Reading
    from unify_grpc.machines.reads import Question
    from unify_grpc.placement.slots import ShardMap

SCANS_MAX: Final = 4
"""Times a page's worth of rows is read for one page; then the page is short."""


@dataclass(frozen=True, slots=True)
class ProfileLink:
    """A profile of the other collection."""

    profile: Profile
    """Without traits."""
    time_us: int
    """Of the first event that named both, microseconds since 1970."""


@dataclass(frozen=True, slots=True)
class LinkPage:
    """Some links of a profile, the oldest first."""

    base: ProfileMembers
    """Of the profile whose links they are."""
    links: list[ProfileLink]
    after: LinkPlace | None
    """Where the next page begins; None: there is none."""


def list_links(
    shard_map: ShardMap,
    space: int,
    key: bytes,
    *,
    after: LinkPlace | None,
    limit: int,
    collection: int | None = None,
) -> Reading[LinkPage | None]:
    """Reads a page of at most `limit` links; it may be short, or even empty, before the last.

    `collection` as in `locate`.
    """
    base = yield from locate(shard_map, space, key, collection)
    if base is None:
        return None
    found: list[tuple[LinkPlace, ProfileMembers]] = []
    is_last = False
    for _ in range(SCANS_MAX):
        wanted = limit - len(found)
        places, is_last = yield from _next_places(shard_map, base, after, wanted)
        found.extend((yield from _shown(shard_map, space, base, places)))
        after = places[-1] if places else after
        if is_last or len(found) == limit:
            break
    profiles = yield from _gather(shard_map, [other for _, other in found])
    links = [
        ProfileLink(profile, place[0]) for (place, _), profile in zip(found, profiles, strict=True)
    ]
    return LinkPage(base, links, None if is_last else after)


def _next_places(
    shard_map: ShardMap, base: ProfileMembers, after: LinkPlace | None, limit: int
) -> Reading[tuple[list[LinkPlace], bool]]:
    """Reads the next rows of links; returns them and whether they are the last."""
    answers = yield {
        shard: [ListLinks(members, after, limit + 1)]
        for shard, members in _by_shard(shard_map, base.members).items()
    }
    places = sorted(
        place for listed in answers.values() for place in cast("ListedLinks", listed[0]).places
    )
    return places[:limit], len(places) <= limit


def _shown(
    shard_map: ShardMap, space: int, base: ProfileMembers, places: Sequence[LinkPlace]
) -> Reading[list[tuple[LinkPlace, ProfileMembers]]]:
    """Returns the rows that are the first between their two profiles, with the other one.

    A member of no profile yet, whose first link is still to be decided, is passed over.
    """
    located = yield from locate_all(shard_map, space, {other for _, other, _ in places})
    live = {root.root: root for root in located.values() if root is not None}
    doubtful = [each for each in live.values() if len(base.members) * len(each.members) > 1]
    first: dict[bytes, LinkPlace] = {}
    if doubtful:
        others = [each.members for each in doubtful]
        answers = yield {
            shard: [FirstLinks(members, others)]
            for shard, members in _by_shard(shard_map, base.members).items()
        }
        for listed in answers.values():
            for each, place in zip(
                doubtful, cast("FoundFirstLinks", listed[0]).places, strict=True
            ):
                if place is not None:
                    first[each.root] = min(place, first.get(each.root, place))
    shown = []
    for place in places:
        profile = located[place[1]]
        if profile is not None and first.get(profile.root, place) == place:
            shown.append((place, profile))
    return shown


def locate_all(
    shard_map: ShardMap, space: int, members: Iterable[bytes]
) -> Reading[dict[bytes, ProfileMembers | None]]:
    """Finds the live profiles of several members at once; None for one that is on no profile."""
    found: dict[bytes, ProfileMembers | None] = {}
    waiting = {member: member for member in members}
    for _ in range(HOPS_MAX):
        if not waiting:
            return found
        asked = _by_shard(shard_map, sorted(set(waiting.values())))
        answers = yield {
            shard: [Locate(space, key) for key in keys] for shard, keys in asked.items()
        }
        told = {
            key: cast("Located", answer)
            for shard, keys in asked.items()
            for key, answer in zip(keys, answers[shard], strict=True)
        }
        following = {}
        for member, key in waiting.items():
            here = told[key]
            if here.root is None:
                found[member] = None
            elif here.members is None:
                following[member] = here.root
            else:
                found[member] = ProfileMembers(
                    here.root,
                    here.members,
                    here.merges,
                    here.created_us,
                    frozenset(here.hidden),
                )
        waiting = following
    message = "bindings lead in a circle"
    raise AssertionError(message)


def _gather(shard_map: ShardMap, found: Sequence[ProfileMembers]) -> Reading[list[Profile]]:
    """Reads the identifiers of profiles."""
    members = sorted({member for each in found for member in each.members})
    questions: dict[int, list[Question]] = {}
    for shard, listed in _by_shard(shard_map, members).items():
        questions[shard] = [Gather(member, with_traits=False) for member in listed]
    if not questions:
        return []
    answers = yield questions
    parts = {
        part.member: part
        for listed in answers.values()
        for part in cast("list[Gathered]", listed)
        if part.type
    }
    return [
        Profile(each, [parts[member] for member in each.members if member in parts], {})
        for each in found
    ]


def _by_shard(shard_map: ShardMap, members: Iterable[bytes]) -> dict[int, list[bytes]]:
    by_shard: dict[int, list[bytes]] = {}
    for member in members:
        by_shard.setdefault(shard_map.shard_of(member), []).append(member)
    return by_shard
