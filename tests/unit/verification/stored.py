"""A service's stores in memory, of every kind of row, to plant damage in."""

from __future__ import annotations

from copy import copy
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from tests.engine.auditing import verify
from tests.engine.in_process import InProcessService
from tests.engine.messages import body_of
from tests.unit.machines.one_control import OneControl
from unify_grpc.identity.events import from_segment_message
from unify_grpc.identity.identifiers import USERS, Identifier
from unify_grpc.machines import journal, rows
from unify_grpc.machines.batch import Body, pack_batch
from unify_grpc.machines.framing import frame_event
from unify_grpc.machines.links import Push, encode
from unify_grpc.machines.refusals import RefusedBody, pack_refusal
from unify_grpc.machines.rows import MemberRow
from unify_grpc.placement.members import member_of
from unify_grpc.placement.slots import ShardMap
from unify_grpc.storage.memory import MemoryStore
from unify_grpc.verification.claims import CONTROL, MERGE

if TYPE_CHECKING:
    from collections.abc import Callable

    from unify_grpc.verification.verification import Report

SPACE = 1
SHARDS = ShardMap(3)
TIME = "2024-01-01T00:00:00Z"
LONG = 400
"""Events of one identifier: more than the tail of a list and two parts hold."""


class Place(NamedTuple):
    """A member and where it lives."""

    member: bytes
    shard: int


class Stores:
    """All stores of a service that is at rest."""

    def __init__(
        self, shards: list[MemoryStore], merge: MemoryStore, control: MemoryStore, service: Any
    ) -> None:
        self.shards = shards
        self.merge = merge
        self.control = control
        self._service = service

    def copied(self) -> Stores:
        """Returns the same stores once more; what is planted there is not planted here."""
        made = [_copied(each) for each in (*self.shards, self.merge, self.control)]
        return Stores(made[:-2], made[-2], made[-1], self._service)

    def place(self, type_: str, value: str, life: int = 0, collection: str = USERS) -> Place:
        """Returns an identifier's member."""
        key = self._service.space.keys.key(Identifier(collection, type_, value))
        return Place(member_of(key, life), SHARDS.shard_of(key))

    def verify(self) -> Report:
        """Verifies all."""
        return verify(SHARDS, self.shards, self.merge, self.control)

    def row(self, place: Place) -> MemberRow:
        """Returns a member's row at its shard."""
        return MemberRow.unpack(self.shards[place.shard].rows[rows.MEMBER + place.member])

    def change(self, place: Place, **fields: Any) -> None:
        """Changes fields of a member's row at its shard."""
        row = self.row(place)
        for name, value in fields.items():
            setattr(row, name, value)
        self.shards[place.shard].rows[rows.MEMBER + place.member] = row.pack()

    def replace(
        self, store: MemoryStore, key: bytes, decode: Callable[[bytes], Any], **fields: Any
    ) -> None:
        """Changes fields of a packed row."""
        row = msgspec.structs.replace(decode(store.rows[key]), **fields)
        store.rows[key] = journal.encode(row)

    def first(self, store: MemoryStore, table: bytes) -> bytes:
        """Returns the first key of a table."""
        return next(key for key in sorted(store.rows) if key.startswith(table))

    def shard_with(self, table: bytes) -> int:
        """Returns the first shard that has rows of a table."""
        return next(
            number
            for number, store in enumerate(self.shards)
            if any(key.startswith(table) for key in store.rows)
        )

    def found(self) -> set[tuple[int, str]]:
        """Returns (part, invariant) of all findings."""
        return {(each.part, each.invariant) for each in self.verify().findings}


def sound_stores() -> Stores:
    """Returns stores of every kind of row, in which everything holds."""
    return _made().copied()


@cache
def _made() -> Stores:
    control = OneControl()
    control.found("adm_0123456789abcdef")
    control.create("shop", "r1")
    control.create_source("another")
    control.see("device_id")
    rules = msgspec.json.decode(control.machine.rules[SPACE].document)
    service = InProcessService(rules, shards=SHARDS.shard_count)
    for number, message in enumerate(_messages()):
        service.send({"messageId": f"m{number}", "timestamp": TIME, **message})
    service.send({"messageId": "m0", "timestamp": TIME, **_messages()[0]})
    service.send_batch(
        [_track(anonymousId="long") | {"messageId": f"l{each}"} for each in range(LONG)]
    )
    assert service.delete("user_id:u1", ["anonymous_id:a1"]) == "deleted"
    service.send({"messageId": "again", **_track(anonymousId="a1")})
    _refuse(service)
    _leave(service, {"messageId": "left", **_identify("u6", anonymousId="d1")})
    group = {"type": "group", "userId": "u6", "groupId": "g2"}
    _leave(service, {"messageId": "owing", "timestamp": TIME, **group})
    # As the next round would write it down: every shard has everything.
    seq = journal.decode_meta(service.merge_store.rows[journal.META])[0]
    service.merge_store.rows[journal.META] = journal.encode((seq, service.merge.confirmed))
    stores = [shard.store for shard in service.shards]
    return Stores(stores, service.merge_store, control.store, service)


def _messages() -> list[dict[str, Any]]:
    return [
        _track(anonymousId="alone"),
        _track(anonymousId="a1"),
        _track(anonymousId="a2"),
        _identify("u1", anonymousId="a1", traits={"name": "N", "plan": "x"}),
        _identify("u1", anonymousId="a2", traits={"name": "M", "email": "u1@example.com"}),
        _track(anonymousId="a2", userId="u1"),
        _identify("u2", anonymousId="b1"),
        _identify("u3", anonymousId="c1"),
        # Merges two profiles that links made.
        _track(anonymousId="c2"),
        _identify("u4", anonymousId="c2", traits={"email": "u4@example.com"}),
        _identify("u5", anonymousId="c3"),
        _track(anonymousId="c4", userId="u5"),
        # One user_id is left out by its limit, one is blocked.
        _identify("u2", anonymousId="a2"),
        _track(anonymousId="b1", userId="null"),
        {"type": "group", "userId": "u1", "groupId": "g1", "traits": {"company": "C"}},
        {"type": "group", "userId": "u2", "groupId": "g1", "traits": {"company": "D"}},
    ]


def _track(**fields: Any) -> dict[str, Any]:
    return {"type": "track", "event": "Seen", "timestamp": TIME, **fields}


def _identify(user_id: str, **fields: Any) -> dict[str, Any]:
    return {"type": "identify", "userId": user_id, **fields}


def _refuse(service: InProcessService) -> None:
    """Stores the record of a refused event."""
    refused = RefusedBody(1, 1, "track", Body("refused"), [], [])
    stamp_us = service.received_us + 1
    frame = pack_refusal(
        refused, space=SPACE, source=1, stamp_us=stamp_us, stream=1, mark=b"refused!"
    )
    shard = service.shards[0]
    data = pack_batch(bytes(16), [(SPACE, 1)], [frame])
    shard.execute(shard.machine.append(data, shard.store.next_number))


def push(stores: Stores, shard: int, **parts: Any) -> None:
    """Logs a push that a shard did not get from the merge actor; its rows stay as they are."""
    stores.shards[shard].append(b"P" + encode(Push(**parts)))


def _leave(service: InProcessService, message: dict[str, Any]) -> None:
    """Stores the user's side of an event and leaves it at that, as a gateway that ends."""
    event = from_segment_message({"timestamp": TIME, **message})
    service.received_us += 1
    framed = frame_event(
        event,
        body_of(event, message, 0, 0),
        space=service.space,
        source=1,
        received_us=service.received_us,
        stream=1,
    )
    shard = service.shards[SHARDS.shard_of(framed.sides[0].key)]
    data = pack_batch(bytes(16), [(SPACE, 1)], [framed.sides[0].frame])
    shard.execute(shard.machine.append(data, shard.store.next_number))


def _copied(store: MemoryStore) -> MemoryStore:
    made = copy(store)
    made.rows, made.log = dict(store.rows), dict(store.log)
    return made


__all__ = ["CONTROL", "MERGE", "SHARDS", "SPACE", "Place", "Stores", "push", "sound_stores"]
