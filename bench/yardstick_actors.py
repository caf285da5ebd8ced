"""The service's actors as the yardsticks `naive` and `ceiling` change them.

Each actor has a process of its own, so its constructor can put another class in the place of the
one that the code around it would use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from actors import hosting
from actors.merge_actor import MergeActor
from actors.shard_actor import ShardActor
from bench.ceiling_run import CeilingRun
from bench.committing_store import CommittingStore
from unify_grpc.machines import shard_machine

if TYPE_CHECKING:
    from actors.hosting import HostedStore
    from unify_grpc.placement.slots import ShardMap


class NaiveShardActor(ShardActor):
    """A shard that commits everything with each batch."""

    def __init__(
        self, shard: int, shard_map: ShardMap, hosted: HostedStore, dedupe_window_days: int
    ) -> None:
        _replace(hosting, "Store", CommittingStore)
        super().__init__(shard, shard_map, hosted, dedupe_window_days)


class NaiveMergeActor(MergeActor):
    """A merge actor that commits everything with each round."""

    def __init__(self, shard_map: ShardMap, hosted: HostedStore) -> None:
        _replace(hosting, "Store", CommittingStore)
        super().__init__(shard_map, hosted)


class CeilingShardActor(ShardActor):
    """A shard that applies nothing but the anchors' event lists."""

    def __init__(
        self, shard: int, shard_map: ShardMap, hosted: HostedStore, dedupe_window_days: int
    ) -> None:
        _replace(shard_machine, "AppendRun", CeilingRun)
        super().__init__(shard, shard_map, hosted, dedupe_window_days)


def _replace(module: Any, name: str, stand_in: type) -> None:
    """Puts a class in the place of the one that a module uses under this name."""
    assert issubclass(stand_in, getattr(module, name)), f"{stand_in} is no {name}"
    setattr(module, name, stand_in)
