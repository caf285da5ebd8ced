"""Checks of request fields, each naming the field it refuses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from unify_grpc.service.errors import RequestInvalidError

if TYPE_CHECKING:
    from collections.abc import Sized

_SECONDS_MAX = 253_402_300_799
_NANOS_MAX = 999_999_999


def check_page_size(size: int, default: int, maximum: int) -> int:
    """Returns how many to list: 0 is the default, more than the maximum is clamped."""
    if size < 0:
        raise RequestInvalidError([("page_size", "must not be negative")])
    return min(size or default, maximum)


def check_count(field: str, items: Sized, maximum: int) -> None:
    """Refuses a list with too many entries."""
    if len(items) > maximum:
        raise RequestInvalidError([(field, f"has over {maximum} entries")])


def check_time(field: str, request: Any) -> int | None:
    """Returns a Timestamp field in microseconds since 1970, None if absent."""
    if not request.HasField(field):
        return None
    time = getattr(request, field)
    if not (abs(time.seconds) <= _SECONDS_MAX and 0 <= time.nanos <= _NANOS_MAX):
        raise RequestInvalidError([(field, "is out of range")])
    microseconds: int = time.seconds * 1_000_000 + time.nanos // 1000
    return microseconds
