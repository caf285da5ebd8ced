"""Names of actors and stores, built nowhere else."""

from __future__ import annotations

from typing import Final

NAMESPACE: Final = "unify"
CONTROL: Final = "control"
MERGE: Final = "merge-0"


def shard_name(shard: int) -> str:
    """Returns the name of a shard's actor and store."""
    return f"shard-{shard}"
