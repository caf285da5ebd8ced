"""Which traits an event sets, and which value wins: section 4 of the identity rules."""

from __future__ import annotations

import pytest

from unify_grpc.identity.events import ClientEvent
from unify_grpc.identity.traits import TraitCell, merge_traits, traits_of, visible


def cell(value: bytes, time_us: int, message_id: str = "m", source: int = 1) -> TraitCell:
    """One trait's value as an event wrote it."""
    return TraitCell(value, time_us, message_id, source)


def joined(*cells: TraitCell) -> TraitCell:
    """What is left of one trait after these arrived, in this order."""
    into: dict[str, TraitCell] = {}
    for written in cells:
        merge_traits(into, {"name": written})
    return into["name"]


def test_the_latest_event_wins_in_any_order_of_arrival() -> None:
    """The value with the greatest event time stands."""
    old, new = cell(b'"old"', 1), cell(b'"new"', 2)

    assert new == joined(old, new) == joined(new, old)


def test_the_greater_message_id_wins_at_one_time() -> None:
    """Events of one microsecond are told apart by message id."""
    first, second = cell(b"1", 5, "a"), cell(b"0", 5, "b")

    assert second == joined(first, second) == joined(second, first)


def test_one_message_under_two_anchors_still_has_one_winner() -> None:
    """Cells equal in time and message id join to the same, whichever comes first."""
    first, second = cell(b"1", 5, source=2), cell(b"2", 5, source=1)

    assert joined(first, second) == joined(second, first)


def test_null_removes_and_is_remembered() -> None:
    """A removed trait is not shown, and an older value does not bring it back."""
    removed = cell(b"null", 5)

    assert removed == joined(removed, cell(b"1", 4))
    assert {} == visible({"name": removed})


def test_an_empty_string_is_a_value() -> None:
    """`""` is stored and shown."""
    empty = cell(b'""', 5)

    assert {"name": empty} == visible({"name": joined(cell(b"1", 4), empty)})


def test_a_removed_trait_can_be_set_again() -> None:
    """A later value stands after a removal."""
    assert cell(b"2", 6) == joined(cell(b"null", 5), cell(b"2", 6))


@pytest.mark.parametrize(
    ("event", "traits"),
    [
        (ClientEvent(type="identify", traits={"a": 1}, context={"traits": {"b": 2}}), {"a": 1}),
        (ClientEvent(type="identify", context={"traits": {"b": 2}}), {"b": 2}),
        (ClientEvent(type="identify", traits={}, context={"traits": {"b": 2}}), {"b": 2}),
        (ClientEvent(type="identify", context={"traits": {}}), None),
        (ClientEvent(type="identify", context={"traits": ["b"]}), None),
        (ClientEvent(type="identify"), None),
        (ClientEvent(type="group", traits={"a": 1}), {"a": 1}),
        (ClientEvent(type="group", context={"traits": {"b": 2}}), None),
        (ClientEvent(type="track", traits={"a": 1}, context={"traits": {"b": 2}}), None),
        (ClientEvent(type="page", traits={"a": 1}), None),
        (ClientEvent(type="alias", traits={"a": 1}), None),
    ],
)
def test_only_identify_and_group_set_traits(
    event: ClientEvent, traits: dict[str, object] | None
) -> None:
    """Top-level traits, or those of the context when an identify has none."""
    assert traits == traits_of(event)
