"""Lists of what happened in a space: its violations, and the tail of its events."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, cast

import msgspec

from unify_grpc.machines.assembly import locate
from unify_grpc.machines.lanes import Lanes, Listed, Taken
from unify_grpc.machines.list_questions import NEWEST, FoundViolation
from unify_grpc.machines.together import together

if TYPE_CHECKING:
    from collections.abc import Iterable

    from unify_grpc.machines.assembly import Reading
    from unify_grpc.machines.list_questions import (
        FoundViolations,
        ListSpaceViolations,
        TailedEvent,
        TailedEvents,
        TailSpace,
    )
    from unify_grpc.machines.reads import Answer, Question
    from unify_grpc.placement.slots import ShardMap

ROUNDS_MAX = 8
"""Of asking all shards for one page; after them it may come short."""


class ViolationPage(NamedTuple):
    """Violations of one page, with the profiles that their events belong to."""

    violations: list[tuple[FoundViolation, bytes]]
    """(violation, root of its profile; empty if there is none)."""
    cursors: list[int | None] | None
    """Where the next page goes on, by shard; None: this is the last one."""


class TailPage(NamedTuple):
    """The next events of a tail."""

    events: list[tuple[TailedEvent, int, bytes]]
    """(event, its shard, root of its profile; empty if there is none yet)."""
    positions: list[int]
    """Where each shard goes on after all of them."""
    is_end: bool
    """Whether there were no more."""


def list_violations(
    shard_map: ShardMap,
    question: ListSpaceViolations,
    cursors: list[int | None] | None,
    limit: int,
) -> Reading[ViolationPage]:
    """Reads a page of violations, the newest first; it may come short while there are more.

    Args:
        shard_map: which shard owns what.
        question: what to list; its `before` and `limit` are filled in.
        cursors: of the page before; None: the first page.
        limit: violations a page has at most.
    """
    shards = range(shard_map.shard_count)
    lanes: Lanes[FoundViolation] = Lanes(cursors or [NEWEST for _ in shards])

    def ask(cursor: int) -> Question:
        return msgspec.structs.replace(question, before=cursor, limit=limit)

    found: list[FoundViolation] = []
    for _ in range(ROUNDS_MAX):
        yield from lanes.feed(ask, _take_violations)
        found.extend(each.item for each in lanes.pop(limit - len(found)))
        if len(found) == limit or lanes.is_done:
            break
    members = [each.event.member for each in found if each.event is not None]
    roots = yield from locate_roots(shard_map, question.space, members)
    violations = [
        (each, roots.get(each.event.member, b"") if each.event is not None else b"")
        for each in found
    ]
    return ViolationPage(violations, None if lanes.is_done else lanes.cursors())


def tail_space(
    shard_map: ShardMap, question: TailSpace, positions: list[int] | None
) -> Reading[TailPage]:
    """Reads the next events of a space: those of one shard in the order it stored them.

    Args:
        shard_map: which shard owns what.
        question: what to list; its `start` is filled in.
        positions: where each shard goes on; None: at its end.
    """
    starts = positions or [NEWEST for _ in range(shard_map.shard_count)]
    answers = yield {
        shard: [msgspec.structs.replace(question, start=start)]
        for shard, start in enumerate(starts)
    }
    found = {shard: cast("TailedEvents", answer[0]) for shard, answer in answers.items()}
    tailed = [(each, shard) for shard, listed in found.items() for each in listed.events]
    members = [each.event.member for each, _ in tailed if not each.is_pending]
    roots = yield from locate_roots(shard_map, question.space, members)
    events = [
        (each, shard, b"" if each.is_pending else roots.get(each.event.member, b""))
        for each, shard in _by_stamp(tailed)
    ]
    return TailPage(
        events,
        [found[shard].next for shard in range(len(starts))],
        all(listed.is_end for listed in found.values()),
    )


def locate_roots(
    shard_map: ShardMap, space: int, members: Iterable[bytes]
) -> Reading[dict[bytes, bytes]]:
    """Returns the profile of each member that is on one."""
    distinct = list(dict.fromkeys(members))
    located = yield from together([locate(shard_map, space, member) for member in distinct])
    return {
        member: found.root
        for member, found in zip(distinct, located, strict=True)
        if found is not None
    }


def _by_stamp(tailed: list[tuple[TailedEvent, int]]) -> list[tuple[TailedEvent, int]]:
    """Merges shards by stamp, each in its own order whatever the stamps in it."""
    latest: dict[int, int] = {}
    keyed = []
    for each, shard in tailed:
        latest[shard] = max(latest.get(shard, 0), each.event.stamp_us)
        keyed.append((latest[shard], shard, each.position, each))
    keyed.sort(key=lambda entry: entry[:3])
    return [(each, shard) for _, shard, _, each in keyed]


def _take_violations(cursor: int, answer: Answer) -> Taken[FoundViolation]:
    del cursor
    found = cast("FoundViolations", answer)
    listed = [
        Listed((-each.stamp_us, -each.entry), each.entry + 1, each) for each in found.violations
    ]
    return Taken(listed, found.next or None)
