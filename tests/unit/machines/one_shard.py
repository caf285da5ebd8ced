"""One shard machine over a store in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.unit.machines.frames import SHARD_MAP, batch, key, member
from unify_grpc.machines import rows
from unify_grpc.machines.links import DUPLICATE, PendingLink, Push, encode
from unify_grpc.machines.rows import MemberRow
from unify_grpc.machines.shard_machine import ShardMachine
from unify_grpc.machines.shard_reader import ShardReader
from unify_grpc.storage.memory import MemoryStore

if TYPE_CHECKING:
    from typing import Any

    from unify_grpc.machines.links import Append, LookedUp, Void
    from unify_grpc.machines.reads import Answer, Question
    from unify_grpc.machines.tables import Decision

DEDUPE_WINDOW_DAYS = 30


class OneShard:
    """A shard whose decisions take effect at once."""

    def __init__(self, store: MemoryStore | None = None, number: int = 0) -> None:
        self.number = number
        self.store = store or MemoryStore()
        self.machine = ShardMachine(number, self.store, dedupe_window_days=DEDUPE_WINDOW_DAYS)
        self.machine.load()
        for record_number, record in self.store.tail():
            changes = self.machine.replay(record_number, record)
            self.store.publish(changes, record_number)
            self.machine.committed(changes)

    def execute(self, decision: Decision[None, Any]) -> Any:
        """Makes a decision durable and returns its reply."""
        if decision.record is not None:
            number = self.store.append(decision.record)
            self.store.publish(decision.changes, number)
            self.machine.committed(decision.changes)
        return decision.reply

    def append(self, *frames: bytes, call: int = 1, version: int = 1) -> Append:
        """Stores a batch."""
        data = batch(*frames, call=call, version=version)
        reply: Append = self.execute(self.machine.append(data, self.store.next_number))
        return reply

    def push(self, push: Push) -> list[Void]:
        """Applies rows of the merge actor."""
        voids: list[Void] = self.execute(self.machine.push(encode(push)))
        return voids

    def look_up(self, *names: str) -> list[LookedUp]:
        """Asks what the shard knows of identifiers."""
        return self.machine.look_up([key(name) for name in names])

    def pending(self) -> list[PendingLink]:
        """Returns all pending links as a sweep gets them."""
        return self.machine.list_pending(before_us=2**62, links_max=1_000)

    def row(self, name: str) -> MemberRow:
        """Returns an identifier's row."""
        data = self.store.get(rows.MEMBER + member(name))
        assert data is not None, f"{name} has no row"
        return MemberRow.unpack(data)

    def ask(self, *questions: Question) -> list[Answer]:
        """Has questions answered."""
        reader = ShardReader(self.number, SHARD_MAP, self.store, self.machine.incarnations)
        return reader.answer(list(questions))

    def restarted(self) -> OneShard:
        """Returns the shard as it comes up after a crash."""
        return OneShard(self.store.crashed(), self.number)

    def check(self) -> None:
        """Asserts what holds for every shard, whatever was sent to it."""
        after = self.restarted()
        assert self.store.rows == after.store.rows, "a restart gives other rows"
        assert self.machine.pending == after.machine.pending
        assert self.machine.spaces == after.machine.spaces
        assert sorted(self.machine.pending) == list(self.machine.pending), "not in log order"
        for row_key, value in self.store.scan(rows.MEMBER):
            row = MemberRow.unpack(value)
            assert sum(row.counts) == row.event_count
            if row.root == row_key[1:]:
                assert self.store.get(rows.PROFILE + row.root), "a pointer before its target"
        for _, mark in self.store.scan(rows.PENDING):
            anchor = rows.anchor_in(mark)
            assert self.store.get(rows.MEMBER + anchor), "a mark without its anchor's row"


def outcomes(reply: Append) -> list[str]:
    """Returns the statuses of a reply in words, a `2` before those of duplicates."""
    words = {0: "HISTORY", 1: "CREATED", 2: "ATTACHED", 3: "MERGED", 4: "PENDING"}
    return [
        ("2 " if status & DUPLICATE else "") + words[status & ~DUPLICATE]
        for status in reply.statuses
    ]


def roots(reply: Append) -> list[bytes]:
    """Returns the profile of each event's anchor."""
    return [reply.roots[at : at + 20] for at in range(0, len(reply.roots), 20)]
