"""Events are built whole, or refused where they are made."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from unify_client import (
    EventInvalid,
    ExternalId,
    UnifyClientError,
    alias,
    group,
    identify,
    page,
    screen,
    track,
)

SURROGATE = "jane\ud800"


def test_every_builder_names_its_kind_and_its_field() -> None:
    """Each function fills the field that its kind of call is about."""
    built = [
        identify(user_id="u1"),
        track("Signed Up", user_id="u1"),
        page("Home", user_id="u1"),
        screen("Start", user_id="u1"),
        group("acme", user_id="u1"),
        alias("a1", user_id="u1"),
    ]

    assert ["identify", "track", "page", "screen", "group", "alias"] == [e.type for e in built]
    assert ["", "Signed Up", "Home", "Start", "", ""] == [e.name for e in built]
    assert "acme" == built[4].group_id
    assert "a1" == built[5].previous_id
    assert {"u1"} == {event.user_id for event in built}


def test_an_event_has_a_message_id_from_the_start() -> None:
    """Two events never share a message id, and a given one is kept."""
    first, second = identify(user_id="u1"), identify(user_id="u1")

    assert first.message_id
    assert first.message_id != second.message_id
    assert "m1" == identify(user_id="u1", message_id="m1").message_id


def test_absent_ids_stay_absent_and_empty_ones_are_sent() -> None:
    """The service tells an absent id from an empty one, so the client keeps them apart."""
    assert not identify(anonymous_id="a1").HasField("user_id")
    assert not identify(user_id=None).HasField("user_id")
    assert identify(user_id="").HasField("user_id")


def test_objects_are_compact_json_in_utf_8() -> None:
    """Traits, properties and context are written without blanks and without escapes."""
    event = identify(user_id="u1", traits={"name": "Zoë", "age": 41, "left": None}, context={})

    assert '{"name":"Zoë","age":41,"left":null}'.encode() == event.traits_json
    assert b"{}" == event.context_json
    assert b'{"price":9.5}' == track("Paid", properties={"price": 9.5}).properties_json


def test_a_time_inside_an_object_is_iso_8601() -> None:
    """A datetime with a zone is written as a text."""
    since = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)

    assert {"since": "2026-01-02T03:04:05+00:00"} == json.loads(
        identify(user_id="u1", traits={"since": since}).traits_json
    )


@pytest.mark.parametrize(
    "value",
    [
        float("nan"),
        float("inf"),
        SURROGATE,
        {SURROGATE: 1},
        {("secret",): 1},
        {"secret"},
        b"secret",
        datetime(2026, 1, 1),  # noqa: DTZ001  the fault that is tested
    ],
)
def test_what_json_cannot_hold_is_refused_without_being_repeated(value: Any) -> None:
    """A bad trait is a clear error of ours that names the field and never shows the value."""
    with pytest.raises(EventInvalid, match=r"^traits ") as refused:
        identify(user_id="u1", traits={"trait": value})

    assert isinstance(refused.value, ValueError)
    assert isinstance(refused.value, UnifyClientError)
    assert "secret" not in str(refused.value)
    assert "jane" not in str(refused.value)


def test_an_object_that_holds_itself_is_refused() -> None:
    """A cycle ends in an error, not in a crash."""
    traits: dict[str, Any] = {}
    traits["self"] = traits

    with pytest.raises(EventInvalid):
        identify(user_id="u1", traits=traits)


def test_texts_are_texts() -> None:
    """A number or half of a surrogate pair as an id is refused by the field's name."""
    number: Any = 7
    with pytest.raises(EventInvalid, match="user_id is not a text"):
        identify(user_id=number)
    with pytest.raises(EventInvalid, match="user_id holds half") as refused:
        identify(user_id=SURROGATE)
    assert "jane" not in str(refused.value)


def test_an_unknown_parameter_is_a_type_error() -> None:
    """A misspelt parameter is not sent as something else."""
    misspelt: Any = {"userid": "u1"}
    with pytest.raises(TypeError, match="track takes no userid"):
        track("Signed Up", **misspelt)


def test_times_are_exact_to_the_microsecond() -> None:
    """A time keeps its instant whatever its zone, before 1970 too."""
    zone = timezone(timedelta(hours=2))
    event = identify(
        user_id="u1",
        timestamp=datetime(2026, 1, 1, 2, 0, 0, 123_456, tzinfo=zone),
        original_timestamp=datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
    )

    assert (1_767_225_600, 123_456_000) == (event.timestamp.seconds, event.timestamp.nanos)
    assert -1 == event.original_timestamp.seconds
    assert 999_999_000 == event.original_timestamp.nanos
    assert not event.HasField("sent_at")


def test_a_time_without_a_zone_is_refused() -> None:
    """Nobody guesses whose noon is meant."""
    with pytest.raises(EventInvalid, match="timestamp has no time zone"):
        identify(user_id="u1", timestamp=datetime(2026, 1, 1))  # noqa: DTZ001  the fault


def test_external_ids_come_with_their_defaults() -> None:
    """An external id is one of a person, without an encoding, unless it says otherwise."""
    event = identify(
        external_ids=[ExternalId("phone", "+1555"), ExternalId("crm", "7", "accounts", "hex")]
    )

    assert [("phone", "+1555", "users", "none"), ("crm", "7", "accounts", "hex")] == [
        (entry.type, entry.id, entry.collection, entry.encoding) for entry in event.external_ids
    ]
