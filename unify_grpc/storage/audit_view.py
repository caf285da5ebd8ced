"""A store as a verification sees it: rows held still, the log in place, damage as a value."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from unify_grpc.storage.environments import DAMAGED_FILE
from unify_grpc.storage.errors import StorageCorruptError
from unify_grpc.storage.records import HEAD_BYTES, unseal, version_of
from unify_grpc.verification.views import CheckedRecord, Listed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import lmdb

    from unify_grpc.storage.snapshot import OverlayKeys

_NUMBER_BYTES = 8


class AuditView:
    """Published rows at one moment, and the log; what it returns is good as long as it is held."""

    def __init__(
        self,
        layers: Sequence[OverlayKeys],
        rows: lmdb.Transaction,
        records: lmdb.Transaction,
        number: int,
    ) -> None:
        """Takes what is laid over the rows, newest first, and transactions of both environments.

        Args:
            layers: rows that no checkpoint has written yet.
            rows: of the state.
            records: of the log, with `buffers`: records are looked at where they lie.
            number: the last record whose rows these are.
        """
        self._layers = layers
        self._rows = rows
        self._records = records
        self.number = number

    def get(self, key: bytes) -> bytes | None:
        """Returns a row's value, None if there is none; `StorageCorruptError`."""
        for layer in self._layers:
            if key in layer.overlay:
                return layer.overlay[key]
        try:
            data = self._rows.get(key)
        except DAMAGED_FILE as error:
            raise StorageCorruptError(str(error)) from error
        return None if data is None else unseal(bytes(data), "a row")

    def list_rows(self, prefix: bytes, *, after: bytes, limit: int) -> Listed:
        """Returns at most `limit` rows of a prefix in key order, only those after a key."""
        start = max(prefix, after)
        # One more than asked for: the first may be `after` itself.
        below = list(islice(self._stored(prefix, start), limit + 1))
        damaged = {key for key, value in below if value is None}
        merged = dict(below)
        ends = [below[-1][0]] if len(below) > limit else []
        for layer in reversed(self._layers):
            keys = list(islice(layer.under(prefix, start), limit + 1))
            merged.update((key, layer.overlay[key]) for key in keys)
            damaged.difference_update(keys)
            if len(keys) > limit:
                ends.append(keys[-1])
        # Behind the end of any source that was cut there may be more of it.
        end = min(ends, default=None)
        rows = [
            (key, merged[key])
            for key in sorted(merged)
            if key != after
            and (end is None or key <= end)
            and (merged[key] is not None or key in damaged)
        ]
        if len(rows) > limit:
            return Listed(rows[:limit], rows[limit - 1][0])
        return Listed(rows, end)

    def record(self, number: int) -> memoryview | None:
        """Returns a record as it lies there, unchecked; None if there is none."""
        data = self._sealed_record(number)
        return None if data is None else data[HEAD_BYTES:]

    def checked_record(self, number: int) -> CheckedRecord | None:
        """Returns a record, None if there is none; `StorageCorruptError`."""
        data = self._sealed_record(number)
        if data is None:
            return None
        payload = unseal(data, f"log record {number}")  # type: ignore[arg-type]  # in place
        return CheckedRecord(version_of(data), payload)  # type: ignore[arg-type]  # in place

    def _sealed_record(self, number: int) -> memoryview | None:
        try:
            found = self._records.get(number.to_bytes(_NUMBER_BYTES, "big"))
        except DAMAGED_FILE as error:
            raise StorageCorruptError(str(error)) from error
        return None if found is None else memoryview(found)

    def _stored(self, prefix: bytes, start: bytes) -> Iterator[tuple[bytes, bytes | None]]:
        """Yields rows below the layers; None for the value of one that is damaged."""
        try:
            with self._rows.cursor() as cursor:
                found = cursor.set_range(start)
                while found:
                    key = bytes(cursor.key())
                    if not key.startswith(prefix):
                        return
                    try:
                        value: bytes | None = unseal(bytes(cursor.value()), "a row")
                    except StorageCorruptError:
                        value = None
                    yield key, value
                    found = cursor.next()
        except DAMAGED_FILE as error:
            raise StorageCorruptError(str(error)) from error
