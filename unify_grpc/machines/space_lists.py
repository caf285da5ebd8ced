"""Lists of a space's profiles, merged from what shards know of their members.

A profile has many members, and a list shows it once without remembering what it has shown: at
the one member that stands for it. What stands for a profile follows from the profile as it is
now, so nothing has to be kept between two pages.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol, cast

import msgspec

from unify_grpc.identity.traits import TraitCell
from unify_grpc.machines.assembly import read_profile
from unify_grpc.machines.found_by import folded, prefix_key, prefix_start
from unify_grpc.machines.lanes import Lanes, Listed, Taken
from unify_grpc.machines.list_questions import (
    NEWEST,
    ActiveMembers,
    FindByPrefix,
    FindByTrait,
    FoundMembers,
    ListActive,
)
from unify_grpc.machines.together import together

if TYPE_CHECKING:
    from unify_grpc.machines.assembly import Profile, Reading
    from unify_grpc.machines.reads import Answer, Question
    from unify_grpc.placement.slots import ShardMap

ROUNDS_MAX: Final = 8
"""Of asking all shards for one page; after them it may come short."""
_cells = msgspec.msgpack.Decoder(dict[str, TraitCell]).decode


class ProfilePage(NamedTuple):
    """Profiles of one page."""

    profiles: list[Profile]
    cursors: list[Any] | None
    """Where the next page goes on, by shard; None: this is the last one."""


class Search(Protocol):
    """One way to list profiles."""

    with_traits: bool
    first_cursor: Any
    """Where a shard begins."""

    def ask(self, cursor: Any, limit: int) -> Question:
        """Returns the question for a shard that goes on at a cursor."""

    def take(self, cursor: Any, answer: Answer) -> Taken[bytes]:
        """Returns the members that an answer lists."""

    def stands_for(self, listed: Listed[bytes], profile: Profile) -> bool:
        """Whether this member is the one at which its profile is shown."""


def list_profiles(
    shard_map: ShardMap, space: int, search: Search, cursors: list[Any] | None, limit: int
) -> Reading[ProfilePage]:
    """Reads a page of profiles; it may come short while there are more.

    Args:
        shard_map: which shard owns what.
        space: its number.
        search: how they are found.
        cursors: of the page before; None: the first page.
        limit: profiles a page has at most.
    """
    shards = range(shard_map.shard_count)
    lanes: Lanes[bytes] = Lanes(cursors or [search.first_cursor for _ in shards])
    shown: list[Profile] = []
    for _ in range(ROUNDS_MAX):
        yield from lanes.feed(lambda cursor: search.ask(cursor, limit), search.take)
        while len(shown) < limit and (popped := lanes.pop(limit - len(shown))):
            read = yield from together(
                [
                    read_profile(shard_map, space, each.item, with_traits=search.with_traits)
                    for each in popped
                ]
            )
            shown.extend(
                profile
                for each, profile in zip(popped, read, strict=True)
                if profile is not None and search.stands_for(each, profile)
            )
        if len(shown) == limit or lanes.is_done:
            break
    return ProfilePage(shown, None if lanes.is_done else lanes.cursors())


class ByActivity:
    """The newest activity first: a profile stands at the last event of all its members."""

    first_cursor = NEWEST

    def __init__(
        self, space: int, collection: int, *, with_traits: bool, is_first_page: bool
    ) -> None:
        self.with_traits = with_traits
        self._space = space
        self._collection = collection
        self._is_first_page = is_first_page
        self._started_us = 0
        self._shown: set[bytes] = set()

    def ask(self, cursor: int, limit: int) -> Question:
        """Asks for members by their last event, before a position."""
        return ListActive(self._space, self._collection, cursor, limit)

    def take(self, cursor: int, answer: Answer) -> Taken[bytes]:
        """Takes members by their last event, the newest first."""
        active = cast("ActiveMembers", answer)
        if cursor == NEWEST:
            self._started_us = max(self._started_us, active.newest_us)
        listed = [
            Listed((-stamp_us, member), position + 1, member)
            for stamp_us, position, member in active.members
        ]
        return Taken(listed, active.next or None)

    def stands_for(self, listed: Listed[bytes], profile: Profile) -> bool:
        """Whether no other member was active later.

        On the first page also where that was only after the list was begun: a profile that is
        always active would else never be seen. It is shown at its first place then, and at no
        other, since its later activity lies outside of this list.
        """
        latest = max(
            (
                (part.last_sent.stamp_us, part.member)
                for part in profile.parts
                if part.last_sent is not None and part.member != listed.item
            ),
            default=(0, b""),
        )
        root = profile.base.root
        is_last = bool(latest < (-listed.order[0], listed.item))
        is_busy = self._is_first_page and latest[0] > self._started_us
        if root in self._shown or not (is_last or is_busy):
            return False
        self._shown.add(root)
        return True


class ByPrefix:
    """By the beginning of an identifier: a profile stands at the first that begins so."""

    first_cursor = b""

    def __init__(
        self, space: int, collection: int, type_: str, beginning: str, *, with_traits: bool
    ) -> None:
        self.with_traits = with_traits
        self._space = space
        self._collection = collection
        self._type = type_
        self._beginning = beginning

    def ask(self, cursor: bytes, limit: int) -> Question:
        """Asks for identifiers after a member's."""
        return FindByPrefix(
            self._space, self._collection, self._type, self._beginning, cursor, limit
        )

    def take(self, cursor: bytes, answer: Answer) -> Taken[bytes]:
        """Takes identifiers by value."""
        return _in_order(cursor, cast("FoundMembers", answer))

    def stands_for(self, listed: Listed[bytes], profile: Profile) -> bool:
        """Whether no other identifier of the profile that begins so comes before it."""
        start = prefix_start(self._space, self._collection, self._type, self._beginning)
        keys = (
            prefix_key(self._space, self._collection, part.type, part.value, part.member)
            for part in profile.identifiers
            if part.type == self._type
        )
        first = min((key for key in keys if key.startswith(start)), default=b"")
        return bool(first == listed.order)


class ByTrait:
    """By the value of a trait: a profile stands at the first member that set it to that."""

    with_traits = True
    first_cursor = b""

    def __init__(self, space: int, collection: int, name: str, text: str) -> None:
        """Takes the value folded."""
        self._space = space
        self._collection = collection
        self._name = name
        self._text = text

    def ask(self, cursor: bytes, limit: int) -> Question:
        """Asks for members after a member."""
        return FindByTrait(self._space, self._collection, self._name, self._text, cursor, limit)

    def take(self, cursor: bytes, answer: Answer) -> Taken[bytes]:
        """Takes members in their own order."""
        return _in_order(cursor, cast("FoundMembers", answer))

    def stands_for(self, listed: Listed[bytes], profile: Profile) -> bool:
        """Whether the profile's value is this one, and no member before it set it so."""
        present = profile.traits.get(self._name)
        if present is None or folded(present.value_json) != self._text:
            return False
        setters = (
            part.member
            for part in profile.parts
            if part.traits
            and (cell := _cells(part.traits).get(self._name)) is not None
            and folded(cell.value_json) == self._text
        )
        return min(setters, default=b"") == listed.item


def _in_order(cursor: bytes, found: FoundMembers) -> Taken[bytes]:
    listed = []
    for order, member in found.members:
        listed.append(Listed(order, cursor, member))
        cursor = member
    return Taken(listed, None if found.is_end else cursor)
