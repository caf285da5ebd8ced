"""What an event may say, and when it happened: sections 4 and 5 of the identity rules."""

from __future__ import annotations

from typing import Any

import pytest

from unify_grpc.identity.events import (
    ClientEvent,
    check_event,
    event_time_us,
    from_segment_message,
)
from unify_grpc.identity.outcomes import EventRejected, RejectionReason

RECEIVED_US = 1_700_000_000_000_000
SECOND_US = 1_000_000


def reason_of_check(event: ClientEvent) -> RejectionReason | None:
    """Why an event is refused, if it is."""
    try:
        check_event(event)
    except EventRejected as rejected:
        return rejected.reason
    return None


def track(**fields: Any) -> ClientEvent:
    """A track call that nothing is wrong with but these fields."""
    return ClientEvent(**{"type": "track", "message_id": "m1", "name": "Bought", **fields})


def nested(depth: int, *, arrays: bool = False) -> dict[str, Any]:
    """An object of this depth, itself counted."""
    inner: Any = {}
    for _ in range(depth - 2):
        inner = [inner] if arrays else {"a": inner}
    return {"a": inner} if depth > 1 else {}


def test_a_client_time_counts_from_when_it_was_sent() -> None:
    """A wrong clock cancels out: only the age of the event when it was sent is used."""
    event = track(timestamp_us=5_000_000, sent_at_us=8_000_000)

    assert RECEIVED_US - 3 * SECOND_US == event_time_us(event, RECEIVED_US)


def test_the_original_timestamp_comes_first() -> None:
    """`originalTimestamp` is the client's time, else `timestamp`."""
    event = track(original_timestamp_us=10, timestamp_us=20)

    assert 10 == event_time_us(event, RECEIVED_US)
    assert 20 == event_time_us(track(timestamp_us=20), RECEIVED_US)


def test_without_a_client_time_it_happened_when_received() -> None:
    """A time of sending alone says nothing about the event."""
    assert RECEIVED_US == event_time_us(track(), RECEIVED_US)
    assert RECEIVED_US == event_time_us(track(sent_at_us=7), RECEIVED_US)


@pytest.mark.parametrize(
    "fields",
    [
        {"timestamp_us": RECEIVED_US + 1},
        {"timestamp_us": 9_000_000, "sent_at_us": 8_000_000},
    ],
)
def test_nothing_happens_in_the_future(fields: dict[str, int]) -> None:
    """A time later than the receipt becomes the receipt."""
    assert RECEIVED_US == event_time_us(track(**fields), RECEIVED_US)


@pytest.mark.parametrize(
    "fields",
    [
        {"timestamp_us": -1},
        {"original_timestamp_us": 5, "timestamp_us": -1},
        {"original_timestamp_us": -1, "sent_at_us": 5},
        {"timestamp_us": 5, "sent_at_us": -1},
        {"sent_at_us": -1},
        {"timestamp_us": 0, "sent_at_us": RECEIVED_US + 1},
    ],
)
def test_times_before_1970_are_refused(fields: dict[str, int]) -> None:
    """No time given may lie before 1970, and neither may what follows from them."""
    with pytest.raises(EventRejected) as rejected:
        event_time_us(track(**fields), RECEIVED_US)

    assert RejectionReason.INVALID_TIMESTAMP is rejected.value.reason


def test_1970_itself_is_a_time() -> None:
    """The first microsecond of 1970 is not before it."""
    assert 0 == event_time_us(track(timestamp_us=0), RECEIVED_US)


@pytest.mark.parametrize(
    ("text", "time_us"),
    [
        ("1970-01-01T00:00:01Z", 1_000_000),
        ("1970-01-01T00:00:01.5Z", 1_500_000),
        ("1970-01-01T00:00:01.000001+00:00", 1_000_001),
        ("1970-01-01T01:00:00+01:00", 0),
        ("1970-01-01t00:00:01z", 1_000_000),
        ("1970-01-01T00:00:01", 1_000_000),
        ("1970-01-02", 86_400_000_000),
        ("1969-12-31T23:59:59Z", -1_000_000),
        ("1970-01-01T00:00:01.123456789Z", 1_123_456),
        ("0001-01-01T00:00:00+23:59", -62_135_683_140_000_000),
    ],
)
def test_times_are_iso_8601(text: str, time_us: int) -> None:
    """`Z` and offsets, seconds to microseconds; without a zone a time is UTC."""
    event = from_segment_message({
        "type": "track", "timestamp": text, "originalTimestamp": text, "sentAt": text,
    })  # fmt: skip

    assert (time_us, time_us, time_us) == (
        event.timestamp_us,
        event.original_timestamp_us,
        event.sent_at_us,
    )


@pytest.mark.parametrize(
    "value",
    ["", "yesterday", "2024-13-01T00:00:00Z", 1_700_000_000, "9" * 65, {}, "2024-01-01T00:00:60Z"],
)
@pytest.mark.parametrize("key", ["timestamp", "originalTimestamp", "sentAt"])
def test_unreadable_times_are_refused(key: str, value: object) -> None:
    """Whichever time it is: a caller who sends nonsense learns of it."""
    with pytest.raises(EventRejected) as rejected:
        from_segment_message({"type": "track", key: value})

    assert RejectionReason.INVALID_TIMESTAMP is rejected.value.reason


def test_a_message_is_read_field_by_field() -> None:
    """Each key of a Segment message has its field; others are passed over."""
    message = {
        "type": "track", "messageId": "m1", "userId": "u", "anonymousId": 5, "groupId": "g",
        "previousId": "p", "event": "Bought", "name": "not this", "traits": {"a": 1},
        "properties": {"b": 2}, "context": {"c": 3}, "channel": "server",
    }  # fmt: skip

    assert ClientEvent(
        type="track", message_id="m1", user_id="u", anonymous_id=5, group_id="g",
        previous_id="p", name="Bought", traits={"a": 1}, properties={"b": 2}, context={"c": 3},
    ) == from_segment_message(message)  # fmt: skip


def test_a_page_is_named_by_name() -> None:
    """`event` names a track, `name` a page or screen."""
    assert "Home" == from_segment_message({"type": "page", "name": "Home", "event": "x"}).name
    assert from_segment_message({"type": "track", "event": 5}).name is None


def test_null_and_absent_are_the_same() -> None:
    """A null field is no field, and a missing message id is an empty one."""
    keys = ("messageId", "userId", "anonymousId", "traits", "context", "timestamp", "event")

    assert from_segment_message({"type": "track"}) == from_segment_message(
        {"type": "track"} | dict.fromkeys(keys)
    )
    assert not from_segment_message({"type": "track"}).message_id


def test_an_empty_array_stands_for_an_empty_object() -> None:
    """PHP writes an empty object as `[]`."""
    event = from_segment_message({"type": "identify", "traits": [], "context": []})

    assert event.traits is None
    assert event.context is None


@pytest.mark.parametrize("key", ["traits", "properties", "context"])
@pytest.mark.parametrize("value", ["text", [1], 5, True])
def test_a_payload_that_is_no_object_is_refused(key: str, value: object) -> None:
    """Traits in another form would be lost without a word."""
    with pytest.raises(EventRejected) as rejected:
        from_segment_message({"type": "track", key: value})

    assert RejectionReason.INVALID_JSON is rejected.value.reason


def test_a_message_id_is_a_text() -> None:
    """A number as message id is refused, not guessed at."""
    with pytest.raises(EventRejected) as rejected:
        from_segment_message({"type": "track", "messageId": 5})

    assert RejectionReason.INVALID_MESSAGE_ID is rejected.value.reason


@pytest.mark.parametrize("kind", ["", "Track", "delete", None, 5])
def test_an_unknown_type_is_refused(kind: object) -> None:
    """There are six types of call, spelt in lower case."""
    event = from_segment_message({"type": kind})

    assert RejectionReason.UNKNOWN_TYPE is reason_of_check(event)


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        (track(), None),
        (track(message_id=""), None),
        (track(message_id="x" * 100), None),
        (track(message_id="x" * 101), RejectionReason.INVALID_MESSAGE_ID),
        (track(name=None), RejectionReason.MISSING_EVENT_NAME),
        (track(name=""), RejectionReason.MISSING_EVENT_NAME),
        (ClientEvent(type="page"), None),
        (ClientEvent(type="screen"), None),
        (ClientEvent(type="identify"), None),
        (ClientEvent(type="group"), RejectionReason.MISSING_GROUP_ID),
        (ClientEvent(type="group", group_id="g"), None),
        (ClientEvent(type="group", group_id=5), None),
        (ClientEvent(type="group", group_id=""), RejectionReason.INVALID_GROUP_ID),
        (ClientEvent(type="group", group_id="  "), RejectionReason.INVALID_GROUP_ID),
        (ClientEvent(type="group", group_id="x" * 500), None),
        (ClientEvent(type="group", group_id="x" * 501), RejectionReason.INVALID_GROUP_ID),
        (track(context={"groupId": "g"}), None),
        (track(context={"groupId": None}), None),
        (track(context={"groupId": ""}), RejectionReason.INVALID_GROUP_ID),
        (track(context={"groupId": "x" * 501}), RejectionReason.INVALID_GROUP_ID),
        (ClientEvent(type="alias", user_id="u", previous_id="p"), None),
        (ClientEvent(type="alias", user_id="u", previous_id="u"), None),
        (ClientEvent(type="alias", previous_id="p"), RejectionReason.MISSING_USER_ID),
        (ClientEvent(type="alias", user_id="", previous_id="p"), RejectionReason.MISSING_USER_ID),
        (ClientEvent(type="alias", user_id="u"), RejectionReason.MISSING_PREVIOUS_ID),
        (
            ClientEvent(type="alias", user_id="u", previous_id=""),
            RejectionReason.MISSING_PREVIOUS_ID,
        ),
    ],
)
def test_what_each_call_needs(event: ClientEvent, reason: RejectionReason | None) -> None:
    """A track its name, a group its group id, an alias both ids; lengths within their limits."""
    assert reason is reason_of_check(event)


def test_traits_and_properties_are_counted() -> None:
    """300 are taken and 301 are not, the traits of an identify's context included."""
    many = {f"k{number}": number for number in range(301)}
    enough = {f"k{number}": number for number in range(300)}
    identify = ClientEvent(type="identify", context={"traits": many})

    assert reason_of_check(track(traits=enough, properties=enough)) is None
    assert RejectionReason.TOO_MANY_TRAITS is reason_of_check(track(traits=many))
    assert RejectionReason.TOO_MANY_PROPERTIES is reason_of_check(track(properties=many))
    assert RejectionReason.TOO_MANY_TRAITS is reason_of_check(identify)
    assert reason_of_check(track(context={"traits": many})) is None


@pytest.mark.parametrize("place", ["traits", "properties", "context"])
@pytest.mark.parametrize("arrays", [False, True])
def test_depth_is_limited(place: str, arrays: bool) -> None:  # noqa: FBT001  a parametrised flag
    """Eight levels of objects and arrays are taken, nine are not."""
    assert reason_of_check(track(**{place: nested(1)})) is None
    assert reason_of_check(track(**{place: nested(8, arrays=arrays)})) is None
    assert RejectionReason.TOO_DEEP is reason_of_check(track(**{place: nested(9, arrays=arrays)}))


def test_hostile_depth_is_no_more_than_too_deep() -> None:
    """Ten thousand levels end like nine, without running out of stack."""
    assert RejectionReason.TOO_DEEP is reason_of_check(track(properties=nested(10_000)))


def test_a_refusal_names_its_reason_and_no_value() -> None:
    """The text of a refusal is derived from the reason alone."""
    with pytest.raises(EventRejected) as rejected:
        check_event(ClientEvent(type="group", user_id="jane@example.com"))

    assert "event rejected: MISSING_GROUP_ID" == str(rejected.value)
