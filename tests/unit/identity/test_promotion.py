"""From an event to its identifiers: section 1 of the identity rules."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from unify_grpc.identity.events import ClientEvent, from_segment_message
from unify_grpc.identity.outcomes import DropReason, EventRejected, RejectionReason
from unify_grpc.identity.promotion import (
    DROPS_PER_EVENT_MAX,
    Promotion,
    check_promotion,
    promote,
)
from unify_grpc.identity.rules import Rules

DEFAULTS = Rules.from_document({}, 1)
PHONE = Rules.from_document(
    {"identifiers": [{"type": "user_id"}, {"type": "home_phone", "custom": True}]}, 1
)


def promoted(message: dict[str, Any], rules: Rules = DEFAULTS) -> Promotion:
    """Promotes a Segment message, a track call unless it says otherwise."""
    return promote(from_segment_message({"type": "track", **message}), rules)


def users(message: dict[str, Any], rules: Rules = DEFAULTS) -> list[str]:
    """The user side as `type:value`; asserts that every identifier is of that collection."""
    promotion = promoted(message, rules)
    assert {"users"} >= {identifier.collection for identifier in promotion.users}
    return [f"{identifier.type}:{identifier.value}" for identifier in promotion.users]


def accounts(message: dict[str, Any], rules: Rules = DEFAULTS) -> list[str]:
    """The account side as `type:value`."""
    promotion = promoted(message, rules)
    assert {"accounts"} >= {identifier.collection for identifier in promotion.accounts}
    return [f"{identifier.type}:{identifier.value}" for identifier in promotion.accounts]


def external(value: object, type_name: str = "app_id", collection: str = "users") -> dict[str, Any]:
    """One complete external id."""
    return {"id": value, "type": type_name, "collection": collection, "encoding": "none"}


@pytest.mark.parametrize(
    ("message", "identifiers"),
    [
        ({}, []),
        ({"userId": "u"}, ["user_id:u"]),
        ({"anonymousId": "a"}, ["anonymous_id:a"]),
        ({"traits": {"email": "E@x"}}, ["email:e@x"]),
        ({"context": {"traits": {"email": "e@x"}}}, ["email:e@x"]),
        ({"properties": {"email": "e@x"}}, ["email:e@x"]),
        ({"context": {"device": {"type": "android", "id": "d"}}}, ["android.id:d"]),
        ({"context": {"device": {"type": "ios", "token": "t"}}}, ["ios.push_token:t"]),
        (
            {
                "context": {
                    "device": {"type": "ios", "advertisingId": "i", "adTrackingEnabled": True}
                }
            },
            ["ios.idfa:i"],
        ),
        ({"context": {"device": {"type": "ios", "advertisingId": "i"}}}, []),
        (
            {"context": {"device": {"type": "ios", "advertisingId": "i", "adTrackingEnabled": 1}}},
            [],
        ),
        ({"context": {"device": {"type": "watch", "id": "d"}}}, []),
        ({"context": {"device": {"type": ["ios"], "id": "d"}}}, []),
        ({"context": {"device": {"id": "d"}}}, []),
        (
            {"context": {"integrations": {"Google Analytics": {"clientId": "g"}}}},
            ["ga_client_id:g"],
        ),
        ({"context": {"externalIds": [external("7")]}}, ["app_id:7"]),
        ({"traits": {"phone": "1"}, "properties": {"app_id": "2"}}, []),
    ],
)
def test_the_table_of_places(message: dict[str, Any], identifiers: list[str]) -> None:
    """Each type is promoted from its places, and from nowhere else."""
    assert identifiers == users(message)
    assert [] == accounts(message)


@pytest.mark.parametrize("kind", ["identify", "track", "page", "screen"])
def test_the_table_holds_for_every_call(kind: str) -> None:
    """Traits and properties are looked into whatever the call."""
    message = {"type": kind, "traits": {"email": "a@x"}, "properties": {"email": "b@x"}}

    assert ["email:a@x", "email:b@x"] == users(message)


def test_the_first_identifier_is_the_anchor() -> None:
    """Identifiers come by the rules' priority: user_id, email, then by name of type."""
    message = {
        "anonymousId": "a",
        "userId": "u",
        "context": {
            "traits": {"email": "e@x"},
            "device": {"type": "android", "id": "d"},
            "externalIds": [external("7", "aaa")],
        },
    }

    assert ["user_id:u", "email:e@x", "aaa:7", "android.id:d", "anonymous_id:a"] == users(message)


def test_position_breaks_ties_within_a_type() -> None:
    """Traits, context traits, properties, then external ids in the order of their array."""
    message = {
        "traits": {"email": "1@x"},
        "properties": {"email": "3@x"},
        "context": {
            "traits": {"email": "2@x"},
            "externalIds": [external("5@x", "email"), external("4@x", "email")],
        },
    }

    assert [f"email:{number}@x" for number in (1, 2, 3, 5, 4)] == users(message)


def test_the_same_identifier_twice_counts_once() -> None:
    """It keeps its first position."""
    message = {
        "traits": {"email": "a@x"},
        "properties": {"email": "A@X "},
        "context": {"externalIds": [external("a@x", "email"), external("a@x", "email")]},
    }

    assert ["email:a@x"] == users(message)


def test_a_custom_type_has_two_spellings_and_four_places() -> None:
    """Both spellings of the key, in traits, properties, context traits, then external ids."""
    message = {
        "traits": {"homePhone": "2", "home_phone": "1"},
        "properties": {"home_phone": "3"},
        "context": {
            "traits": {"homePhone": "4"},
            "externalIds": [external("5", "home_phone")],
        },
    }

    assert [f"home_phone:{number}" for number in range(1, 6)] == users(message, PHONE)
    assert ["home_phone:5"] == users(message)


def test_a_custom_type_of_one_word_has_one_spelling() -> None:
    """A name without underscore is its own camel case."""
    rules = Rules.from_document({"identifiers": [{"type": "phone", "custom": True}]}, 1)

    assert ["phone:1"] == users({"traits": {"phone": 1, "Phone": 2}}, rules)


@pytest.mark.parametrize("missing", ["id", "type", "collection", "encoding"])
def test_an_external_id_needs_all_four_fields(missing: str) -> None:
    """One that lacks a field is passed over, and so is one whose field is null."""
    entry = external("7")

    for entries in ([{**entry, missing: None}], [{k: v for k, v in entry.items() if k != missing}]):
        assert Promotion((), (), ()) == promoted({"context": {"externalIds": entries}})


@pytest.mark.parametrize(
    "entries",
    ["text", {}, 5, [None, 5, "x", []], [external("7", collection="things")], [{"id": "7"}]],
)
def test_odd_external_ids_are_passed_over(entries: object) -> None:
    """What is no external id promotes nothing and raises nothing."""
    assert Promotion((), (), ()) == promoted({"context": {"externalIds": entries}})


def test_external_ids_beside_the_context_come_first() -> None:
    """Those given at the top of an event stand before those in its context; objects will do."""
    entry = SimpleNamespace(**external("1"))
    event = ClientEvent(
        type="track", external_ids=[entry], context={"externalIds": [external("2")]}
    )

    assert ["1", "2"] == [identifier.value for identifier in promote(event, DEFAULTS).users]


def test_collections_never_mix() -> None:
    """External ids of accounts count on group calls only, and on their side only."""
    context = {"externalIds": [external("a", collection="accounts"), external("u")]}

    assert ["app_id:u"] == users({"context": context})
    assert [] == accounts({"context": context})
    assert ["app_id:u"] == users({"type": "group", "groupId": "g", "context": context})
    assert ["app_id:a", "group_id:g"] == accounts(
        {"type": "group", "groupId": "g", "context": context}
    )


def test_a_groups_traits_describe_the_account() -> None:
    """No person is promoted from them: a company's address would join its whole staff."""
    message = {
        "type": "group",
        "userId": "u",
        "groupId": "g",
        "traits": {"email": "office@example.com", "home_phone": "1"},
        "context": {"traits": {"email": "jane@example.com", "home_phone": "2"}},
    }

    assert ["user_id:u", "home_phone:2", "email:jane@example.com"] == users(message, PHONE)
    assert ["group_id:g"] == accounts(message, PHONE)


def test_a_group_id_outside_of_group_calls() -> None:
    """`context.groupId` names the account of any other call; `groupId` of it does not."""
    message = {"userId": "u", "groupId": "not this", "context": {"groupId": "g"}}

    assert ["group_id:g"] == accounts(message)
    assert ["group_id:top"] == accounts(
        {"type": "group", "groupId": "top", "context": {"groupId": "not this"}}
    )


def test_numbers_are_identifiers_in_decimal() -> None:
    """5, 5.0 and "5" are one user."""
    for value in (5, 5.0, "5", " 5 "):
        assert ["user_id:5"] == users({"userId": value})


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("", ""),
        (" ", " "),
        (True, ""),
        (1.5, ""),
        ({"a": 1}, ""),
        (["a"], ""),
        ("a\x00b", "a\x00b"),
        ("a\ud800", "a?"),
        ("x" * 300, "x" * 256),
    ],
)
def test_an_invalid_value_is_reported(value: object, shown: str) -> None:
    """It is not promoted, and the caller hears of it; null is no value and is not reported."""
    assert (("users", "user_id", shown, DropReason.INVALID_VALUE),) == (
        promoted({"userId": value}).drops
    )
    assert () == promoted({"userId": None}).drops


def test_a_blocked_value_is_reported() -> None:
    """The event goes on with what is left, and each blocked value is named once."""
    promotion = promoted({
        "userId": " NULL ", "anonymousId": "a",
        "traits": {"email": "null"}, "properties": {"email": "null"},
    })  # fmt: skip

    assert ["a"] == [identifier.value for identifier in promotion.users]
    assert (
        ("users", "user_id", "NULL", DropReason.BLOCKED),
        ("users", "email", "null", DropReason.BLOCKED),
    ) == promotion.drops


def test_a_type_that_is_none_is_reported() -> None:
    """An external id of an impossible type, or of a new one where these are off, is invalid."""
    context = {"externalIds": [external("7", "App Id"), external("8", "x" * 99), external("9")]}
    closed = Rules.from_document({"accept_new_types": False}, 1)

    assert ["app_id:9"] == users({"context": context})
    assert [
        ("App Id", DropReason.INVALID_VALUE), ("x" * 64, DropReason.INVALID_VALUE),
    ] == [(drop.type, drop.reason) for drop in promoted({"context": context}).drops]  # fmt: skip
    assert [] == users({"context": context}, closed)
    assert 3 == len(promoted({"context": context}, closed).drops)


@pytest.mark.parametrize(
    "message",
    [
        {"context": {"traits": "x", "device": "x", "integrations": "x", "groupId": None}},
        {"context": {"traits": [1], "device": [1], "integrations": {"Google Analytics": "x"}}},
        {"properties": {}, "traits": {}, "context": {}},
    ],
)
def test_odd_payloads_promote_nothing(message: dict[str, Any]) -> None:
    """Payloads of unexpected kinds are skipped without an error."""
    assert Promotion((), (), ()) == promoted(message)


def alias(previous_id: object, user_id: object = "u", **more: object) -> dict[str, Any]:
    """An alias call."""
    return {"type": "alias", "userId": user_id, "previousId": previous_id, **more}


def linking(type_name: str) -> Rules:
    """The rules of a space that links aliases as this type."""
    return Rules.from_document({"alias_links": type_name}, 1)


def test_an_alias_promotes_nothing() -> None:
    """As in Segment it joins nothing and drops nothing."""
    message = alias("", anonymousId="a", context={"groupId": "g"})

    assert Promotion((), (), ()) == promoted(message)


def test_a_space_may_link_aliases() -> None:
    """Then the user id and the previous id, as the type the space names, are identifiers."""
    message = alias("p", anonymousId="a", context={"groupId": "g"})

    assert ["user_id:u", "anonymous_id:p"] == users(message, linking("anonymous_id"))
    assert ["user_id:u", "user_id:p"] == users(message, linking("user_id"))
    assert [] == accounts(message, linking("user_id"))


@pytest.mark.parametrize("type_name", ["user_id", "anonymous_id"])
def test_an_alias_to_itself_is_a_no_op(type_name: str) -> None:
    """It neither joins nor founds anything, however the two are written."""
    assert Promotion((), (), ()) == promoted(alias(" u"), linking(type_name))
    assert Promotion((), (), ()) == promoted(alias(5, user_id="5"), linking(type_name))


def test_an_invalid_alias_is_reported() -> None:
    """An id that cannot identify anybody is dropped like that of any event."""
    promotion = promoted(alias(True, user_id=False), linking("user_id"))

    assert () == promotion.users
    assert {DropReason.INVALID_VALUE} == {drop.reason for drop in promotion.drops}


def test_an_event_has_at_most_ten_identifiers() -> None:
    """Ten are taken, people's and accounts' together; eleven refuse the event."""
    context = {"externalIds": [external(str(number)) for number in range(1, 10)]}
    ten = promoted({"type": "group", "groupId": "g", "context": context})
    eleven = promoted({"type": "group", "groupId": "g", "userId": "u", "context": context})

    check_promotion(ten)
    with pytest.raises(EventRejected) as rejected:
        check_promotion(eleven)

    assert RejectionReason.TOO_MANY_IDENTIFIERS is rejected.value.reason


def test_an_event_notes_so_many_left_out_values_and_no_more() -> None:
    """Whoever sends thousands of bad values makes no list long."""
    bad = [external({"bad": number}, f"type_{number}") for number in range(60)]
    promotion = promoted({"userId": "u1", "context": {"externalIds": bad}})

    assert ["u1"] == [each.value for each in promotion.users]
    assert DROPS_PER_EVENT_MAX == len(promotion.drops)
