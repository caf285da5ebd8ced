"""Names of actors and stores, built nowhere else."""

from __future__ import annotations

from typing import Final

from unify_grpc.verification import claims

NAMESPACE: Final = "unify"
CONTROL: Final = "control"
MERGE: Final = "merge-0"


def shard_name(shard: int) -> str:
    """Returns the name of a shard's actor and store."""
    return f"shard-{shard}"


def part_name(part: int) -> str:
    """Returns the name of a part of a verification: a shard's number, or another's sign."""
    if part == claims.CONTROL:
        return CONTROL
    return MERGE if part == claims.MERGE else shard_name(part)
