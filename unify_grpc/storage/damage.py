"""What a store has met of damaged values: counted, and told once each."""

from __future__ import annotations

from typing import Final

from unify_grpc.storage.errors import StorageCorruptError
from unify_grpc.telemetry.logs import get_logger

TOLD_MAX: Final = 1000
"""Values that the log names; of more, only the count goes on."""


class Damage:
    """Of one store. Any thread may meet damage."""

    def __init__(self, part: str) -> None:
        """Takes the store's name, such as `shard-0`."""
        self._part = part
        self._told: set[str] = set()
        self.count = 0
        """How often a damaged value was met since the start."""

    def met(self, name: str, error: Exception) -> StorageCorruptError:
        """Notes a damaged value and returns what is raised for it.

        Args:
            name: of the value, which holds nothing of anybody.
            error: how the damage showed.
        """
        self.count += 1
        text = f"{name}: {error}"
        if text not in self._told and len(self._told) < TOLD_MAX:
            self._told.add(text)
            get_logger(self._part).error("value_damaged", what=text)
        return StorageCorruptError(text)
