"""What promotion left out of an event, kept with the event.

Written behind the texts of a frame's identifiers, and only where there is something to write: the
frame of an event without drops is as it was.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from unify_grpc.identity.identifiers import ACCOUNTS, Identifier

if TYPE_CHECKING:
    from collections.abc import Sequence

    from unify_grpc.identity.identifiers import KeyMaker
    from unify_grpc.identity.promotion import PromotionDrop

FINGERPRINT_BYTES = 8


class NotedDrop(msgspec.Struct, array_like=True, frozen=True):
    """One identifier that promotion left out."""

    collection: int
    """0 users, 1 accounts."""
    type: str
    value: str
    """Cut; empty where it was no text."""
    reason: int
    fingerprint: bytes
    """Of the value as it is kept, keyed by the space: eight bytes."""


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[NotedDrop]).decode


def pack_drops(drops: Sequence[NotedDrop]) -> bytes:
    """Packs drops for the end of a frame's texts."""
    return _encode(drops)


def unpack_drops(notes: bytes) -> list[NotedDrop]:
    """Reads what `pack_drops` wrote; nothing where a frame has none."""
    return _decode(notes) if notes else []


def note_drops(drops: Sequence[PromotionDrop], keys: KeyMaker) -> list[NotedDrop]:
    """Returns what promotion left out in the form in which it is kept."""
    return [
        NotedDrop(
            int(drop.collection == ACCOUNTS),
            drop.type,
            drop.value,
            int(drop.reason),
            fingerprint_of(keys, drop.collection, drop.type, drop.value),
        )
        for drop in drops
    ]


def fingerprint_of(keys: KeyMaker, collection: str, type_: str, value: str) -> bytes:
    """Returns the eight bytes that violations know an identifier by; others may have the same."""
    return keys.key(Identifier(collection, type_, value))[:FINGERPRINT_BYTES]
