"""Who is who in PostgreSQL: resolves the events of a batch, and joins what belongs together.

Known traffic is resolved on the connection of its lane. Only events that show something new go
through the one connection that changes the graph, one batch at a time: nobody else writes those
rows, so nothing has to be locked, and no two transactions can wait for each other.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, NamedTuple

from bench.postgres_schema import FIND_IDENTIFIERS, ID_BLOCK, LINK, MERGE
from unify_grpc.identity.outcomes import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Known = dict[bytes, tuple[int, int]]
"""Key of an identifier to (its id, its profile)."""


class Shown(NamedTuple):
    """An event that shows something new."""

    at: int
    """Its place in its batch."""
    keys: Sequence[bytes]
    """Of its identifiers, the anchor first."""
    texts: Sequence[tuple[str, str]]
    """Type and value of each."""
    stamp_us: int


class Graph:
    """The tables of identifiers, profiles and redirects."""

    def __init__(self, connection: Any) -> None:
        """Takes the connection that alone changes them."""
        self._connection = connection
        self._turn = asyncio.Lock()
        self._next_id = self._ids_end = 0
        self._prepared: dict[str, Any] = {}

    async def join(self, shown: Sequence[Shown]) -> tuple[Known, dict[int, Outcome]]:
        """Makes what each event shows one profile; returns when that is durable.

        Returns:
            What its identifiers are now, and by its place what each event did.
        """
        async with self._turn:
            keys = {key for each in shown for key in each.keys}
            known = await find_identifiers(self._connection, self._prepared, keys)
            joins = _Joins(known, shown)
            new = list(joins.new)
            await self._take_ids(len(new))
            ids = range(self._next_id, self._next_id + len(new))
            self._next_id += len(new)
            new_ids = dict(zip(new, ids, strict=True))
            survivors, founded, merged = joins.decide(new_ids)
            async with self._connection.transaction():
                if new:
                    await self._run(
                        LINK,
                        new,
                        list(ids),
                        [survivors[joins.find(key)] for key in new],
                        [joins.new[key][0] for key in new],
                        [joins.new[key][1] for key in new],
                        list(founded),
                        list(founded.values()),
                    )
                if merged:
                    await self._run(MERGE, list(merged), list(merged.values()))
        found = {
            key: (known[key][0] if key in known else new_ids[key], survivors[joins.find(key)])
            for key in keys
        }
        outcomes = {each.at: joins.outcome(joins.find(each.keys[0])) for each in shown}
        return found, outcomes

    async def _take_ids(self, count: int) -> None:
        while self._ids_end - self._next_id < count:
            (row,) = await self._fetch("SELECT nextval('ids') AS first")
            self._next_id, self._ids_end = row["first"], row["first"] + ID_BLOCK

    async def _run(self, statement: str, *arguments: Any) -> None:
        await self._fetch(statement, *arguments)

    async def _fetch(self, statement: str, *arguments: Any) -> list[Any]:
        return await fetch(self._connection, self._prepared, statement, *arguments)


class _Joins:
    """A union-find over what one batch shows: profiles that are there, and new identifiers."""

    def __init__(self, known: Known, shown: Sequence[Shown]) -> None:
        self.new: dict[bytes, tuple[str, str]] = {}
        """Key to type and value, in the order of their showing."""
        self._known = known
        self._parents: dict[bytes | int, bytes | int] = {}
        self._founded_us: dict[bytes, int] = {}
        self._profiles: dict[bytes | int, list[int]] = {}
        for each in shown:
            for key, text in zip(each.keys, each.texts, strict=True):
                if key not in known and key not in self.new:
                    self.new[key] = text
                    self._founded_us[key] = each.stamp_us
            root = self.find(each.keys[0])
            for key in each.keys[1:]:
                self._parents[self.find(key)] = root

    def find(self, key: bytes) -> bytes | int:
        """Returns what stands for all that belongs together with an identifier."""
        found = self._known.get(key)
        node: bytes | int = key if found is None else found[1]
        parents = self._parents
        root = node
        while (above := parents.setdefault(root, root)) != root:
            root = above
        while node != root:
            parents[node], node = root, parents[node]
        return root

    def decide(
        self, new_ids: dict[bytes, int]
    ) -> tuple[dict[bytes | int, int], dict[int, int], dict[int, int]]:
        """Returns each root's profile, when new ones were founded, and who absorbed whom."""
        survivors: dict[bytes | int, int] = {}
        founded: dict[int, int] = {}
        merged: dict[int, int] = {}
        for profile in {profile for _, profile in self._known.values()}:
            root = self._root(profile)
            self._profiles.setdefault(root, []).append(profile)
        for root, profiles in self._profiles.items():
            survivor = survivors[root] = min(profiles)
            merged.update((each, survivor) for each in profiles if each != survivor)
        for key, id_ in new_ids.items():
            root = self.find(key)
            if root not in survivors:
                survivors[root] = id_
                founded[id_] = self._founded_us[key]
        return survivors, founded, merged

    def outcome(self, root: bytes | int) -> Outcome:
        """Returns what events of a root did, taken together."""
        count = len(self._profiles.get(root, ()))
        return (Outcome.CREATED, Outcome.ATTACHED, Outcome.MERGED)[min(count, 2)]

    def _root(self, profile: int) -> bytes | int:
        node: bytes | int = profile
        while (above := self._parents.get(node, node)) != node:
            node = above
        return node


async def find_identifiers(
    connection: Any, prepared: dict[str, Any], keys: Iterable[bytes]
) -> Known:
    """Returns those of the identifiers that are there."""
    rows = await fetch(connection, prepared, FIND_IDENTIFIERS, list(keys))
    return {key: (id_, profile) for key, id_, profile in rows}


async def fetch(
    connection: Any, prepared: dict[str, Any], statement: str, *arguments: Any
) -> list[Any]:
    """Runs a statement, which is prepared once for a connection, and returns its rows."""
    ready = prepared.get(statement)
    if ready is None:
        ready = prepared[statement] = await connection.prepare(statement)
    rows: list[Any] = await ready.fetch(*arguments)
    return rows
