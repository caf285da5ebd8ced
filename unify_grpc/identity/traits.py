"""Traits: which ones an event sets, and the join that decides between values.

The join is last-writer-wins by (event time, message id), so the order of arrival never matters
and merging two profiles is the same operation as receiving an event.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from unify_grpc.identity.events import GROUP, IDENTIFY, ClientEvent

if TYPE_CHECKING:
    from collections.abc import Mapping

REMOVED_JSON: Final = b"null"


class TraitCell(NamedTuple):
    """One trait's value and who wrote it last."""

    value_json: bytes
    """`b"null"`: removed, and remembered so that an older value does not come back."""
    time_us: int
    message_id: str
    source: int


def traits_of(event: ClientEvent) -> Mapping[str, object] | None:
    """The traits an event sets, of the person for `identify`, of the account for `group`.

    None when it sets none. An identify without top-level traits sets those of its context.
    """
    if event.type == IDENTIFY:
        if event.traits:
            return event.traits
        in_context = event.context.get("traits") if event.context else None
        return in_context if in_context and isinstance(in_context, dict) else None
    if event.type == GROUP:
        return event.traits or None
    return None


def merge_traits(into: dict[str, TraitCell], update: Mapping[str, TraitCell]) -> None:
    """Joins `update` into `into`: commutative, associative, idempotent."""
    for name, cell in update.items():
        present = into.get(name)
        if present is None or _written(cell) > _written(present):
            into[name] = cell


def visible(cells: Mapping[str, TraitCell]) -> dict[str, TraitCell]:
    """The traits a reader sees: those not removed."""
    return {name: cell for name, cell in cells.items() if cell.value_json != REMOVED_JSON}


def _written(cell: TraitCell) -> tuple[int, str, bytes, int]:
    """When a cell was written. One message id under two anchors can tie: then any total order."""
    return cell.time_us, cell.message_id, cell.value_json, cell.source
