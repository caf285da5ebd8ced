"""Rows that say their format, and refuse to be read as another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable


class Formatted(Protocol):
    """A row whose first field is its format."""

    @property
    def format(self) -> int:
        """Raised whenever the meaning of the row changes."""


RowT = TypeVar("RowT", bound=Formatted)


def checked_decoder(kind: type[RowT], known: int) -> Callable[[bytes], RowT]:
    """Returns a decoder that raises `ValueError` on a row of another format."""
    decode = msgspec.msgpack.Decoder(kind).decode

    def decode_checked(data: bytes) -> RowT:
        row = decode(data)
        if row.format != known:
            raise ValueError(f"{kind.__name__} of format {row.format} is not known here")
        return row

    return decode_checked
