"""Hash slots and the shards that own them.

A slot is the first ten bits of an identifier key, so key order is slot order and moving a slot is
a range copy. The number of slots is fixed for ever; the number of shards is fixed when a data
directory is made.
"""

from __future__ import annotations

from dataclasses import dataclass

SLOT_COUNT = 1024
SHARD_COUNT_MAX = 256


def slot_of(key: bytes) -> int:
    """Returns the slot, 0 to 1023, of an identifier key or of anything that starts with one."""
    return (key[0] << 2) | (key[1] >> 6)


@dataclass(frozen=True, slots=True)
class ShardMap:
    """Which shard owns which slots: contiguous ranges, as equal as they can be."""

    shard_count: int

    def __post_init__(self) -> None:
        """Refuses a number of shards that leaves a shard without slots."""
        if not 1 <= self.shard_count <= SHARD_COUNT_MAX:
            message = f"shard_count must be 1 to {SHARD_COUNT_MAX}"
            raise ValueError(message)

    def shard_of(self, key: bytes) -> int:
        """Returns the shard, from 0, that owns a key or a member."""
        return ((key[0] << 2) | (key[1] >> 6)) * self.shard_count >> 10
