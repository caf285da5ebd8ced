"""Where the merge actor's journal tells of a profile, and of an identifier that was left out.

The journal keeps every decision whole, so these rows only point into it: (record, place in it),
twelve bytes. A profile's history stays where it is when the profile is absorbed: the decision
that did so names it, and whoever reads goes on from there, so a merge copies nothing.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

    from unify_grpc.machines.tables import Working

HISTORY: Final = b"h"
DROPS: Final = b"y"
PLACES_MAX: Final = 64
"""In one row: a history begins the next one, a list of the newest forgets its oldest."""
FORMAT: Final = 1

_HEAD = struct.Struct(">BI")
_LIST = struct.Struct(">B")
_PLACE = struct.Struct(">QI")
_PART = struct.Struct(">I")
_REPEATS: Final = b"\xff\xff\xff\xff"


class Place(NamedTuple):
    """Where a decision stands."""

    record: int
    """Of the journal."""
    at: int
    """Among the decisions of that record, from 0."""


class Head(NamedTuple):
    """The row of a profile's history that grows."""

    parts_count: int
    """Of full rows before this one."""
    places: list[Place]
    """The newest, in the order they were decided."""


def add_decision(
    working: Working,
    root: bytes,
    place: Place,
    *,
    is_change: bool,
    is_joining: bool,
    dropped_from: Iterable[bytes],
) -> None:
    """Notes where a decision stands that was made on a profile.

    Args:
        working: the tables.
        root: the profile that the event ended in.
        place: of the decision.
        is_change: whether the profile was made by it, or gained members.
        is_joining: whether the event kept several identifiers. If they all were on the profile,
            it makes a path shorter and nothing else, so only the newest of these are noted.
        dropped_from: the members of identifiers that were left out, and the anchor's; empty if
            nothing was. Both, for a popular identifier is left out by many anchors.
    """
    if is_change:
        _append(working, root, place)
    elif is_joining:
        _keep_newest(working, repeats_key(root), place)
    for member in dict.fromkeys(dropped_from):
        _keep_newest(working, DROPS + member, place)


def head_key(root: bytes) -> bytes:
    """Returns the key of a history's `Head`."""
    return HISTORY + root


def part_key(root: bytes, number: int) -> bytes:
    """Returns the key of a full row of a history, from 0."""
    return HISTORY + root + _PART.pack(number)


def repeats_key(root: bytes) -> bytes:
    """Returns the key of the newest decisions that changed nothing about a profile."""
    return HISTORY + root + _REPEATS


def unpack_head(data: bytes) -> Head:
    """Reads the row that grows; `ValueError` on another format."""
    format_, parts_count = _HEAD.unpack_from(data)
    _check_format(format_)
    return Head(parts_count, _unpack(data, _HEAD.size))


def unpack_places(data: bytes) -> list[Place]:
    """Reads any other row of this file, the oldest first; `ValueError` on another format."""
    _check_format(data[0])
    return _unpack(data, _LIST.size)


def _append(working: Working, root: bytes, place: Place) -> None:
    key = head_key(root)
    stored = working.get(key)
    if stored is None:
        working.put(key, _HEAD.pack(FORMAT, 0) + _PLACE.pack(*place))
        return
    if len(stored) < _HEAD.size + PLACES_MAX * _PLACE.size:
        _check_format(stored[0])
        working.put(key, stored + _PLACE.pack(*place))
        return
    parts_count = unpack_head(stored).parts_count
    working.put(part_key(root, parts_count), _LIST.pack(FORMAT) + stored[_HEAD.size :])
    working.put(key, _HEAD.pack(FORMAT, parts_count + 1) + _PLACE.pack(*place))


def _keep_newest(working: Working, key: bytes, place: Place) -> None:
    stored = working.get(key) or _LIST.pack(FORMAT)
    _check_format(stored[0])
    kept = stored[_LIST.size :][-(PLACES_MAX - 1) * _PLACE.size :]
    working.put(key, stored[: _LIST.size] + kept + _PLACE.pack(*place))


def _unpack(data: bytes, start: int) -> list[Place]:
    return [Place._make(each) for each in _PLACE.iter_unpack(data[start:])]


def _check_format(found: int) -> None:
    if found != FORMAT:
        raise ValueError(f"a row of format {found} that points into the journal is not known here")
