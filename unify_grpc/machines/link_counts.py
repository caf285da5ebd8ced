"""How many links the merge actor has decided."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from unify_grpc.machines.tables import Working

COUNTS: Final = b"z"
FORMAT: Final = 1
_ROW = struct.Struct("<BQQ")


class LinkCounts(NamedTuple):
    """Since the store was made."""

    decided: int = 0
    merges: int = 0
    """Those of them that joined profiles."""


def read_counts(get: Callable[[bytes], bytes | None]) -> LinkCounts:
    """Returns what is counted; `ValueError` on another format."""
    stored = get(COUNTS)
    if stored is None:
        return LinkCounts()
    format_, decided, merges = _ROW.unpack(stored)
    if format_ != FORMAT:
        raise ValueError(f"a row of counts of format {format_} is not known here")
    return LinkCounts(decided, merges)


def count_decision(working: Working, *, is_merge: bool) -> None:
    """Counts a link that was decided."""
    decided, merges = read_counts(working.get)
    working.put(COUNTS, _ROW.pack(FORMAT, decided + 1, merges + is_merge))
