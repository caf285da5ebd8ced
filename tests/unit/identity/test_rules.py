"""A space's rules: the table, its defaults, and what a value is worth under them."""

from __future__ import annotations

from typing import Any

import pytest

from unify_grpc.identity import rules as rules_module
from unify_grpc.identity.outcomes import DropReason
from unify_grpc.identity.rules import Limit, Rules, RulesInvalid

DAY_US = 86_400 * 1_000_000


def rules_of(**document: Any) -> Rules:
    """Reads a document of these keys as version 1."""
    return Rules.from_document(document, 1)


def errors_of(document: Any) -> dict[str, str]:
    """The errors of a document by their path."""
    with pytest.raises(RulesInvalid) as refused:
        Rules.from_document(document, 1)
    return {error.path: error.text for error in refused.value.errors}


def test_an_empty_document_has_the_defaults() -> None:
    """A space without rules of its own has the limits, order, caps and lists of a new space."""
    rules = rules_of()

    assert Limit(1, None) == rules.limit("user_id")
    assert Limit(5, None) == rules.limit("email")
    assert Limit(5, None) == rules.limit("phone")
    assert (1000, 100) == (rules.identifiers_max, rules.merges_max)
    assert rules.accept_new_types
    assert rules.lowercase_email
    assert rules.alias_links is None
    assert ("name", "first_name", "last_name", "company") == rules.searchable_traits
    assert () == rules.custom_types
    assert 1 == rules.version


def test_unlisted_types_follow_in_alphabetical_order() -> None:
    """user_id, email, then every other type by its name; a new type moves into the tail."""
    types = ["phone", "email", "android.id", "user_id", "ga_client_id", "anonymous_id"]

    assert [
        "user_id", "email", "android.id", "anonymous_id", "ga_client_id", "phone",
    ] == sorted(types, key=rules_of().rank)  # fmt: skip


def test_the_order_of_the_document_is_the_priority() -> None:
    """Listed types come in the document's order, before all others, which `others` limits."""
    rules = rules_of(
        identifiers=[{"type": "phone"}, {"type": "email", "limit": 2, "window": "weekly"}],
        others={"limit": 3, "window": "daily"},
    )

    assert ["phone", "email", "anonymous_id", "user_id"] == sorted(
        ["user_id", "anonymous_id", "email", "phone"], key=rules.rank
    )
    assert Limit(2, 7 * DAY_US) == rules.limit("email")
    assert Limit(5, None) == rules.limit("phone")
    assert Limit(3, DAY_US) == rules.limit("user_id")


@pytest.mark.parametrize(
    ("window", "window_us"),
    [
        ("ever", None),
        ("daily", DAY_US),
        ("weekly", 7 * DAY_US),
        ("monthly", 30 * DAY_US),
        ("annually", 365 * DAY_US),
        (90, 90_000_000),
        (0.5, 500_000),
        (2.0, 2_000_000),
    ],
)
def test_windows(window: object, window_us: int | None) -> None:
    """A window is a name or a number of seconds, and is written back as it was read."""
    rules = rules_of(identifiers=[{"type": "phone", "limit": 2, "window": window}])

    assert Limit(2, window_us) == rules.limit("phone")
    assert rules == Rules.from_document(rules.to_document(), 1)


def test_a_null_limit_is_none() -> None:
    """A type without a limit may have any number of identifiers."""
    rules = rules_of(identifiers=[{"type": "phone", "limit": None}], others={"limit": None})

    assert rules.limit("phone") is None
    assert rules.limit("email") is None
    assert rules == Rules.from_document(rules.to_document(), 1)


def test_a_listed_user_id_keeps_its_own_default_limit() -> None:
    """Listing user_id without a limit leaves it at 1 ever."""
    assert Limit(1, None) == rules_of(identifiers=[{"type": "user_id"}]).limit("user_id")


@pytest.mark.parametrize(
    "value", ["0", "000-000", "-1", "null", "NULL", "Anonymous", "undefined", "NaN", "-"]
)
def test_a_new_space_blocks_the_usual_placeholders(value: str) -> None:
    """The recommended list holds for every type, without regard to the case of A to Z."""
    for type_name in ("user_id", "email", "phone"):
        assert DropReason.BLOCKED is rules_of().verdict(type_name, value)[1]


def test_a_new_space_blocks_what_scripts_make_of_objects() -> None:
    """`[object Object]` is nobody."""
    assert ("[object Object]", DropReason.BLOCKED) == rules_of().verdict(
        "user_id", " [object Object]"
    )


def test_a_number_is_blocked_as_its_decimals() -> None:
    """0 as a number is as blocked as its text, and 1 is not the same as true."""
    rules = rules_of()

    assert ("0", DropReason.BLOCKED) == rules.verdict("user_id", 0)
    assert ("1", None) == rules.verdict("user_id", 1)
    assert (None, DropReason.INVALID_VALUE) == rules.verdict("user_id", True)


def test_an_empty_list_blocks_nothing() -> None:
    """A document may switch the default list off."""
    assert ("null", None) == rules_of(blocked=[]).verdict("user_id", "null")


def test_a_types_own_list_is_in_addition() -> None:
    """A type's list adds to the list of all types and holds for that type alone."""
    rules = rules_of(identifiers=[{"type": "phone", "blocked": [{"exact": "Void"}]}])

    assert DropReason.BLOCKED is rules.verdict("phone", "void")[1]
    assert DropReason.BLOCKED is rules.verdict("phone", "null")[1]
    assert rules.verdict("user_id", "void")[1] is None


def test_patterns_are_searched_for() -> None:
    """A pattern blocks wherever it occurs; whoever means the whole value anchors it."""
    rules = rules_of(blocked=[{"pattern": "test"}, {"pattern": "^b+$"}, {"pattern": "^[x_-]+$"}])

    assert DropReason.BLOCKED is rules.verdict("user_id", "my-test-7")[1]
    assert DropReason.BLOCKED is rules.verdict("user_id", "bbb")[1]
    assert DropReason.BLOCKED is rules.verdict("user_id", "x-x_")[1]
    assert rules.verdict("user_id", "abbb")[1] is None
    assert rules.verdict("user_id", "TEST")[1] is None


def test_an_open_quotation_stays_in_its_own_pattern() -> None:
    r"""A pattern with an open `\Q` does not swallow the next one."""
    rules = rules_of(blocked=[{"pattern": r"\Qa.b"}, {"pattern": "c+d"}])

    assert DropReason.BLOCKED is rules.verdict("user_id", "xa.bx")[1]
    assert DropReason.BLOCKED is rules.verdict("user_id", "ccd")[1]
    assert rules.verdict("user_id", "aXb")[1] is None


def test_an_empty_pattern_is_in_every_value() -> None:
    """It blocks a type whole, as RE2 reads it: nothing is not the same as no pattern."""
    rules = rules_of(identifiers=[{"type": "phone", "blocked": [{"pattern": ""}]}])

    assert ("1", DropReason.BLOCKED) == rules.verdict("phone", "1")
    assert ("1", None) == rules.verdict("fax", "1")


def test_patterns_too_large_together_still_block() -> None:
    """Patterns that outgrow the memory of one automaton are searched for one by one."""
    patterns = [{"pattern": f"{letter}.{{900}}[a-z]{{90}}z"} for letter in "abcdefghijklmnopqrst"]
    rules = rules_of(blocked=[*patterns, {"pattern": "needle"}])

    assert DropReason.BLOCKED is rules.verdict("user_id", "a needle here")[1]


def test_a_blank_exact_entry_blocks_nothing() -> None:
    """An exact entry that no identifier can equal is taken and has no effect."""
    assert ("a", None) == rules_of(blocked=[{"exact": "  "}]).verdict("user_id", "a")


def test_new_types_can_be_switched_off() -> None:
    """Then types that are neither listed nor built in are invalid, and the others are not."""
    rules = rules_of(identifiers=[{"type": "phone"}], accept_new_types=False)

    assert rules.accepts_type("phone")
    assert rules.accepts_type("anonymous_id")
    assert not rules.accepts_type("app_id")
    assert (None, DropReason.INVALID_VALUE) == rules.verdict("app_id", "a")
    assert rules_of().accepts_type("app_id")


def test_what_is_no_type_name_is_never_accepted() -> None:
    """A type is lower-case letters, digits and three signs, whatever the rules say."""
    assert not rules_of().accepts_type("App Id")
    assert (None, DropReason.INVALID_VALUE) == rules_of().verdict("App Id", "a")


def test_a_verdict_does_not_change_by_being_remembered() -> None:
    """Asking twice, and asking after everything remembered was dropped, answers the same."""
    rules = rules_of()
    first = rules.verdict("email", "Jane@example.com")
    for number in range(rules_module.VERDICTS_CACHED_MAX + 1):
        rules.verdict("user_id", f"u{number}")

    assert ("jane@example.com", None) == first
    assert first == rules.verdict("email", "Jane@example.com")
    assert first == rules.verdict("email", "Jane@example.com")


def test_types_from_callers_are_remembered_within_a_bound() -> None:
    """However many types callers invent, few are kept, and listed ones always."""
    rules = rules_of()
    for number in range(2 * rules_module.UNLISTED_TYPES_CACHED_MAX + 5):
        assert ("v", None) == rules.verdict(f"type-{number}", "v")

    assert len(rules._known) <= 20 + rules_module.UNLISTED_TYPES_CACHED_MAX
    assert Limit(1, None) == rules.limit("user_id")


def test_mail_addresses_may_keep_their_case() -> None:
    """A space can turn lower-casing off."""
    assert ("J@x", None) == rules_of(lowercase_email=False).verdict("email", "J@x")


def test_equal_rules_are_equal() -> None:
    """The same document at the same version is equal; another version or document is not."""
    assert rules_of() == rules_of()
    assert hash(rules_of()) == hash(rules_of())
    assert rules_of() != Rules.from_document({}, 2)
    assert rules_of() != rules_of(blocked=[])
    assert rules_of() != {}


def test_the_documents_example_reads_and_writes_back() -> None:
    """Every key of a document is read, and written back as read."""
    rules = rules_of(
        identifiers=[
            {
                "type": "user_id", "limit": 1, "window": "ever",
                "blocked": [{"exact": "-1"}, {"pattern": "^[0-]*$"}],
            },
            {"type": "phone", "limit": 5, "window": "monthly", "custom": True},
        ],
        others={"limit": 5, "window": "ever"},
        blocked=[{"exact": "null"}],
        caps={"identifiers": 10, "merges": 0},
        accept_new_types=True,
        lowercase_email=True,
        alias_links="anonymous_id",
        searchable_traits=["name"],
    )  # fmt: skip

    assert ("phone",) == rules.custom_types
    assert "anonymous_id" == rules.alias_links
    assert (10, 0) == (rules.identifiers_max, rules.merges_max)
    assert rules == Rules.from_document(rules.to_document(), 1)


def test_every_error_is_listed_at_once() -> None:
    """A document with many mistakes is refused with all of them, each with its place."""
    errors = errors_of(
        {
            "identifiers": [
                {"type": "phone", "limit": -1},
                {"type": "phone", "window": "hourly"},
                {"type": "Phone", "limit": True, "custom": 1},
                {"type": "a", "limit": "5", "blocked": [{"pattern": "(?=x)"}, {"exact": 5}, {}, 7]},
                {"type": "b", "window": 0, "colour": "red"},
                {"type": "group_id", "custom": True},
                "email",
            ],
            "others": {"limit": 1.5},
            "blocked": [
                {"pattern": "x" * 257},
                {"exact": "\ud800"},
                {"exact": "a", "pattern": "b"},
            ],
            "caps": {"identifiers": 0, "merges": -1, "profiles": 1},
            "accept_new_types": "yes",
            "alias_links": "email",
            "searchable_traits": ["name", "name", ""],
            "limits": {},
        }
    )

    assert {
        "limits",
        "caps.profiles",
        "identifiers[0].limit",
        "identifiers[1].window",
        "identifiers[2].type",
        "identifiers[2].limit",
        "identifiers[2].custom",
        "identifiers[3].limit",
        "identifiers[3].blocked[0].pattern",
        "identifiers[3].blocked[1].exact",
        "identifiers[3].blocked[2]",
        "identifiers[3].blocked[3]",
        "identifiers[4].window",
        "identifiers[4].colour",
        "identifiers[5].custom",
        "identifiers[6]",
        "others.limit",
        "blocked[0].pattern",
        "blocked[1].exact",
        "blocked[2]",
        "caps.identifiers",
        "caps.merges",
        "accept_new_types",
        "alias_links",
        "searchable_traits[1]",
        "searchable_traits[2]",
    } == set(errors)
    assert "is not an RE2 pattern" in errors["identifiers[3].blocked[0].pattern"]


@pytest.mark.parametrize(
    ("document", "path"),
    [
        ([], ""),
        ({"identifiers": {}}, "identifiers"),
        ({"identifiers": None}, "identifiers"),
        ({"identifiers": [{"type": f"t{number}"} for number in range(201)]}, "identifiers"),
        ({"identifiers": [{"type": "a"}, {"type": "a"}]}, "identifiers[1].type"),
        ({"identifiers": [{"limit": 1}]}, "identifiers[0].type"),
        ({"identifiers": [{"type": "a", "window": float("nan")}]}, "identifiers[0].window"),
        ({"identifiers": [{"type": "a", "window": 1e12}]}, "identifiers[0].window"),
        ({"identifiers": [{"type": "a", "window": 1e-9}]}, "identifiers[0].window"),
        ({"identifiers": [{"type": "a", "window": True}]}, "identifiers[0].window"),
        ({"blocked": [{"pattern": f"x{number}"} for number in range(51)]}, "blocked"),
        ({"blocked": [{"exact": f"x{number}"} for number in range(1001)]}, "blocked"),
        ({"blocked": "null"}, "blocked"),
        ({"blocked": [{"pattern": "(a)\\1"}]}, "blocked[0].pattern"),
        ({"blocked": [{"regex": "a"}]}, "blocked[0].regex"),
        ({"caps": []}, "caps"),
        ({"others": None}, "others"),
        ({"searchable_traits": [f"t{number}" for number in range(21)]}, "searchable_traits"),
        ({"lowercase_email": None}, "lowercase_email"),
        ({5: 1}, "5"),
    ],
)
def test_a_wrong_document_is_refused(document: object, path: str) -> None:
    """One mistake is one error, at its place."""
    assert [path] == list(errors_of(document))


def test_the_refusal_says_what_is_wrong() -> None:
    """Its text names every place."""
    with pytest.raises(RulesInvalid, match="document: must be an object"):
        Rules.from_document([], 1)  # type: ignore[arg-type]  # that is the mistake
    with pytest.raises(RulesInvalid, match="caps: must be an object; others: must be"):
        Rules.from_document({"others": 1, "caps": 1}, 1)
