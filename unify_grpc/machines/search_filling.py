"""Makes search by a trait complete when a space names the trait later.

From the batch that names it on, new values are indexed as they come. What was stored before is gone
through in slices, each a command of its own, so that no batch waits for long. A trait that is named
no more leaves its rows behind: what is found is checked against its profile anyway.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from unify_grpc.machines import rows
from unify_grpc.machines.found_by import put_traits
from unify_grpc.machines.rows import SpaceRow
from unify_grpc.machines.trait_rows import decode_traits

if TYPE_CHECKING:
    from collections.abc import Mapping

    from unify_grpc.machines.shard_rows import ShardRows
    from unify_grpc.machines.tables import View

SLICE_ROWS_MAX: Final = 500


class Slice(msgspec.Struct, array_like=True, frozen=True):
    """Members whose traits are gone through at once."""

    space: int
    members: list[bytes]
    is_last: bool


encode_slice = msgspec.msgpack.Encoder().encode
decode_slice = msgspec.msgpack.Decoder(Slice).decode


def adopt(known: SpaceRow | None, version: int, names: frozenset[str] | None) -> SpaceRow:
    """Returns what a shard knows of a space after a batch; `known` itself if that is the same.

    Args:
        known: before; None: the space is new here, so nothing is stored yet.
        version: of its rules.
        names: of its searchable traits; None: the batch does not say.
    """
    if known is None:
        return SpaceRow(rows.FORMAT, version, 0, sorted(names or ()))
    version = max(version, known.rules_version)
    if names is None or names == frozenset(known.searchable):
        if version == known.rules_version:
            return known
        return msgspec.structs.replace(known, rules_version=version)
    added = names.difference(known.searchable)
    filling = names.intersection(added.union(known.filling))
    return msgspec.structs.replace(
        known,
        rules_version=version,
        searchable=sorted(names),
        filling=sorted(filling),
        filled_to=b"" if added or not filling else known.filled_to,
    )


def next_slice(view: View, spaces: Mapping[int, SpaceRow]) -> Slice | None:
    """Returns what is to be gone through next; None if search is complete."""
    for space, row in spaces.items():
        if row.filling:
            after = rows.TRAITS + row.filled_to if row.filled_to else b""
            listed = view.list_rows(rows.TRAITS, after=after, limit=SLICE_ROWS_MAX)
            members = [key[len(rows.TRAITS) :] for key, _ in listed]
            return Slice(space, members, is_last=len(members) < SLICE_ROWS_MAX)
    return None


def apply_slice(working: ShardRows, slice_: Slice) -> None:
    """Indexes the traits of a slice's members, and notes how far that got."""
    stored = working.get(rows.space_key(slice_.space))
    assert stored is not None, "a space that is gone through is known"
    space = rows.decode_space(stored)
    for member in slice_.members:
        row = working.find_member(member)
        traits = working.get(rows.TRAITS + member)
        if row is not None and row.space == slice_.space and traits is not None:
            put_traits(working, member, row, {}, decode_traits(traits), space.filling)
    reached = msgspec.structs.replace(
        space,
        filling=[] if slice_.is_last else space.filling,
        filled_to=b"" if slice_.is_last else slice_.members[-1],
    )
    working.put(rows.space_key(slice_.space), rows.encode(reached))
