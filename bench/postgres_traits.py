"""Traits in PostgreSQL: one row for each identifier that events set some under.

A row has all of them packed, as the service keeps them, with who wrote each last: one probe and one
write for whoever says something, where a row for each trait would need seven.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from bench.postgres_graph import fetch
from unify_grpc.identity.traits import merge_traits
from unify_grpc.machines.batch import FLAG_CONTEXT_TRAITS, FLAG_TRAITS
from unify_grpc.machines.trait_rows import decode_traits, encode_traits, traits_set

if TYPE_CHECKING:
    from unify_grpc.identity.traits import TraitCell
    from unify_grpc.machines.batch import Batch

SAYS_TRAITS: Final = FLAG_TRAITS | FLAG_CONTEXT_TRAITS
SCHEMA: Final = """
CREATE TABLE traits (
    anchor bigint PRIMARY KEY,
    cells bytea NOT NULL
);
"""
FIND_TRAITS: Final = "SELECT anchor, cells FROM traits WHERE anchor = ANY ($1::bigint[])"
SET_TRAITS: Final = """
INSERT INTO traits (anchor, cells) SELECT * FROM unnest($1::bigint[], $2::bytea[])
ON CONFLICT (anchor) DO UPDATE SET cells = excluded.cells
"""
READ_TRAITS: Final = """
SELECT identifiers.value, traits.cells
FROM traits JOIN identifiers ON identifiers.id = traits.anchor
WHERE identifiers.type = 'user_id'
"""


class NewTraits:
    """What the events of one batch set."""

    def __init__(self) -> None:
        self._cells: dict[int, dict[str, TraitCell]] = {}
        """By the anchor's id."""

    def take(self, batch: Batch, index: int, anchor: int) -> None:
        """Takes what an event sets; its frame says that it sets some."""
        frame = batch.frame(index)
        update = traits_set(frame, batch.body(index, frame))
        merge_traits(self._cells.setdefault(anchor, {}), update)

    def __bool__(self) -> bool:
        return bool(self._cells)

    async def write(self, connection: Any, prepared: dict[str, Any]) -> None:
        """Joins it into what is there, of which nobody else writes these rows meanwhile."""
        for anchor, stored in await fetch(connection, prepared, FIND_TRAITS, list(self._cells)):
            merge_traits(self._cells[anchor], decode_traits(stored))
        packed = [encode_traits(each) for each in self._cells.values()]
        await fetch(connection, prepared, SET_TRAITS, list(self._cells), packed)
