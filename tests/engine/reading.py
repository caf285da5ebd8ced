"""Reads of a space through the readers of its shards, each of them in an instant."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import msgspec

from unify_grpc.identity.identifiers import Identifier, normalise_value
from unify_grpc.machines.assembly import list_events, locate, read_profile
from unify_grpc.machines.journal import PROFILE, decode_profile
from unify_grpc.machines.reads import ListEvents
from unify_grpc.machines.rows import MemberRow
from unify_grpc.placement.members import member_of_segment_id, segment_id_of

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from unify_grpc.machines.framing import SpaceView
    from unify_grpc.machines.shard_reader import ShardReader
    from unify_grpc.machines.tables import View
    from unify_grpc.placement.slots import ShardMap

T = TypeVar("T")


class ReadableShard(Protocol):
    """What a shard needs to be read; both may be others after a restart."""

    @property
    def store(self) -> View:
        """Its rows."""

    @property
    def reader(self) -> ShardReader:
        """Answers questions about them."""


class SpaceReads:
    """The reads of a space on shards that are all at hand; what writes there is a subclass."""

    shard_map: ShardMap
    shards: Sequence[ReadableShard]
    space: SpaceView

    def read(self, reading: Generator[Any, Any, T]) -> T:
        """Runs a read."""
        try:
            questions = next(reading)
            while True:
                answers = {
                    number: self.shards[number].reader.answer(asked)
                    for number, asked in questions.items()
                }
                questions = reading.send(answers)
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]  # of a generator

    def key(self, collection: str, identifier: str) -> bytes:
        """Returns the key of `type:value`."""
        type_, _, value = identifier.partition(":")
        normalised = self.normalised(type_, value)
        return self.space.keys.key(Identifier(collection, type_, normalised))

    def normalised(self, type_: str, value: str) -> str:
        """Returns a value as it is promoted."""
        normalised = normalise_value(type_, value, lowercase_email=self.space.rules.lowercase_email)
        assert normalised is not None
        return normalised

    def segment_id(self, identifier: str, collection: str = "users") -> str | None:
        """Returns the canonical segment_id of an identifier's profile."""
        key = self.key(collection, identifier)
        root = self.read(locate(self.shard_map, self.space.number, key))
        return segment_id_of(collection, root.root) if root else None

    def canonical(self, segment_id: str) -> str:
        """Returns what a segment_id stands for."""
        named = member_of_segment_id(segment_id)
        assert named is not None
        root = self.read(locate(self.shard_map, self.space.number, named[1]))
        assert root is not None
        return segment_id_of(named[0], root.root)

    def traits(self, identifier: str, collection: str = "users") -> dict[str, Any]:
        """Returns the traits of an identifier's profile."""
        key = self.key(collection, identifier)
        profile = self.read(read_profile(self.shard_map, self.space.number, key, with_traits=True))
        if profile is None:
            return {}
        return {name: msgspec.json.decode(cell.value_json) for name, cell in profile.traits.items()}

    def events(self, identifier: str, collection: str = "users") -> list[str]:
        """Returns the message ids of a profile's history, oldest first."""
        question = ListEvents([], [], None, None, None, [], True, None, 10_000)
        key = self.key(collection, identifier)
        page = self.read(list_events(self.shard_map, self.space.number, key, question))
        return [each.message_id for each in page[1]] if page else []

    def partition(self, collection: str = "users") -> set[frozenset[str]]:
        """Returns every profile as the set of its identifiers."""
        profiles = set()
        wanted = 1 if collection == "accounts" else 0
        for shard in self.shards:
            for key, data in shard.store.scan(b"m"):
                row = MemberRow.unpack(data)
                if row.collection != wanted or not (row.founded or row.root):
                    continue
                profile = self.read(
                    read_profile(self.shard_map, self.space.number, key[1:], with_traits=False)
                )
                assert profile is not None
                profiles.add(frozenset(f"{part.type}:{part.value}" for part in profile.identifiers))
        return profiles


def merges_in(merge_store: View) -> int:
    """Returns how many profiles were absorbed by those of a merge actor's store."""
    return sum(decode_profile(value).merges for _, value in merge_store.scan(PROFILE))
