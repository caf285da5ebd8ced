"""Verifies stores in memory, as `unify verify` does those on the disk."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from unify_grpc.verification.auditors import ControlAuditor, MergeAuditor, ShardAuditor
from unify_grpc.verification.claims import CONTROL, MERGE
from unify_grpc.verification.messages import decode_reply, decode_request, encode
from unify_grpc.verification.verification import Ask, Verification
from unify_grpc.verification.views import CheckedRecord, Listed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from unify_grpc.placement.slots import ShardMap
    from unify_grpc.verification.auditors import Auditor
    from unify_grpc.verification.verification import Report

WORK_MAX = 1 << 20


class RowsAndLog(Protocol):
    """What is needed of a store in memory."""

    next_number: int

    def get(self, key: bytes) -> bytes | None:
        """Returns a row's value."""

    def list_rows(
        self, prefix: bytes, *, after: bytes = b"", limit: int
    ) -> list[tuple[bytes, bytes]]:
        """Returns rows of a prefix in key order."""

    def record(self, number: int) -> bytes:
        """Returns a record of the log; `LookupError`."""


class MemoryView:
    """A store in memory as checks see it."""

    def __init__(self, store: RowsAndLog, version: int = 0) -> None:
        self._store = store
        self._version = version
        self.number = store.next_number - 1
        self.get = store.get

    def list_rows(self, prefix: bytes, *, after: bytes, limit: int) -> Listed:
        """Returns rows of a prefix."""
        rows = self._store.list_rows(prefix, after=after, limit=limit)
        return Listed([*rows], rows[-1][0] if len(rows) == limit else None)

    def record(self, number: int) -> bytes | None:
        """Returns a record; None if there is none."""
        try:
            return self._store.record(number)
        except LookupError:
            return None

    def checked_record(self, number: int) -> CheckedRecord | None:
        """Returns a record; None if there is none."""
        record = self.record(number)
        return None if record is None else CheckedRecord(self._version, record)


class MemoryAudit:
    """A store in memory that can be checked."""

    def __init__(self, store: RowsAndLog) -> None:
        self._store = store

    @contextmanager
    def auditing(self) -> Iterator[MemoryView]:
        """Returns the store: nothing runs beside."""
        yield MemoryView(self._store)


def verify(
    shard_map: ShardMap,
    shards: Sequence[RowsAndLog],
    merge: RowsAndLog,
    control: RowsAndLog | None = None,
    *,
    work_max: int = WORK_MAX,
) -> Report:
    """Verifies stores at rest."""
    parts: dict[int, tuple[Auditor, MemoryAudit]] = {
        MERGE: (MergeAuditor(shard_map), MemoryAudit(merge)),
        **{
            number: (ShardAuditor(number, shard_map), MemoryAudit(store))
            for number, store in enumerate(shards)
        },
    }
    if control is not None:
        parts[CONTROL] = ControlAuditor(), MemoryAudit(control)
    course = Verification(list(parts), work_max=work_max, rounds=0).run()
    try:
        asked = next(course)
        while True:
            assert isinstance(asked, Ask), "stores at rest are asked once"
            auditor, store = parts[asked.part]
            request = decode_request(encode(asked.request))
            answer = auditor.answer(store, encode(request))
            asked = course.send(decode_reply(request, answer))
    except StopIteration as stop:
        report: Report = stop.value
        return report
