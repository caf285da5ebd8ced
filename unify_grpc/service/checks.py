"""Checks of request fields, each naming the field it refuses."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from unify_grpc.identity.identifiers import COLLECTIONS, normalise_value
from unify_grpc.service.errors import RequestInvalidError
from unify_grpc.service.profile_reads import identifier_violations

if TYPE_CHECKING:
    from collections.abc import Sized

    from unify_grpc.service.faults import Faults

_UUID: Final = re.compile(r"[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}", re.IGNORECASE)
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


def check_times(request: Any, faults: Faults) -> tuple[int | None, int | None]:
    """Returns `start_time` and `end_time` as `check_time` does, or notes their faults."""
    start_us = end_us = None
    with faults:
        start_us = check_time("start_time", request)
    with faults:
        end_us = check_time("end_time", request)
    return start_us, end_us


def check_deletion(request: Any) -> None:
    """Refuses a DeleteExternalIds that does not say exactly what to delete."""
    violations = []
    if len(request.external_ids) != 1:
        violations.append(("external_ids", "must hold exactly one identifier"))
    for wanted in request.external_ids[:1]:
        normalised = normalise_value(wanted.type, wanted.value, lowercase_email=False)
        violations.extend(
            identifier_violations(wanted.type, wanted.value, normalised, "external_ids[0]")
        )
        if wanted.collection and wanted.collection not in COLLECTIONS:
            violations.append(("external_ids[0].collection", "is neither users nor accounts"))
    violations.extend(request_id_violations(request))
    if violations:
        raise RequestInvalidError(violations)


def check_deleted_collection(request: Any, collection: str) -> None:
    """Refuses to delete, from a profile of one collection, an identifier of the other."""
    for wanted in request.external_ids[:1]:
        if wanted.collection in COLLECTIONS and wanted.collection != collection:
            raise RequestInvalidError([("external_ids[0].collection", "is not the profile's")])


def request_id_violations(request: Any) -> list[tuple[str, str]]:
    """Returns what is wrong with the `request_id` of a write: it may be absent, or is a UUID."""
    if not request.request_id or _UUID.fullmatch(request.request_id):
        return []
    return [("request_id", "must be a UUID")]


def check_time(field: str, request: Any) -> int | None:
    """Returns a Timestamp field in microseconds since 1970, None if absent."""
    if not request.HasField(field):
        return None
    time = getattr(request, field)
    if not (abs(time.seconds) <= _SECONDS_MAX and 0 <= time.nanos <= _NANOS_MAX):
        raise RequestInvalidError([(field, "is out of range")])
    microseconds: int = time.seconds * 1_000_000 + time.nanos // 1000
    return microseconds
