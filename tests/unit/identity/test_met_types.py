"""At most 200 types a space: those its rules list, and those that it met in events."""

from __future__ import annotations

from typing import Any

import pytest

from unify_grpc.identity.events import from_segment_message
from unify_grpc.identity.outcomes import DropReason
from unify_grpc.identity.promotion import Promotion, promote
from unify_grpc.identity.rules import Newness, Rules

FULL = [f"type_{number}" for number in range(198)]
"""With `user_id` and `email` the table is full."""


def rules(met: list[str], **document: Any) -> Rules:
    """Rules of a space that met these types."""
    return Rules.from_document(document, 1).meeting(met)


def promoted(counting: Rules, *types: str, **fields: Any) -> Promotion:
    """Promotes an event that has a user id and an external id of each type."""
    external = [
        {"id": f"a {name}", "type": name, "collection": "users", "encoding": "none"}
        for name in types
    ]
    message = {"type": "identify", "userId": "u", "context": {"externalIds": external}, **fields}
    return promote(from_segment_message(message), counting)


def test_rules_that_count_no_types_have_none_that_are_new() -> None:
    """Whoever asks them about one event has no space that could meet anything."""
    promotion = promoted(Rules.from_document({}, 1), "phone")

    assert () == promotion.new_types
    assert 2 == len(promotion.users)


def test_a_type_is_new_until_it_was_met() -> None:
    """Listed ones never are, built-in ones are like any other."""
    promotion = promoted(rules(["phone"]), "phone", "fax", anonymousId="a")

    assert ("anonymous_id", "fax") == promotion.new_types
    assert ["user_id", "anonymous_id", "fax", "phone"] == [each.type for each in promotion.users]
    assert () == promotion.drops


@pytest.mark.parametrize("value", ["null", " ", "x\0", True, 1.5])
def test_a_value_that_identifies_nobody_makes_no_type_known(value: object) -> None:
    """Only a type that is promoted is met, not one of blocked or invalid values."""
    external = [{"id": value, "type": "fax", "collection": "users", "encoding": "none"}]

    assert () == promoted(rules([]), context={"externalIds": external}).new_types


def test_the_201st_type_is_not_promoted() -> None:
    """It is reported as an invalid value, and the types that are known go on."""
    promotion = promoted(rules(FULL), "type_0", "fax")

    assert ["user_id", "type_0"] == [each.type for each in promotion.users]
    assert [("users", "fax", "a fax", DropReason.INVALID_VALUE)] == list(promotion.drops)
    assert () == promotion.new_types


def test_the_last_room_is_for_the_first_new_type_of_an_event() -> None:
    """In the order they are found; a second value of it needs no more room."""
    counting = rules(FULL[:-1])
    promotion = promoted(counting, "fax", "phone", "fax")

    assert 1 == counting.types_room
    assert ("fax",) == promotion.new_types
    assert ["phone"] == [drop.type for drop in promotion.drops]


def test_a_type_that_is_listed_and_met_counts_once() -> None:
    """So listing what was met by hand costs no room."""
    listed = [{"type": name} for name in FULL]

    assert 0 == rules(FULL, identifiers=[*listed, {"type": "a"}, {"type": "b"}]).types_room
    assert 2 == rules(FULL, identifiers=listed).types_room


def test_types_met_before_new_ones_were_switched_off_stay() -> None:
    """They stand in the table; what was never met is not welcome."""
    promotion = promoted(rules(["phone"], accept_new_types=False), "phone", "fax", anonymousId="a")

    assert ["user_id", "anonymous_id", "phone"] == [each.type for each in promotion.users]
    assert ("anonymous_id",) == promotion.new_types
    assert ["fax"] == [drop.type for drop in promotion.drops]


def test_an_alias_that_joins_nothing_meets_nothing() -> None:
    """It promotes nothing, though it is kept in the history of its user id."""
    counting = rules([], identifiers=[{"type": "email"}])
    message = {"type": "alias", "userId": "u", "previousId": "p"}

    assert () == promote(from_segment_message(message), counting).new_types
    assert ("u", Newness.UNMET) == counting.verdict("user_id", "u")


def test_meeting_a_type_keeps_what_was_found_out() -> None:
    """Verdicts on values of known types are not worked out again; those of a new one are."""
    counting = rules(["phone"])
    before = counting.verdict("email", "A@example.com")
    assert ("f", Newness.UNMET) == counting.verdict("fax", "f")
    after = counting.meeting(["phone", "fax"])

    assert before is after.verdict("email", "A@example.com")
    assert ("f", None) == after.verdict("fax", "f")
    assert ("f", Newness.UNMET) == counting.verdict("fax", "f")
    assert counting.rank("fax") == after.rank("fax")
