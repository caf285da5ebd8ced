"""The yardstick `postgres` behind the gateway: what of a `Backend` ingest needs.

Each shard of the map is a *lane*: a connection of its own, one batch under way on it. An anchor is
always of the same lane, so a lane alone can tell whether a message is new.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, Final, Self

import asyncpg

from bench.memory_control import MemoryControl
from bench.postgres_graph import Graph, Known, Shown, fetch, find_identifiers
from bench.postgres_schema import EVENT_COLUMNS, FIND_MESSAGES, SESSION
from bench.postgres_server import DATABASE, USER
from bench.postgres_traits import SAYS_TRAITS, NewTraits
from unify_grpc.identity.outcomes import Outcome
from unify_grpc.machines.batch import (
    FLAG_ACCOUNT_SIDE,
    FLAG_COUNTERPART,
    FLAG_HISTORY,
    FLAG_PROBE,
    FLAG_REFUSED,
    FRAME_BYTES,
    Batch,
    unpack_strings,
)
from unify_grpc.machines.links import DUPLICATE, Append
from unify_grpc.placement.members import KEY_BYTES, MEMBER_BYTES
from unify_grpc.placement.slots import ShardMap
from unify_grpc.service.backend import CommandFailedError

if TYPE_CHECKING:
    from unify_grpc.machines.control_records import DirectoryChanges
    from unify_grpc.machines.owed_sides import OwedSide

FRAME: Final = struct.Struct("<BBBxIIIqqQq")
"""A frame's fixed fields; its mark as PostgreSQL's integer."""
NOT_TAKEN: Final = FLAG_ACCOUNT_SIDE | FLAG_COUNTERPART | FLAG_HISTORY | FLAG_REFUSED | FLAG_PROBE
"""What the bench's traffic has none of."""


class _Event:
    """An event on its way into the tables."""

    __slots__ = ("body_at", "end", "fields", "keys")

    def __init__(self, fields: tuple[int, ...], keys: list[bytes], body_at: int, end: int) -> None:
        self.fields = fields
        self.keys = keys
        self.body_at = body_at
        self.end = end


class PostgresBackend:
    """Resolves, merges and stores in PostgreSQL; no limits of identity, no accounts."""

    def __init__(self, lanes: list[Any], graph: Any, *, keeps_traits: bool) -> None:
        """Takes a connection for each lane, and the one that changes the graph."""
        self._keeps_traits = keeps_traits
        self.shard_map = ShardMap(len(lanes))
        self._lanes: list[tuple[Any, dict[str, Any]]] = [(each, {}) for each in lanes]
        self._graph_connection = graph
        self._graph = Graph(graph)
        self._control = MemoryControl()

    @classmethod
    async def connected(cls, socket_dir: str, lanes: int, *, keeps_traits: bool) -> Self:
        """Connects to a server whose tables are there, with one of traits if they are kept."""
        connections = [await connect(socket_dir) for _ in range(lanes + 1)]
        return cls(connections[1:], connections[0], keeps_traits=keeps_traits)

    async def close(self) -> None:
        """Ends all connections."""
        for connection in (self._graph_connection, *(each for each, _ in self._lanes)):
            await connection.close()

    # -- what events need -------------------------------------------------------------------

    async def append(self, shard: int, batch: bytes) -> Append:
        """Resolves, merges and stores a batch; answers when all of that is durable."""
        connection, prepared = self._lanes[shard]
        opened = Batch(batch)
        events = _read_events(opened)
        keys = {key for event in events for key in event.keys}
        known = await find_identifiers(connection, prepared, keys)
        anchors_before = known.copy()
        outcomes: dict[int, Outcome] = {}
        if shown := _novel(opened, events, known):
            found, outcomes = await self._graph.join(shown)
            known.update(found)
        repeated = await self._store(shard, opened, events, known, anchors_before)
        statuses = bytearray()
        roots = []
        for index, event in enumerate(events):
            status = int(outcomes.get(index, Outcome.ATTACHED))
            statuses.append(status | DUPLICATE if index in repeated else status)
            roots.append(known[event.keys[0]][1].to_bytes(MEMBER_BYTES, "big"))
        return Append({}, bytes(statuses), b"".join(roots), [], {})

    async def _store(
        self, shard: int, batch: Batch, events: list[_Event], known: Known, before: Known
    ) -> set[int]:
        """Copies new events in, in one transaction; returns the indexes of the repeated ones.

        Args:
            shard: the lane.
            batch: that the events are in.
            events: all of the batch.
            known: all their identifiers.
            before: those that had events before, perhaps.
        """
        connection, prepared = self._lanes[shard]
        asked = [
            (before[event.keys[0]][0], event.fields[9])
            for event in events
            if event.keys[0] in before
        ]
        held: set[tuple[int, int]] = set()
        if asked:
            anchors, messages = zip(*asked, strict=True)
            rows = await fetch(connection, prepared, FIND_MESSAGES, anchors, messages)
            held = {(anchor, message) for anchor, message in rows}
        repeated: set[int] = set()
        records = []
        traits = NewTraits()
        data = batch.data
        for index, event in enumerate(events):
            type_, _, _, _, source, _, time_us, stamp_us, _, message = event.fields
            anchor = known[event.keys[0]][0]
            name = (anchor, message)
            if name in held:
                repeated.add(index)
                continue
            held.add(name)
            if self._keeps_traits and event.fields[1] & SAYS_TRAITS:
                traits.take(batch, index, anchor)
            body = data[event.body_at : event.end]
            records.append((anchor, message, time_us, stamp_us, source, type_, body))
        if not traits:
            await _copy(connection, records)
            return repeated
        async with connection.transaction():
            await _copy(connection, records)
            await traits.write(connection, prepared)
        return repeated

    async def list_owed(self, shard: int, *, before_us: int, sides_max: int) -> list[OwedSide]:
        """Returns nothing: there are no accounts."""
        del shard, before_us, sides_max
        return []

    async def fill_search(self, shard: int) -> bool:
        """Says that there is nothing to do."""
        del shard
        return True

    # -- what the gateway asks of control ---------------------------------------------------

    async def renew_directory(self, gateway: str, revision: int) -> DirectoryChanges | None:
        """Returns what changed since the revision that a gateway holds; None: nothing."""
        del gateway
        return self._control.changes_since(revision)

    async def leave_directory(self, gateway: str) -> None:
        """Does nothing: nobody counts gateways."""

    async def see_types(self, space: int, types: list[str]) -> None:
        """Has the space meet types of identifiers."""
        self._control.see_types(space, types)


async def _copy(connection: Any, records: list[tuple[Any, ...]]) -> None:
    if records:
        await connection.copy_records_to_table("events", records=records, columns=EVENT_COLUMNS)


async def connect(socket_dir: str) -> Any:
    """Returns a connection as the yardstick uses it."""
    return await asyncpg.connect(
        host=socket_dir, user=USER, database=DATABASE, server_settings=SESSION
    )


def _read_events(batch: Batch) -> list[_Event]:
    data, start = batch.data, batch.start
    ends = [*batch.offsets[1:], len(data) - start]
    events = []
    for offset, end in zip(batch.offsets, ends, strict=True):
        at = start + offset
        fields = FRAME.unpack_from(data, at)
        if fields[1] & NOT_TAKEN:
            raise CommandFailedError("the yardstick takes plain events of users")
        at += FRAME_BYTES
        strings_at = at + KEY_BYTES * fields[2]
        keys = [data[each : each + KEY_BYTES] for each in range(at, strings_at, KEY_BYTES)]
        events.append(_Event(fields, keys, strings_at + fields[5], start + end))
    return events


def _novel(batch: Batch, events: list[_Event], known: Known) -> list[Shown]:
    """Returns the events whose identifiers are not all there, and all of one profile."""
    shown = []
    for index, event in enumerate(events):
        profiles = {found[1] if (found := known.get(key)) else None for key in event.keys}
        if len(profiles) > 1 or None in profiles:
            fields = event.fields
            texts = unpack_strings(batch.data, event.body_at - fields[5], len(event.keys))
            shown.append(Shown(index, event.keys, texts, fields[7]))
    return shown
