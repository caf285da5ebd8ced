"""Looks at a running service every half second: peaks of memory, and the bound on its disk."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

from bench.processes import directory_bytes
from bench.service import BenchFailedError

if TYPE_CHECKING:
    from pathlib import Path

    from bench.service import Service

INTERVAL_S: Final = 0.5


class Watch:
    """Keeps the highest memory of each part; ends the gateway where the disk is overdrawn."""

    def __init__(self, service: Service, directory: Path, bytes_max: int) -> None:
        """Begins to look."""
        self.memory_bytes_max: dict[str, int] = {}
        self._service = service
        self._directory = directory
        self._bytes_max = bytes_max
        self._stopping = threading.Event()
        self._overdrawn_bytes = 0
        self._thread = threading.Thread(target=self._look, name="watch", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ends; raises `BenchFailedError` where more disk was used than was said beforehand."""
        self._stopping.set()
        self._thread.join()
        if self._overdrawn_bytes:
            raise BenchFailedError(
                f"{self._overdrawn_bytes >> 20} MB of disk were used, more than was said"
            )

    def note_memory(self) -> None:
        """Looks at memory now: a part that is measured may be shorter than the interval."""
        for part, usage in self._service.sample().items():
            highest = max(self.memory_bytes_max.get(part, 0), usage.anonymous_bytes)
            self.memory_bytes_max[part] = highest

    def _look(self) -> None:
        while not self._stopping.wait(INTERVAL_S):
            self.note_memory()
            used = directory_bytes(self._directory)
            if used > self._bytes_max:
                self._overdrawn_bytes = used
                self._service.tree.end_root()
                return
