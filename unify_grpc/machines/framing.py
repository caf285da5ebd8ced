"""From a checked event to the frames that are sent to shards.

Everything a gateway decides about one event and no other: its identifiers, their keys, its time,
and the one or two anchors it is stored under.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import blake2b
from typing import TYPE_CHECKING, Final, NamedTuple

from unify_grpc.identity.events import ALIAS, GROUP, ClientEvent, check_event, event_time_us
from unify_grpc.identity.identifiers import USER_ID, USERS, Identifier, KeyMaker
from unify_grpc.identity.outcomes import DropReason
from unify_grpc.identity.promotion import PromotionDrop, check_promotion, promote
from unify_grpc.identity.traits import traits_of
from unify_grpc.machines.batch import (
    FLAG_ACCOUNT_SIDE,
    FLAG_CONTEXT_TRAITS,
    FLAG_COUNTERPART,
    FLAG_DROPS,
    FLAG_HISTORY,
    FLAG_TRAITS,
    TYPE_CODES,
    Body,
    encode_body,
    pack_frame,
    pack_strings,
)
from unify_grpc.machines.noted_drops import note_drops, pack_drops
from unify_grpc.machines.owed_sides import UNKNOWN_LIFE, pack_part

if TYPE_CHECKING:
    from collections.abc import Sequence

    from unify_grpc.identity.rules import Rules

PACKED_MAX: Final = 65_536
"""Identifiers remembered per space and gateway, about 20 MB."""


class EarlierRules(NamedTuple):
    """Rules that held once, and still say where messages may be known."""

    rules: Rules
    until_us: int
    """When the last message stored under them is not recognised any more."""


@dataclass(frozen=True, slots=True)
class SpaceView:
    """What framing needs of a space."""

    number: int
    rules: Rules
    keys: KeyMaker
    marks: MarkMaker
    earlier: tuple[EarlierRules, ...] = ()
    """Under which an event may have been stored with another anchor; the newest first."""
    packed: dict[Identifier, tuple[bytes, bytes]] = field(
        default_factory=dict, compare=False, repr=False
    )
    """Keys and packed texts of identifiers met lately: known traffic names the same ones."""

    def pack(self, identifier: Identifier) -> tuple[bytes, bytes]:
        """Returns (key, packed type and value) of an identifier."""
        known = self.packed.get(identifier)
        if known is None:
            if len(self.packed) >= PACKED_MAX:
                self.packed.clear()
            text = pack_strings([(identifier.type, identifier.value)])
            known = self.packed[identifier] = (self.keys.key(identifier), text)
        return known


class MarkMaker:
    """Makes fingerprints of message ids: eight bytes, keyed so that nobody can choose them."""

    def __init__(self, secret: bytes) -> None:
        self.start = blake2b(digest_size=8, key=secret, person=b"message id")
        """To be copied, and updated with the message id."""

    def mark(self, message_id: str) -> bytes:
        """Returns the fingerprint of a message id."""
        state = self.start.copy()
        state.update(message_id.encode())
        return state.digest()


class Side(NamedTuple):
    """One event under one of its anchors."""

    identifiers: Sequence[Identifier]
    """Of this side, the anchor first."""
    key: bytes
    """The anchor's."""
    frame: bytes


class Framed(NamedTuple):
    """An event ready to be sent to its shards."""

    sides: tuple[Side, ...]
    """The user's side first, if there is one. None at all: to be refused, NO_IDENTIFIER."""
    drops: tuple[PromotionDrop, ...]
    time_us: int
    new_types: tuple[str, ...] = ()
    """Types that the space has to meet before this may be sent; see `Promotion.new_types`."""


def frame_event(
    event: ClientEvent, body: Body, *, space: SpaceView, source: int, received_us: int, stream: int
) -> Framed:
    """Decides what is stored of an event, and where.

    Args:
        event: as its caller sent it, with a message id.
        body: the same, in the form it is stored in.
        space: whose rules and keys hold.
        source: number of the source that sent it.
        received_us: its stamp, microseconds since 1970.
        stream: the caller's stream, or its unary request.

    Raises:
        EventRejected: with the reason; nothing of it is to be stored. (`identity.outcomes`)
    """
    check_event(event)
    time_us = event_time_us(event, received_us)
    promotion = promote(event, space.rules)
    check_promotion(promotion)
    users, accounts, flags = promotion.users, promotion.accounts, 0
    if event.type == ALIAS and not users:
        users, flags = alias_anchor(event, space.rules), FLAG_HISTORY
    traits = _traits_flag(event)
    is_group = event.type == GROUP
    fields = _Fields(
        type_=TYPE_CODES[event.type],
        space=space.number,
        source=source,
        time_us=time_us,
        stamp_us=received_us,
        stream=stream,
        mark=space.marks.mark(body.message_id),
        body=encode_body(body),
    )
    sides = []
    account = None
    notes = b""
    if promotion.drops:  # kept with the side that is stored first
        notes, flags = pack_drops(note_drops(promotion.drops, space.keys)), flags | FLAG_DROPS
    if accounts:
        side_flags = FLAG_ACCOUNT_SIDE | traits if is_group else FLAG_ACCOUNT_SIDE
        side_flags, trailer = (side_flags, UNKNOWN_LIFE) if users else (side_flags | flags, notes)
        account = _frame_side(accounts, users, space, side_flags, fields, trailer)
    if users:
        side_flags = flags if is_group else flags | traits
        owed = b"" if account is None else pack_part(account.frame, fields.body)
        sides.append(_frame_side(users, accounts, space, side_flags, fields, notes + owed))
    if account is not None:
        sides.append(account)
    return Framed(tuple(sides), promotion.drops, time_us, promotion.new_types)


class _Fields(NamedTuple):
    """What both sides of an event have in common; names as in `pack_frame`."""

    type_: int
    space: int
    source: int
    time_us: int
    stamp_us: int
    stream: int
    mark: bytes
    body: bytes


def _frame_side(
    identifiers: Sequence[Identifier],
    other: Sequence[Identifier],
    space: SpaceView,
    flags: int,
    fields: _Fields,
    trailer: bytes,
) -> Side:
    """Frames an event under one of its anchors; the anchor of the other side comes along.

    Args:
        identifiers: of this side, the anchor first.
        other: those of the other side, if there is one.
        space: whose keys hold.
        flags: all but `FLAG_COUNTERPART`.
        fields: what both sides have in common.
        trailer: what else this side says about the other (`owed_sides`).
    """
    packed = [space.pack(each) for each in identifiers]
    anchor = packed[0][0]
    if other:
        flags |= FLAG_COUNTERPART
        packed.append(space.pack(other[0]))
    type_, number, source, time_us, stamp_us, stream, mark, body = fields
    frame = pack_frame(
        type_=type_,
        flags=flags,
        space=number,
        source=source,
        time_us=time_us,
        stamp_us=stamp_us,
        stream=stream,
        mark=mark,
        keys=[key for key, _ in packed],
        strings=b"".join([text for _, text in packed]) + trailer,
        body=body,
    )
    return Side(identifiers, anchor, frame)


def _traits_flag(event: ClientEvent) -> int:
    traits = traits_of(event)
    if not traits:
        return 0
    return FLAG_TRAITS if traits is event.traits else FLAG_CONTEXT_TRAITS


def alias_anchor(event: ClientEvent, rules: Rules) -> tuple[Identifier, ...]:
    """An alias that joins nothing is kept in the history of its user id, founding no profile."""
    value, reason = rules.verdict(USER_ID, event.user_id)
    if value is None or isinstance(reason, DropReason):
        return ()
    return (Identifier(USERS, USER_ID, value),)
