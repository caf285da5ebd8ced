"""A message as JSON gives it, made into what the resolver reads; no rule of identity is in here.

Texts become times, and what is malformed is refused: the resolver may rely on the form.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Later than every event of any case, as the server's clock is.
RECEIVED_FALLBACK = "2100-01-01T00:00:00+00:00"
TIMES = ("originalTimestamp", "timestamp", "sentAt")
OBJECTS = ("traits", "properties", "context")
EVENT_BYTES_MAX = 32 * 1024
DEPTH_MAX = 8
UNREADABLE_US = -1


class MalformedError(Exception):
    """The message is refused for its form; the reason is the argument."""


def decode(message: dict[str, Any]) -> dict[str, Any]:
    """Returns the message with `received_at` and its times in microseconds since 1970.

    Received is when `received_at` (microseconds) or `receivedAt` (ISO 8601) says. A time that is
    absent has no key, and one unreadable time makes all negative. Raises MalformedError.
    """
    times = {key: _micros(message[key]) for key in TIMES if message.get(key) is not None}
    if UNREADABLE_US in times.values():
        times = dict.fromkeys(TIMES, UNREADABLE_US)
    received_us = _micros(message.get("receivedAt", RECEIVED_FALLBACK))
    untimed = {key: value for key, value in message.items() if key not in TIMES}
    decoded = {"received_at": received_us} | untimed | times
    _check(message)
    context = message.get("context") or {}
    if not isinstance(context.get("externalIds"), list):
        decoded["context"] = {k: value for k, value in context.items() if k != "externalIds"}
    return decoded


def _check(message: dict[str, Any]) -> None:
    objects = [message.get(key) for key in OBJECTS]
    if not all(isinstance(each, dict | None) for each in objects):
        raise MalformedError("INVALID_JSON")
    try:
        json.dumps(objects, allow_nan=False, ensure_ascii=False).encode()
    except ValueError:
        raise MalformedError("INVALID_JSON") from None
    text = json.dumps(message, ensure_ascii=False, separators=(",", ":"))
    if len(text.encode(errors="replace")) > EVENT_BYTES_MAX:
        raise MalformedError("EVENT_TOO_LARGE")
    if any(_depth(each) > DEPTH_MAX for each in objects):
        raise MalformedError("TOO_DEEP")


def _micros(text: Any) -> int:
    """An ISO 8601 time in microseconds since 1970, in UTC if it names no zone."""
    try:
        time = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return UNREADABLE_US
    since = time.replace(tzinfo=time.tzinfo or UTC) - EPOCH
    return max(since // timedelta(microseconds=1), UNREADABLE_US)


def _depth(value: Any) -> int:
    """Levels of objects and arrays; a plain value has none."""
    if not isinstance(value, dict | list):
        return 0
    inside = value.values() if isinstance(value, dict) else value
    return 1 + max(map(_depth, inside), default=0)
