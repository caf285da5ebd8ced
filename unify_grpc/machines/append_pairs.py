"""What a batch's events with two sides leave behind: marks, links, and what the gateway is told."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unify_grpc.machines import rows
from unify_grpc.machines.batch import FLAG_ACCOUNT_SIDE, FLAG_COUNTERPART
from unify_grpc.machines.event_lists import find_positions
from unify_grpc.machines.owed_sides import (
    OwedSide,
    is_user_side,
    link_sides,
    stored_side,
    user_member,
)
from unify_grpc.placement.members import FIRST_INCARNATION, KEY_BYTES, incarnation_of, member_of

if TYPE_CHECKING:
    from unify_grpc.machines.batch import Batch
    from unify_grpc.machines.shard_rows import ShardRows

_ACCOUNT_OF_PAIR = FLAG_COUNTERPART | FLAG_ACCOUNT_SIDE


class AppendPairs:
    """The pairs of one batch on its way into the rows."""

    def __init__(self, working: ShardRows, batch: Batch) -> None:
        self.working = working
        self.batch = batch
        self.owed: list[OwedSide] = []
        """Of every user's side that has an account's, whether it still owes it or not."""
        self.lives: dict[int, int] = {}
        """Index to the incarnation an account's side is stored under, but for the first."""

    def store(self, index: int, member: bytes, position: int) -> None:
        """Marks a user's side as owing the account's; links an account's side to its user."""
        batch = self.batch
        frame = batch.frame(index)
        if is_user_side(frame.flags):
            self.working.put(rows.owed_key(position), member)
            self.owed.append(
                OwedSide(index, position, member, frame.space, frame.stamp_us, True, b"")
            )
            return
        link_sides(self.working, batch, index, member, user_member(batch, index, frame))
        self._tell_life(index, member)

    def repeat(self, index: int, member: bytes, mark: bytes, position: int, stored: Batch) -> None:
        """Lists a user's side as it was stored before; links an account's side nevertheless.

        That one's user may be another: of senders who number from 1, the account knows the message
        and the user does not.

        Args:
            index: of the duplicate.
            member: its anchor's.
            mark: fingerprint of its message id.
            position: where the log holds what it repeats.
            stored: the batch there.
        """
        frame, stored_frame = self.batch.frame(index), stored.frame(position & 0xFFFF)
        if is_user_side(stored_frame.flags):
            owing = self.working.get(rows.owed_key(position))
            life = owing or self._life_with(member, mark, position)
            side = stored_side(stored, index, position, life, is_owed=owing is not None)
            self.owed.append(side)
        elif frame.flags & _ACCOUNT_OF_PAIR == _ACCOUNT_OF_PAIR:
            life = self._life_with(member, mark, position)
            user = user_member(self.batch, index, frame)
            link_sides(self.working, self.batch, index, life, user)
            self._tell_life(index, life)

    def _life_with(self, member: bytes, mark: bytes, position: int) -> bytes:
        """Returns in which of its lives an anchor holds the event at a position."""
        for life in range(incarnation_of(member)):
            earlier = member_of(member[:KEY_BYTES], life)
            row = self.working.find_member(earlier)
            if row and position in find_positions(self.working, earlier, row, mark):
                return earlier
        return member

    def _tell_life(self, index: int, member: bytes) -> None:
        if not member.endswith(FIRST_INCARNATION):
            self.lives[index] = incarnation_of(member)
