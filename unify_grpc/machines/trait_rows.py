"""The traits that were set under a member, as a row."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from unify_grpc.identity.traits import TraitCell
from unify_grpc.machines import rows
from unify_grpc.machines.batch import FLAG_CONTEXT_TRAITS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from unify_grpc.machines.batch import Body, Frame

_CELLS = msgspec.msgpack.Decoder(dict[str, TraitCell])
_TRAITS = msgspec.json.Decoder(dict[str, msgspec.Raw])


def traits_set(frame: Frame, body: Body) -> dict[str, TraitCell]:
    """Returns the traits that an event sets; its frame says that it sets some."""
    text = body.traits
    if frame.flags & FLAG_CONTEXT_TRAITS:
        # Read like the gateway read it: of duplicate keys the last counts, whatever the others.
        text = msgspec.json.encode(msgspec.json.decode(body.context)["traits"])
    return {
        name: TraitCell(bytes(value), frame.time_us, body.message_id, frame.source)
        for name, value in _TRAITS.decode(text).items()
    }


def encode_traits(cells: Mapping[str, TraitCell]) -> bytes:
    """Returns traits as stored."""
    return bytes((rows.FORMAT,)) + rows.encode(cells)


def decode_traits(stored: bytes) -> dict[str, TraitCell]:
    """Reads what `encode_traits` wrote; `ValueError` on another format."""
    if stored[0] != rows.FORMAT:
        raise ValueError(f"traits row format {stored[0]} is not known here")
    return _CELLS.decode(stored[1:])
