"""The traits that were set under a member, as a row."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from unify_grpc.identity.traits import TraitCell
from unify_grpc.machines import rows

if TYPE_CHECKING:
    from collections.abc import Mapping

_CELLS = msgspec.msgpack.Decoder(dict[str, TraitCell])


def encode_traits(cells: Mapping[str, TraitCell]) -> bytes:
    """Returns traits as stored."""
    return bytes((rows.FORMAT,)) + rows.encode(cells)


def decode_traits(stored: bytes) -> dict[str, TraitCell]:
    """Reads what `encode_traits` wrote; `ValueError` on another format."""
    if stored[0] != rows.FORMAT:
        raise ValueError(f"traits row format {stored[0]} is not known here")
    return _CELLS.decode(stored[1:])
