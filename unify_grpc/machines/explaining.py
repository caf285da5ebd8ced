"""Why two names stand for one profile, or why they do not, put together from all who know.

A generator like those of `assembly.py`: it yields what it asks of shards or of the merge actor and
is sent the answers, so the same code runs over Ray, in process and in a simulation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

from unify_grpc.machines.assembly import locate
from unify_grpc.machines.merge_reads import ExplainLinks
from unify_grpc.machines.profile_history import tell_history
from unify_grpc.machines.reads import EventsAt, FoundingsOf
from unify_grpc.placement.members import KEY_BYTES

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

    from unify_grpc.machines.links import Founding
    from unify_grpc.machines.merge_reads import (
        DecidedLink,
        DroppedIdentifier,
        LinksExplained,
        PathStep,
    )
    from unify_grpc.machines.profile_history import HistoryRow
    from unify_grpc.machines.reads import Answer, FoundedMember, Question, ToldEvent
    from unify_grpc.placement.slots import ShardMap

    Asked = dict[int, list[Question]] | ExplainLinks
    """Questions by shard, or the one to the merge actor."""

HISTORY_ROWS_MAX: Final = 200
FOUNDINGS_ASKED_MAX: Final = 4000
"""Members that shards are asked about; more than any profile has whose caps were not lifted."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why two names stand for one profile, or for two."""

    first_root: bytes
    """The profile that the first name stands for."""
    second_root: bytes
    path: list[PathStep]
    """From the first to the second; empty unless both are of one profile."""
    drops: list[DroppedIdentifier]
    """That kept them apart, the newest first."""
    history: list[HistoryRow]
    """The first rows of all profiles concerned, the oldest first."""
    events: dict[tuple[int, int], ToldEvent]
    """By shard and position, of every link in the path and the drops."""


@dataclass(frozen=True, slots=True)
class Unknown:
    """That a name stands for no profile."""

    is_second: bool
    drop: DroppedIdentifier | None
    """The newest that left it out of an event which carried an identifier of the other."""


def explain(
    shard_map: ShardMap, space: int, first: bytes, second: bytes, collection: int | None = None
) -> Generator[Asked, Any, Explanation | Unknown]:
    """Explains two names of one collection: keys of identifiers, or members that founded one.

    `collection` as in `locate`.
    """
    first_found = yield from locate(shard_map, space, first, collection)
    second_found = yield from locate(shard_map, space, second, collection)
    if first_found is None or second_found is None:
        is_second = first_found is not None
        # A member without a profile here may be of another space: nobody is asked about it.
        if first_found is second_found or len(second if is_second else first) != KEY_BYTES:
            return Unknown(is_second, None)
    links: LinksExplained = yield ExplainLinks(space, first, second)
    if first_found is None or second_found is None:
        return Unknown(first_found is not None, links.drops[0] if links.drops else None)
    # What the merge actor decided counts, also where shards were asked a moment too early.
    roots = links.first_root or first_found.root, links.second_root or second_found.root
    listed = [step.link for step in links.path] + [drop.link for drop in links.drops]
    events, foundings = yield from _ask_shards(shard_map, space, listed, _founders(links, roots))
    history = tell_history(links.changes, foundings, roots)[:HISTORY_ROWS_MAX]
    return Explanation(*roots, links.path, links.drops, history, events)


def _founders(links: LinksExplained, roots: Iterable[bytes]) -> list[bytes]:
    """Returns the members that an event may have founded a profile for without any decision."""
    founders = dict.fromkeys(roots)
    for change in links.changes:
        founders.update(dict.fromkeys((change.root, *change.absorbed, *change.joined)))
    return list(founders)[:FOUNDINGS_ASKED_MAX]


def _ask_shards(
    shard_map: ShardMap, space: int, links: list[DecidedLink], members: list[bytes]
) -> Generator[
    Asked, dict[int, list[Answer]], tuple[dict[tuple[int, int], ToldEvent], dict[bytes, Founding]]
]:
    """Asks each shard once: what of these events it stored, and which profiles it founded."""
    positions: dict[int, list[int]] = {}
    for link in dict.fromkeys((each.shard, each.position) for each in links):
        positions.setdefault(link[0], []).append(link[1])
    asked: dict[int, list[bytes]] = {}
    for member in members:
        asked.setdefault(shard_map.shard_of(member), []).append(member)
    shards = sorted({*positions, *asked})
    answers = yield {
        shard: [EventsAt(positions.get(shard, [])), FoundingsOf(space, asked.get(shard, []))]
        for shard in shards
    }
    events: dict[tuple[int, int], ToldEvent] = {}
    foundings: dict[bytes, Founding] = {}
    for shard in shards:
        told, founded = answers[shard]
        for position, event in zip(
            positions.get(shard, []), cast("list[ToldEvent]", told), strict=True
        ):
            events[shard, position] = event
        for each in cast("list[FoundedMember]", founded):
            foundings[each.member] = each.founding
    return events, foundings
