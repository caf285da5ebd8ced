"""The two sides of an event that is about a user and an account.

The user's side is stored first and, in the same commit, marked as owing the account's side; the
mark goes when that one is durable too. So that whoever finds the mark later can store exactly what
was promoted then, the user's frame carries the account's, all but the body, which they share. The
account's frame names the member of the user's anchor, so that both sides can note their link.

Both stand at the end of a frame's strings, behind those of the identifiers: on the user's side the
account's part and its length, on the account's side the life of the user's anchor.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from unify_grpc.machines import rows
from unify_grpc.machines.account_links import put_link
from unify_grpc.machines.batch import (
    FLAG_ACCOUNT_SIDE,
    FLAG_COUNTERPART,
    FRAME,
    FRAME_BYTES,
    LIFE_BYTES,
    PART_BYTES,
    Frame,
)
from unify_grpc.machines.tables import DamagedError
from unify_grpc.placement.members import FIRST_INCARNATION, KEY_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from unify_grpc.machines.batch import Batch
    from unify_grpc.machines.tables import Working

UNKNOWN_LIFE = FIRST_INCARNATION
"""Ends the strings of an account's frame until the shard of the user's side has answered."""


class OwedSide(msgspec.Struct, array_like=True, frozen=True):
    """A user's side that was stored, and what is to be stored of the account's."""

    index: int
    """The event's place in the call that lists it; -1 from a sweep."""
    position: int
    """Where the log of the shard holds it."""
    member: bytes
    """The user's anchor."""
    space: int
    stamp_us: int
    is_owed: bool
    """Whether the mark still stands."""
    frame: bytes
    """The account's, as it was promoted then; empty where the one just sent is meant."""


class ClearedSide(msgspec.Struct, array_like=True, frozen=True):
    """That the account's side of an event is durable, at this member."""

    position: int
    member: bytes


def pack_part(frame: bytes, body: bytes) -> bytes:
    """Returns what ends the strings of a user's frame: the account's frame without its body."""
    part = frame[: len(frame) - len(body)]
    return part + PART_BYTES.pack(len(part))


def account_frame(batch: Batch, index: int, frame: Frame, member: bytes) -> bytes:
    """Returns the account's frame that a stored user's side carries.

    Args:
        batch: that holds the user's side.
        index: its place there.
        frame: its fixed fields, with `FLAG_COUNTERPART`.
        member: of the user's anchor.
    """
    end = batch.strings_end(index, frame) - PART_BYTES.size
    part = batch.data[batch.trailer_start(index, frame) : end]
    return set_life(part, member) + batch.body_bytes(index, frame)


def set_life(frame: bytes, member: bytes) -> bytes:
    """Returns an account's frame that names this member of the user's anchor."""
    life = member[KEY_BYTES:]
    end = _strings_end(frame)
    if frame[end - LIFE_BYTES : end] == life:
        return frame
    return frame[: end - LIFE_BYTES] + life + frame[end:]


def user_member(batch: Batch, index: int, frame: Frame) -> bytes:
    """Returns the member of the user's anchor that an account's side names."""
    key = batch.keys(index, frame.key_count + 1)[frame.key_count]
    end = batch.strings_end(index, frame)
    return key + batch.data[end - LIFE_BYTES : end]


def list_owed(
    owed: Mapping[int, bytes],
    batch_at: Callable[[int], Batch],
    *,
    before_us: int,
    sides_max: int,
) -> list[OwedSide]:
    """Returns user's sides received before a moment that owe their account's, oldest first.

    Args:
        owed: log position to the member of the anchor, in the order of the log.
        batch_at: returns the batch that holds a position.
        before_us: microseconds since 1970.
        sides_max: at most this many.
    """
    listed: list[OwedSide] = []
    for position, member in owed.items():
        if len(listed) == sides_max:
            break
        try:
            side = stored_side(batch_at(position), -1, position, member, is_owed=True)
        except DamagedError:
            continue  # nobody could send it
        # In log order stamps rise, but for what two gateways do at the same moment.
        if side.stamp_us >= before_us:
            break
        listed.append(side)
    return listed


def stored_side(
    batch: Batch, index: int, position: int, member: bytes, *, is_owed: bool
) -> OwedSide:
    """Lists a user's side as it was stored, with the account's frame."""
    at = position & 0xFFFF
    frame = batch.frame(at)
    return OwedSide(
        index,
        position,
        member,
        frame.space,
        frame.stamp_us,
        is_owed,
        account_frame(batch, at, frame, member),
    )


def is_user_side(flags: int) -> bool:
    """Whether a frame is the user's side of an event that has an account's side too."""
    return flags & (FLAG_COUNTERPART | FLAG_ACCOUNT_SIDE) == FLAG_COUNTERPART


def clear_sides(
    working: Working, batch_at: Callable[[int], Batch], sides: Sequence[ClearedSide]
) -> None:
    """Removes marks, and links each user to the account. Marks removed before are passed over."""
    for side in sides:
        key = rows.owed_key(side.position)
        own = working.get(key)
        if own is None:
            continue
        working.put(key, None)
        link_sides(working, batch_at(side.position), side.position & 0xFFFF, own, side.member)


def link_sides(working: Working, batch: Batch, index: int, own: bytes, other: bytes) -> None:
    """Links the member of a side to that of the other, as of the event at `index`."""
    frame = batch.frame(index)
    put_link(
        working,
        own,
        other,
        time_us=frame.time_us,
        source=frame.source,
        message_id=batch.body(index, frame).message_id,
    )


def _strings_end(frame: bytes) -> int:
    fields = Frame._make(FRAME.unpack_from(frame))
    extra = 1 if fields.flags & FLAG_COUNTERPART else 0
    return FRAME_BYTES + KEY_BYTES * (fields.key_count + extra) + fields.strings_bytes
