"""Times on the wire and in Python: always with a time zone, never through a float."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from unify_client.errors import ArgumentInvalid

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def timestamp_of(field: str, time: datetime) -> Timestamp:
    """Returns a time for the wire, exact to the microsecond.

    A time without a zone is refused (ArgumentInvalid): whose noon it means would be a guess.
    """
    if not isinstance(time, datetime):
        raise ArgumentInvalid(f"{field} is not a datetime.")
    if time.utcoffset() is None:
        raise ArgumentInvalid(f"{field} has no time zone: give it one, such as tzinfo=UTC.")
    since = time - EPOCH
    return Timestamp(
        seconds=since.days * 86_400 + since.seconds,
        nanos=since.microseconds * 1_000,
    )


def optional_timestamp_of(field: str, time: datetime | None) -> Timestamp | None:
    """Returns a time for the wire; None where there is none, which leaves the field absent."""
    return None if time is None else timestamp_of(field, time)


def time_of(timestamp: Timestamp) -> datetime:
    """Returns a time of a reply in UTC, cut to the microsecond."""
    return EPOCH + timedelta(seconds=timestamp.seconds, microseconds=timestamp.nanos // 1_000)


def optional_time_of(message: Message, field: str) -> datetime | None:
    """Returns the time in a field of a reply; None where the field is absent."""
    return time_of(getattr(message, field)) if message.HasField(field) else None
