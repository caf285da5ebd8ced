"""The rows of a shard while one command touches them."""

from __future__ import annotations

from unify_grpc.machines import rows
from unify_grpc.machines.rows import MemberRow
from unify_grpc.machines.tables import View, Working


class ShardRows(Working):
    """The rows of one command, with member rows unpacked while it runs."""

    def __init__(self, view: View) -> None:
        super().__init__(view)
        self.members: dict[bytes, MemberRow] = {}

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

    def finish(self) -> dict[bytes, bytes | None]:
        """Returns all changes, member rows packed."""
        for member, row in self.members.items():
            if row.dirty:
                self.changes[rows.MEMBER + member] = row.pack()
        return self.changes
