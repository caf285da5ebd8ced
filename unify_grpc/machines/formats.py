"""Rows that say their format, and refuse to be read as another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable


class Formatted(Protocol):
    """A row whose first field is its format."""

    @property
    def format(self) -> int:
        """Raised whenever the meaning of the row changes."""


RowT = TypeVar("RowT", bound=Formatted)


_any = msgspec.msgpack.Decoder(list[Any]).decode


def _check_format(kind: type[Formatted], found: int, known: int) -> None:
    if found != known:
        raise ValueError(f"{kind.__name__} of format {found} is not known here")


def checked_decoder(kind: type[RowT], known: int) -> Callable[[bytes], RowT]:
    """Returns a decoder that raises `ValueError` on a row of another format."""
    decode = msgspec.msgpack.Decoder(kind).decode

    def decode_checked(data: bytes) -> RowT:
        try:
            row = decode(data)
        except msgspec.ValidationError:
            _check_format(kind, _any(data)[0], known)
            raise
        _check_format(kind, row.format, known)
        return row

    return decode_checked
