"""The rows of a shard while one command touches them."""

from __future__ import annotations

from contextlib import suppress

from unify_grpc.machines import rows
from unify_grpc.machines.rows import MemberRow
from unify_grpc.machines.space_counts import SpaceCounts, add_counts
from unify_grpc.machines.tables import DamagedError, View, Working


class ShardRows(Working):
    """The rows of one command, with member rows unpacked while it runs."""

    def __init__(self, view: View) -> None:
        super().__init__(view)
        self.members: dict[bytes, MemberRow] = {}
        self.counted: dict[int, list[int]] = {}
        """By space, how what is counted changes, as in `SpaceCounts`."""

    def find_member(self, member: bytes) -> MemberRow | None:
        """Returns a member's row, or None if it was never seen."""
        row = self.members.get(member)
        if row is None:
            data = self.get(rows.MEMBER + member)
            if data is None:
                return None
            row = self.members[member] = MemberRow.unpack(data)
        return row

    def member(self, member: bytes, space: int, collection: int) -> MemberRow:
        """Returns a member's row, new if it was never seen."""
        row = self.find_member(member)
        if row is None:
            row = self.members[member] = MemberRow(space, collection)
        return row

    def count(
        self, space: int, *, events: int = 0, identifiers: int = 0, profiles: int = 0
    ) -> None:
        """Counts what a space gained or lost."""
        known = self.counted.get(space)
        if known is None:
            known = self.counted[space] = [0, 0, 0]
        known[0] += events
        known[1] += identifiers
        known[2] += profiles

    def finish(self) -> dict[bytes, bytes | None]:
        """Returns all changes, member rows packed."""
        for member, row in self.members.items():
            if row.dirty:
                self.changes[rows.MEMBER + member] = row.pack()
        for space, change in self.counted.items():
            # Whoever asks for counts that are damaged is told; events and links do not need them.
            with suppress(DamagedError):
                add_counts(self, space, SpaceCounts(*change))
        return self.changes
