"""Reads of profiles for all edges: run a reading over the backend, mask what is not to be seen."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

from unify_grpc.identity.identifiers import COLLECTIONS, Identifier
from unify_grpc.machines.assembly import list_events, locate, read_profile
from unify_grpc.placement.members import member_of_segment_id
from unify_grpc.service.errors import ProfileNotFoundError, RequestInvalidError
from unify_grpc.service.read_sender import ReadSender

if TYPE_CHECKING:
    from collections.abc import Generator

    from unify_grpc.machines.assembly import Profile, ProfileMembers
    from unify_grpc.machines.reads import Answer, ListEvents, Question, StoredEvent
    from unify_grpc.service.backend import Backend
    from unify_grpc.service.directory import Space

T = TypeVar("T")


class ProfileReader:
    """Reads profiles of all spaces."""

    def __init__(self, backend: Backend) -> None:
        self.shard_map = backend.shard_map
        self._senders = [ReadSender(shard, backend) for shard in range(self.shard_map.shard_count)]

    async def read_profile(self, space: Space, named: Named, *, with_traits: bool) -> Profile:
        """Returns a profile; `ProfileNotFoundError` if there is none."""
        number = space.record.number
        profile = await self._run(
            read_profile(self.shard_map, number, named.key, with_traits=with_traits)
        )
        if profile is None:
            raise ProfileNotFoundError(identifier_type=named.type)
        return profile

    async def locate(self, space: Space, named: Named) -> ProfileMembers:
        """Returns a profile's members; `ProfileNotFoundError` if there is none."""
        found = await self._run(locate(self.shard_map, space.record.number, named.key))
        if found is None:
            raise ProfileNotFoundError(identifier_type=named.type)
        return found

    async def list_events(
        self, space: Space, named: Named, question: ListEvents
    ) -> tuple[ProfileMembers, list[StoredEvent]]:
        """Returns a page of a profile's events; `ProfileNotFoundError` if there is no profile."""
        reading = list_events(self.shard_map, space.record.number, named.key, question)
        page = await self._run(reading)
        if page is None:
            raise ProfileNotFoundError(identifier_type=named.type)
        return page

    async def _run(
        self, reading: Generator[dict[int, list[Question]], dict[int, list[Answer]], T]
    ) -> T:
        try:
            asked = next(reading)
            while True:
                answers = await asyncio.gather(
                    *(self._senders[shard].ask(questions) for shard, questions in asked.items())
                )
                asked = reading.send(dict(zip(asked, answers, strict=True)))
        except StopIteration as stop:
            result: T = stop.value
            return result


class Named:
    """A profile as a caller names it."""

    __slots__ = ("collection", "key", "type")

    def __init__(self, collection: str, type_: str, key: bytes) -> None:
        self.collection = collection
        self.type = type_
        """Of the identifier; empty for a segment_id."""
        self.key = key
        """16 bytes of an identifier, or 20 of the founding member in a segment_id."""


def name_by_segment_id(segment_id: str) -> Named:
    """Returns the profile of a segment_id; one that cannot be one is not found."""
    found = member_of_segment_id(segment_id)
    if found is None:
        raise ProfileNotFoundError
    return Named(found[0], "", found[1])


def name_by_identifier(space: Space, collection: str, type_: str, value: str) -> Named:
    """Returns the profile of an identifier, normalised like a promoted one."""
    violations = []
    if collection not in COLLECTIONS:
        violations.append(("name.identifier.collection", "is neither users nor accounts"))
    if not type_:
        violations.append(("name.identifier.type", "is missing"))
    if not value:
        violations.append(("name.identifier.value", "is missing"))
    if violations:
        raise RequestInvalidError(violations)
    normalised, _ = space.view.rules.verdict(type_, value)
    if normalised is None:
        raise ProfileNotFoundError
    key = space.view.keys.key(Identifier(collection, type_, normalised))
    return Named(collection, type_, key)


MASK = "***"
"""Stands for a value that the reader may not see."""
MASK_JSON = b'"***"'
