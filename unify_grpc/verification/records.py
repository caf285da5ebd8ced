"""Checks the records of a log as such: that each is there, as it was written, and can be read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

from unify_grpc.machines.tables import DamagedError
from unify_grpc.verification.findings import Invariant, record_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from unify_grpc.verification.slices import Slice
    from unify_grpc.verification.views import CheckedRecord

_NUMBER_BYTES: Final = 8
CourseT = TypeVar("CourseT")


def check_record(
    slice_: Slice,
    number: int,
    version: int,
    course: CourseT,
    check: Callable[[Slice, int, CheckedRecord, CourseT], object],
) -> None:
    """Checks one record.

    Args:
        slice_: that notes what does not hold.
        number: of the record.
        version: of the machine; a record of a later one cannot be read.
        course: what the walk knows from the records before.
        check: of what is in it.
    """
    slice_.turn_to(number.to_bytes(_NUMBER_BYTES, "big"), record_name)
    slice_.records += 1
    slice_.work += 1
    try:
        record = slice_.view.checked_record(number)
    except DamagedError:
        text = f"{slice_.name} does not match its checksum"
        slice_.find(Invariant.CHECKSUMS, text)
        return
    if record is None:
        slice_.find(Invariant.WHOLE_LOG, f"{slice_.name} is missing")
        return
    if record.version > version:
        text = f"{slice_.name} was written by machine version {record.version}"
        slice_.find(Invariant.FORMATS, text)
        return
    slice_.attempt(lambda: check(slice_, number, record, course))
