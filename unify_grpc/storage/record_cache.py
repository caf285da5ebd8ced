"""Records of a log that were read or written lately."""

from __future__ import annotations

import threading
from typing import Final

BYTES_MAX: Final = 16 << 20


class RecordCache:
    """Log records read or written lately, bounded in bytes."""

    def __init__(self) -> None:
        self._records: dict[int, bytes] = {}
        self._bytes = 0
        self._lock = threading.Lock()

    def get(self, number: int) -> bytes | None:
        """Returns a record, if it is here."""
        return self._records.get(number)

    def add(self, number: int, record: bytes) -> None:
        """Keeps a record, and drops the oldest ones that there is no room for."""
        with self._lock:
            if number in self._records:
                return
            self._records[number] = record
            self._bytes += len(record)
            while self._bytes > BYTES_MAX and len(self._records) > 1:
                oldest = next(iter(self._records))
                self._bytes -= len(self._records.pop(oldest))
