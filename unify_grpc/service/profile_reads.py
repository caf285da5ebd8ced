"""Reads of profiles for all edges: run a reading over the backend, mask what is not to be seen."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

from unify_grpc.identity.identifiers import (
    ACCOUNTS,
    COLLECTIONS,
    GROUP_ID,
    GROUP_ID_CHARS_MAX,
    VALUE_BYTES_MAX,
    Identifier,
    is_type_name,
    normalise_value,
)
from unify_grpc.machines.assembly import list_events, locate, look_up_names, read_profile
from unify_grpc.machines.explaining import explain
from unify_grpc.machines.link_listing import list_links
from unify_grpc.machines.merge_reads import ExplainLinks
from unify_grpc.placement.members import member_of_segment_id
from unify_grpc.service.errors import ProfileNotFoundError, RequestInvalidError
from unify_grpc.service.read_sender import ReadSender

if TYPE_CHECKING:
    from collections.abc import Generator

    from unify_grpc.machines.account_links import LinkPlace
    from unify_grpc.machines.assembly import Profile, ProfileMembers
    from unify_grpc.machines.explaining import Asked, Explanation, Unknown
    from unify_grpc.machines.link_listing import LinkPage
    from unify_grpc.machines.links import LookedUp
    from unify_grpc.machines.merge_reads import LinksExplained
    from unify_grpc.machines.reads import Answer, ListEvents
    from unify_grpc.machines.stored_event import StoredEvent
    from unify_grpc.service.backend import Backend
    from unify_grpc.service.directory import Space

T = TypeVar("T")


class ProfileReader:
    """Reads profiles of all spaces."""

    def __init__(self, backend: Backend) -> None:
        self.shard_map = backend.shard_map
        self._backend = backend
        self._senders = [ReadSender(shard, backend) for shard in range(self.shard_map.shard_count)]

    async def read_profile(self, space: Space, named: Named, *, with_traits: bool) -> Profile:
        """Returns a profile; `ProfileNotFoundError` if there is none."""
        number = space.record.number
        profile = await self._run(
            read_profile(
                self.shard_map,
                number,
                named.key,
                with_traits=with_traits,
                collection=named.side,
            )
        )
        if profile is None:
            raise ProfileNotFoundError(**named.facts)
        return profile

    async def locate(self, space: Space, named: Named) -> ProfileMembers:
        """Returns a profile's members; `ProfileNotFoundError` if there is none."""
        found = await self._run(locate(self.shard_map, space.record.number, named.key, named.side))
        if found is None:
            raise ProfileNotFoundError(**named.facts)
        return found

    async def look_up(self, keys: list[bytes]) -> list[LookedUp]:
        """Returns what shards know of identifiers' names, for the merge actor."""
        return await self._run(look_up_names(self.shard_map, keys))

    async def explain(self, space: Space, first: Named, second: Named) -> Explanation | Unknown:
        """Returns why two names of one collection stand for one profile, or for two."""
        number = space.record.number
        return await self._run(explain(self.shard_map, number, first.key, second.key, first.side))

    async def list_events(
        self, space: Space, named: Named, question: ListEvents
    ) -> tuple[ProfileMembers, list[StoredEvent]]:
        """Returns a page of a profile's events; `ProfileNotFoundError` if there is no profile."""
        number = space.record.number
        reading = list_events(self.shard_map, number, named.key, question, named.side)
        page = await self._run(reading)
        if page is None:
            raise ProfileNotFoundError(**named.facts)
        return page

    async def list_links(
        self, space: Space, named: Named, *, after: LinkPlace | None, limit: int
    ) -> LinkPage:
        """Returns a page of a profile's links; `ProfileNotFoundError` if there is no profile."""
        reading = list_links(
            self.shard_map,
            space.record.number,
            named.key,
            after=after,
            limit=limit,
            collection=named.side,
        )
        page = await self._run(reading)
        if page is None:
            raise ProfileNotFoundError(**named.facts)
        return page

    async def run(self, reading: Generator[Asked, Any, T]) -> T:
        """Runs any reading to its end."""
        return await self._run(reading)

    async def _run(self, reading: Generator[Asked, Any, T]) -> T:
        try:
            asked = next(reading)
            while True:
                asked = reading.send(await self._ask(asked))
        except StopIteration as stop:
            result: T = stop.value
            return result

    async def _ask(self, asked: Asked) -> dict[int, list[Answer]] | LinksExplained:
        if isinstance(asked, ExplainLinks):
            return await self._backend.explain(asked)
        answers = await asyncio.gather(
            *(self._senders[shard].ask(questions) for shard, questions in asked.items())
        )
        return dict(zip(asked, answers, strict=True))


class Named:
    """A profile as a caller names it."""

    __slots__ = ("collection", "key", "type")

    def __init__(self, collection: str, type_: str, key: bytes) -> None:
        self.collection = collection
        self.type = type_
        """Of the identifier; empty for a segment_id."""
        self.key = key
        """16 bytes of an identifier, or 20 of the founding member in a segment_id."""

    @property
    def side(self) -> int:
        """The collection as shards know it: 0 users, 1 accounts."""
        return int(self.collection == ACCOUNTS)

    @property
    def facts(self) -> dict[str, str]:
        """What a caller is told who asked for it where it is not."""
        return {"identifier_type": self.type} if self.type else {}


def name_by_segment_id(segment_id: str) -> Named:
    """Returns the profile of a segment_id; one that cannot be one is not found."""
    found = member_of_segment_id(segment_id)
    if found is None:
        raise ProfileNotFoundError
    return Named(found[0], "", found[1])


def name_by_identifier(
    space: Space, collection: str, type_: str, value: str, field: str = "name.identifier"
) -> Named:
    """Returns the profile of an identifier, normalised like a promoted one.

    Raises:
        RequestInvalidError: no identifier can be like this; `field` is where it stood.
    """
    violations = []
    if collection not in COLLECTIONS:
        violations.append((f"{field}.collection", "is neither users nor accounts"))
    # Whatever the rules say by now of its type: what a profile holds can be asked for.
    lowercase_email = space.view.rules.lowercase_email
    normalised = normalise_value(type_, value, lowercase_email=lowercase_email)
    violations.extend(identifier_violations(type_, value, normalised, field))
    if violations or normalised is None:
        raise RequestInvalidError(violations)
    key = space.view.keys.key(Identifier(collection, type_, normalised))
    return Named(collection, type_, key)


def identifier_violations(
    type_: str, value: str, normalised: str | None, field: str
) -> list[tuple[str, str]]:
    """Returns why a type and a value, None in normal form, are those of no identifier."""
    violations = []
    if not type_:
        violations.append((f"{field}.type", "is missing"))
    elif not is_type_name(type_):
        violations.append((f"{field}.type", "is not 1 to 64 of a-z, 0-9, '_', '.', '-'"))
    if not value:
        violations.append((f"{field}.value", "is missing"))
    elif normalised is None:
        is_group_id = type_ == GROUP_ID
        bound = f"{GROUP_ID_CHARS_MAX} characters" if is_group_id else f"{VALUE_BYTES_MAX} bytes"
        violations.append((f"{field}.value", f"is not 1 to {bound} without control characters"))
    return violations
