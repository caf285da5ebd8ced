"""What a shard does of a batch in the yardstick `ceiling`: anchors' event lists, and no more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from unify_grpc.identity.outcomes import Outcome
from unify_grpc.machines.append_run import AppendRun
from unify_grpc.machines.batch import (
    FLAG_ACCOUNT_SIDE,
    FLAG_PROBE,
    FLAG_REFUSED,
    FRAME,
    FRAME_BYTES,
)
from unify_grpc.machines.event_lists import append_event
from unify_grpc.machines.links import DUPLICATE
from unify_grpc.placement.members import FIRST_INCARNATION, KEY_BYTES

if TYPE_CHECKING:
    from unify_grpc.machines.rows import MemberRow

_ATTACHED: Final = int(Outcome.ATTACHED)
_NO_EVENT: Final = FLAG_REFUSED | FLAG_PROBE


class CeilingRun(AppendRun):
    """Finds repeated messages and lists the others; everybody counts as known already."""

    def run(self) -> AppendRun:
        """Goes through the batch in its order."""
        batch, working = self.batch, self.working
        data, start, statuses, roots = batch.data, batch.start, self.statuses, self.roots
        self._adopt_rules()
        base = self.number << 16
        for index, offset in enumerate(batch.offsets):
            at = start + offset
            type_, flags, _, space, _, _, time_us, stamp_us, _, mark = FRAME.unpack_from(data, at)
            assert not flags & _NO_EVENT, "the bench sends events alone"
            at += FRAME_BYTES
            member = data[at : at + KEY_BYTES] + FIRST_INCARNATION
            row = working.member(member, space, flags & FLAG_ACCOUNT_SIDE)
            roots.append(member)
            if self._is_repeated(index, member, row, mark, stamp_us):
                statuses.append(_ATTACHED | DUPLICATE)
                continue
            row.dirty = True
            append_event(
                working, member, row, time_us=time_us, position=base + index, mark=mark, type_=type_
            )
            statuses.append(_ATTACHED)
        working.finish()
        return self

    def _is_repeated(
        self, index: int, member: bytes, row: MemberRow, mark: bytes, stamp_us: int
    ) -> bool:
        if self.known is not None:
            return index in self.known
        found = self._find_duplicate(index, member, row, mark, stamp_us)
        if found is None:
            return False
        self.duplicates[index] = found[0]
        return True
