"""Streams whose profiles are merged: chains and stars of small ones, and pairs of large ones."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Final, NamedTuple

from bench.event_writer import write_event
from bench.ledger import USER_ID, Name, rank
from bench.people import Action
from bench.workload import START_US, STEP_US, Stream
from unify_grpc._pb.unify.v1 import event_pb2

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.workload import Mix

PER_TYPE: Final = 5
"""Identifiers of a type in a chain or star: as many as the default limit allows."""
_TRACK: Final = Action([], None, is_identify=False)


class StormShape(NamedTuple):
    """How many chains, as many stars, and of how many identifiers each."""

    clusters: int
    """Of each kind, in a stream."""
    members: int


class ScriptedStream(Stream, ABC):
    """A stream that follows a script: nothing comes late, nothing twice, and it has an end."""

    late_share = 0.0
    repeated_share = 0.0

    def __init__(self, seed: int, number: int) -> None:
        """Takes the workload's seed and the stream's number."""
        super().__init__(seed, number)
        self._script = self._play()

    def _happen(self, mix: Mix) -> tuple[tuple[Name, ...], bytes]:
        del mix
        names = next(self._script)
        self._events += 1
        message_id = f"msg-{self._number}-{self._events}"
        time_us = START_US + self._events * STEP_US
        event = event_pb2.Event.FromString(
            write_event(self._random, _TRACK, message_id, time_us),
        )
        for type_, value in names:
            if type_ == USER_ID:
                event.user_id = value
            else:
                event.external_ids.add(id=value, type=type_, collection="users", encoding="none")
        return tuple(sorted(names, key=rank)), event.SerializeToString()

    @abstractmethod
    def _play(self) -> Iterator[list[Name]]:
        """Yields the identifiers of each event."""


class StormStream(ScriptedStream):
    """Everybody alone at first; then the links of all chains, then those of all stars."""

    def __init__(self, seed: int, number: int, shape: StormShape) -> None:
        """Takes the workload's seed, the stream's number, and what is to be made."""
        self._shape = shape
        super().__init__(seed, number)

    def _play(self) -> Iterator[list[Name]]:
        clusters, members = self._shape
        alone = [(each, member) for each in range(2 * clusters) for member in range(members)]
        chains = [(each, link, link + 1) for each in range(clusters) for link in range(members - 1)]
        stars = [
            (clusters + each, 0, leaf) for each in range(clusters) for leaf in range(1, members)
        ]
        for ties in (alone, chains, stars):
            # Parts of a chain grow together in any order, and all clusters at the same time.
            self._random.shuffle(ties)
            for cluster, *tied in ties:
                yield [self._member(cluster, member) for member in tied]

    def _member(self, cluster: int, member: int) -> Name:
        kinds = -(-self._shape.members // PER_TYPE)
        return Name(f"storm_{member % kinds:02}", f"s-{self._number}-{cluster}-{member}")


class PairStream(ScriptedStream):
    """Profiles of many events, two of each size in a round; then each two are linked."""

    def __init__(self, seed: int, number: int, sizes: tuple[int, ...], rounds: int) -> None:
        """Takes the workload's seed, the stream's number, the sizes, and how often each comes."""
        self._pairs = [(size, each) for each in range(rounds) for size in sizes]
        super().__init__(seed, number)

    def _play(self) -> Iterator[list[Name]]:
        sides = [
            side
            for size, number in self._pairs
            for side in _sides(size, number)
            for _ in range(size)
        ]
        self._random.shuffle(sides)
        for side in sides:
            yield [side]
        for size, number in self._pairs:
            yield list(_sides(size, number))


def _sides(size: int, number: int) -> tuple[Name, Name]:
    label = f"{size}-{number}"
    return Name(USER_ID, f"u-{label}"), Name("anonymous_id", f"a-{label}")
