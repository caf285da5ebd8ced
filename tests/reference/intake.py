"""What an event must be to be taken in, and at what time it happened."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from tests.reference.promotion import WHITE_SPACE, inner, promote
from tests.reference.rules import Rules

CALLS = frozenset({"identify", "track", "page", "screen", "group", "alias"})
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Later than every event of any case, as the server's clock is.
RECEIVED_FALLBACK_US = int((datetime(2100, 1, 1, tzinfo=UTC) - EPOCH) / timedelta(microseconds=1))
MESSAGE_ID_CHARACTERS_MAX = 100
KEYS_MAX = 300
DEPTH_MAX = 8
IDENTIFIERS_MAX = 10
GROUP_ID_CHARACTERS_MAX = 500


class RefusedError(Exception):
    """The event is rejected, for `reason`."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def received_us(event: dict[str, Any]) -> int:
    """When the event was received, in microseconds since 1970, as far as the event says."""
    if "received_at" in event:
        return int(event["received_at"])
    stated = read_time_us(event.get("receivedAt"))
    return RECEIVED_FALLBACK_US if stated is None else stated


def read_time_us(value: Any) -> int | None:
    """An ISO 8601 time in µs since 1970, None if absent; refused if earlier or unreadable."""
    if value is None:
        return None
    try:
        time = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        raise RefusedError("INVALID_TIMESTAMP") from None
    if time.tzinfo is None:
        time = time.replace(tzinfo=UTC)
    if time < EPOCH:
        raise RefusedError("INVALID_TIMESTAMP")
    return (time - EPOCH) // timedelta(microseconds=1)


def event_time_us(event: dict[str, Any], received: int) -> int:
    """When the event happened, in microseconds since 1970.

    It is the client's time, corrected by what its clock showed on sending, and never after receipt.
    """
    original = read_time_us(event.get("originalTimestamp"))
    client = original if original is not None else read_time_us(event.get("timestamp"))
    sent = read_time_us(event.get("sentAt"))
    if client is None:
        return received
    happened = client if sent is None else received - (sent - client)
    if happened < 0:
        raise RefusedError("INVALID_TIMESTAMP")
    return min(happened, received)


def check(event: dict[str, Any], rules: Rules) -> None:
    """Refuses what the limits on input refuse, as far as no serialised size is needed."""
    call = event.get("type")
    if call not in CALLS:
        raise RefusedError("UNKNOWN_TYPE")
    message_id = event.get("messageId")
    if message_id is not None and not (
        isinstance(message_id, str) and len(message_id) <= MESSAGE_ID_CHARACTERS_MAX
    ):
        raise RefusedError("INVALID_MESSAGE_ID")
    _check_required(event)
    _check_group_id(
        event.get("groupId") if call == "group" else inner(event, "context").get("groupId")
    )
    if len(inner(event, "traits")) > KEYS_MAX:
        raise RefusedError("TOO_MANY_TRAITS")
    if len(inner(event, "properties")) > KEYS_MAX:
        raise RefusedError("TOO_MANY_PROPERTIES")
    if any(_depth(event.get(part)) > DEPTH_MAX for part in ("traits", "properties", "context")):
        raise RefusedError("TOO_DEEP")
    promotion = promote(event, rules)
    if len(promotion.users) + len(promotion.accounts) > IDENTIFIERS_MAX:
        raise RefusedError("TOO_MANY_IDENTIFIERS")


def _check_required(event: dict[str, Any]) -> None:
    call = event["type"]
    if call == "track" and event.get("event") in (None, ""):
        raise RefusedError("MISSING_EVENT_NAME")
    if call == "group" and event.get("groupId") is None:
        raise RefusedError("MISSING_GROUP_ID")
    if call == "alias" and event.get("userId") in (None, ""):
        raise RefusedError("MISSING_USER_ID")
    if call == "alias" and event.get("previousId") in (None, ""):
        raise RefusedError("MISSING_PREVIOUS_ID")


def _check_group_id(group_id: Any) -> None:
    if (
        isinstance(group_id, str)
        and not 0 < len(group_id.strip(WHITE_SPACE)) <= GROUP_ID_CHARACTERS_MAX
    ):
        raise RefusedError("INVALID_GROUP_ID")


def _depth(value: Any) -> int:
    """Levels of objects and arrays; a plain value has none."""
    if not isinstance(value, dict | list):
        return 0
    return 1 + max(
        (_depth(part) for part in (value.values() if isinstance(value, dict) else value)), default=0
    )
