"""Pushes that meet damaged rows: what is whole is applied, or one bad row would hold up a shard.

A row that cannot be read cannot be changed either. It stays as it is, whoever reads it is told,
and a backup brings it back; all else of the push reaches its rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from unify_grpc.machines.links import Push
from unify_grpc.machines.tables import DamagedError

if TYPE_CHECKING:
    from collections.abc import Callable


def without_damaged(push: Push, apply: Callable[[Push], object]) -> Push:
    """Returns the rows of a push that can be applied.

    Args:
        push: of which some rows meet damaged values.
        apply: tries a push, which changes nothing; `DamagedError` if it cannot be.
    """
    sound = Push([], [], [], [], [], [])
    for field in Push.__struct_fields__:
        for row in getattr(push, field):
            single = Push([], [], [], [], [], [])
            getattr(single, field).append(row)
            try:
                apply(single)
            except DamagedError:
                continue
            getattr(sound, field).append(row)
    return sound
