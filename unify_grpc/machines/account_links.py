"""Links between users and accounts: rows on both sides, from member to member.

Each side keeps, under its own member, a row per member of the other side that an event named
together with it. Members, not profiles, stand in the rows, so they follow merges, splits and
deletions by themselves, and an account of a million people is a million small rows. A second row
per pair, in order of time, is what lists are read from; a third per member says that it has any,
since most members of a profile have none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import msgspec

from unify_grpc.machines import rows
from unify_grpc.machines.formats import checked_decoder

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from unify_grpc.machines.tables import Working

ANY = b"a"
PAIR = b"p"
TIME = b"t"
"""Behind the member in a key: which of the three rows it is."""
_FORMAT = 1
_MARK = bytes((_FORMAT,))
_TIME_BYTES = 8
_MEMBER_BYTES = 20

LinkPlace = tuple[int, bytes, bytes]
"""(time in microseconds, the other side's member, the own member): the order of a list."""


class LinkRow(msgspec.Struct, array_like=True, frozen=True):
    """The first event, by event time, that named two members."""

    format: int
    time_us: int
    source: int
    message_id: str


decode_link = checked_decoder(LinkRow, _FORMAT)


class _Rows(Protocol):
    def get(self, key: bytes) -> bytes | None: ...


class OrderedRows(_Rows, Protocol):
    """Published rows at one moment, to be read in the order of their keys."""

    def list_rows(
        self, prefix: bytes, *, after: bytes = b"", limit: int
    ) -> list[tuple[bytes, bytes]]:
        """Returns at most `limit` rows of a prefix in key order, only those after a key."""


def put_link(
    working: Working, own: bytes, other: bytes, *, time_us: int, source: int, message_id: str
) -> None:
    """Notes on one side that an event named both; of several the earliest counts.

    Args:
        working: rows of the command at hand.
        own: the member whose shard this is.
        other: the member of the other collection.
        time_us: event time, microseconds since 1970.
        source: number of the source that sent the event.
        message_id: the event's.
    """
    known_us = link_time_us(working, own, other)
    if known_us is not None:
        if known_us <= time_us:
            return
        working.put(time_key(own, known_us, other), None)
    elif working.get(any_key(own)) is None:
        working.put(any_key(own), _MARK)
    working.put(pair_key(own, other), rows.encode(LinkRow(_FORMAT, time_us, source, message_id)))
    working.put(time_key(own, time_us, other), _MARK)


def find_link(view: _Rows, own: bytes, other: bytes) -> LinkRow | None:
    """Returns the first event that named two members, as this side knows it; None: none did."""
    stored = view.get(pair_key(own, other))
    return None if stored is None else decode_link(stored)


def link_time_us(view: _Rows, own: bytes, other: bytes) -> int | None:
    """Returns when an event first named two members, microseconds since 1970; None: none did."""
    row = find_link(view, own, other)
    return None if row is None else row.time_us


def list_places(
    view: OrderedRows, members: Sequence[bytes], after: LinkPlace | None, limit: int
) -> list[LinkPlace]:
    """Returns the first links of some members, in their common order, after a place."""
    found: list[LinkPlace] = []
    for own in _linked(view, members):
        found.extend(_places_of(view, own, after, limit))
    found.sort()
    return found[:limit]


def first_place(
    view: OrderedRows, members: Sequence[bytes], others: Sequence[bytes]
) -> LinkPlace | None:
    """Returns the first link between some of `members`, whose shard this is, and of `others`.

    One look per pair, but for members without any link.
    """
    first: LinkPlace | None = None
    for own in _linked(view, members):
        for other in others:
            time_us = link_time_us(view, own, other)
            if time_us is not None and (first is None or (time_us, other, own) < first):
                first = (time_us, other, own)
    return first


def _linked(view: _Rows, members: Sequence[bytes]) -> list[bytes]:
    return [own for own in members if view.get(any_key(own)) is not None]


def _places_of(
    view: OrderedRows, own: bytes, after: LinkPlace | None, limit: int
) -> Iterator[LinkPlace]:
    """Yields the first links of a member after a place: at least `limit`, or all there are."""
    prefix = rows.LINK + own + TIME
    last = b""
    if after is not None:
        time_us, other, place_own = after
        last = time_key(own, time_us, other)
        # The same time and other side come once more, if under a greater member of one's own.
        if own > place_own and view.get(last) is not None:
            yield time_us, other, own
    for key, value in view.list_rows(prefix, after=last, limit=limit):
        if value != _MARK:
            raise ValueError(f"link row format {value[0]} is not known here")
        time_us = int.from_bytes(key[len(prefix) : len(prefix) + _TIME_BYTES], "big")
        yield time_us, key[-_MEMBER_BYTES:], own


def any_key(own: bytes) -> bytes:
    """Returns the key of the row that says that a member has links."""
    return rows.LINK + own + ANY


def pair_key(own: bytes, other: bytes) -> bytes:
    """Returns the key of the row of a pair, on the side of `own`."""
    return rows.LINK + own + PAIR + other


def time_key(own: bytes, time_us: int, other: bytes) -> bytes:
    """Returns the key of the row by which a pair is listed in its time."""
    return rows.LINK + own + TIME + time_us.to_bytes(_TIME_BYTES, "big") + other
