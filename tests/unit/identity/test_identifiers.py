"""What is one identifier, and what key it has: section 1 of the identity rules."""

from __future__ import annotations

import pytest

from unify_grpc.identity.identifiers import (
    PREFIXES_CACHED_MAX,
    Identifier,
    KeyMaker,
    is_type_name,
    normalise_value,
)


def normalise(value: object, *, type_name: str = "phone") -> str | None:
    """Normalises with the settings of a new space."""
    return normalise_value(type_name, value, lowercase_email=True)


@pytest.mark.parametrize(
    ("value", "normalised"),
    [
        ("abc", "abc"),
        ("  abc\t\n", "abc"),
        ("\u00a0\u2003abc\u3000\x85", "abc"),
        ("a b", "a b"),
        ("Stra\u00dfe", "Stra\u00dfe"),
        ("\ufb01", "\ufb01"),
        ("e\u0301", "\u00e9"),
        ("ABC", "ABC"),
        (5, "5"),
        (5.0, "5"),
        (-0.0, "0"),
        (-17, "-17"),
        (2**53 - 1, "9007199254740991"),
        (float(2**53 - 1), "9007199254740991"),
        ("x" * 256, "x" * 256),
        ("\u00e9" * 128, "\u00e9" * 128),
    ],
)
def test_a_value_has_one_normal_form(value: object, normalised: str) -> None:
    """Values are trimmed of Unicode white space, composed, and whole numbers are decimals."""
    assert normalised == normalise(value)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "  \u2003 ",
        True,
        False,
        1.5,
        float("nan"),
        float("inf"),
        float("-inf"),
        2**53,
        -(2**53),
        1e300,
        {},
        [],
        ["a"],
        b"abc",
        "a\x00b",
        "a\nb",
        "a\x7f",
        "\x1cabc",
        "a\x85b",
        "\ud800",
        "a\udc00b",
        "x" * 257,
        "\u00e9" * 129,
        "\U0001f600" * 65,
    ],
)
def test_what_cannot_identify_anybody_is_invalid(value: object) -> None:
    """Empty, boolean, fractional, huge, structured, unprintable and over-long values are none."""
    assert normalise(value) is None


def test_a_group_id_is_measured_in_characters() -> None:
    """A group id has up to 500 characters, whatever their bytes."""
    assert "\u00e9" * 500 == normalise("\u00e9" * 500, type_name="group_id")
    assert normalise("x" * 501, type_name="group_id") is None
    assert normalise("", type_name="group_id") is None


def test_a_mail_address_is_lower_cased_from_a_to_z_only() -> None:
    """Only A to Z of an email are lower-cased, and a space can turn that off."""
    assert "jane@example.com" == normalise("Jane@Example.COM", type_name="email")
    assert "\u00c9ve@example.com" == normalise("\u00c9VE@example.com", type_name="email")
    assert "Jane@x" == normalise_value("email", "Jane@x", lowercase_email=False)
    assert "\u00c9J" == normalise_value("email", "\u00c9J", lowercase_email=False)


def test_lower_casing_leaves_a_composed_text() -> None:
    """A letter that only its lower case composes with is composed after lower-casing."""
    assert "\u1e97" == normalise("T\u0308", type_name="email")


def test_look_alikes_stay_apart() -> None:
    """A Cyrillic letter is not the Latin one that it looks like."""
    assert normalise("jane") != normalise("j\u0430ne")


@pytest.mark.parametrize(
    ("name", "is_one"),
    [
        ("a", True),
        ("ios.push_token", True),
        ("a-1", True),
        ("x" * 64, True),
        ("x" * 65, False),
        ("", False),
        ("Phone", False),
        ("\u00e4", False),
        ("a b", False),
        ("a\n", False),
    ],
)
def test_type_names(name: str, is_one: bool) -> None:  # noqa: FBT001  a parametrised flag
    """A type is 1 to 64 of lower-case letters, digits, `_`, `.` and `-`."""
    assert is_type_name(name) is is_one


def test_keys_are_stable_and_sixteen_bytes() -> None:
    """The same identifier has the same key from every key maker of its space."""
    jane = Identifier("users", "email", "jane@example.com")

    keys = KeyMaker(b"secret")

    assert keys.key(jane) == keys.key(jane) == KeyMaker(b"secret").key(jane)
    assert len(KeyMaker(b"secret").key(jane)) == 16


def test_the_format_of_keys_never_changes() -> None:
    """Stored keys stay valid: a change of framing would lose every identifier."""
    key = KeyMaker(b"secret").key(Identifier("users", "user_id", "u1"))

    assert "f13101626746479608355345dbcf567c" == key.hex()


def test_keys_of_two_spaces_are_unrelated() -> None:
    """Equal identifiers in two spaces have different keys."""
    jane = Identifier("users", "email", "jane@example.com")

    assert KeyMaker(b"one").key(jane) != KeyMaker(b"two").key(jane)


def test_no_two_frames_meet() -> None:
    """Moving a letter across the parts of an identifier makes another key."""
    keys = KeyMaker(b"secret")
    same_letters = [
        Identifier("users", "ab", "c"),
        Identifier("users", "a", "bc"),
        Identifier("user", "sab", "c"),
        Identifier("accounts", "ab", "c"),
    ]

    assert len(same_letters) == len({keys.key(identifier) for identifier in same_letters})


def test_keys_survive_their_cache_being_emptied() -> None:
    """A key is the same before and after more types than are cached."""
    keys = KeyMaker(b"secret")
    first = Identifier("users", "t", "v")
    before = keys.key(first)
    for number in range(PREFIXES_CACHED_MAX + 1):
        keys.key(Identifier("users", f"t{number}", "v"))

    assert before == keys.key(first)


@pytest.mark.parametrize("secret", [b"", b"x" * 65])
def test_a_secret_has_a_length(secret: bytes) -> None:
    """A secret that keys nothing, or that would be cut, is refused."""
    with pytest.raises(ValueError, match="1 to 64 bytes"):
        KeyMaker(secret)
