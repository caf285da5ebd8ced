"""Processes that were taken for dead: they go on with what they had, beside the one after them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.simulation.disk_store import DiskStore
    from tests.simulation.nodes import MergeNode, ShardNode


class Zombie:
    """An earlier process of a node. Until another one opens the store it is the only one."""

    def __init__(self, node: ShardNode | MergeNode, reached: float) -> None:
        """Takes over what the process of a node has that is about to end.

        Args:
            node: whose process it is.
            reached: chance that a message to the node gets here.
        """
        self.node = node
        self.reached = reached
        self.process: dict[str, Any] = {**vars(node), "name": f"old {node.name}"}

    @property
    def is_up(self) -> bool:
        """Whether it has not ended yet."""
        return bool(self.process["up"])

    @property
    def life(self) -> int:
        """Of the node, that is: whose answers it gets."""
        return int(self.process["life"])

    @property
    def store(self) -> DiskStore:
        """What it has opened."""
        store: DiskStore = self.process["store"]
        return store

    def run(self, action: Callable[[], None]) -> None:
        """Lets it do something, which it may not survive."""
        node = self.node
        present = dict(vars(node))
        self.process["is_outdated"] = self.store.disk.opened is not self.store
        _become(node, self.process)
        try:
            node.run(action)
        finally:
            self.process = dict(vars(node))
            _become(node, present)


def _become(node: ShardNode | MergeNode, process: dict[str, Any]) -> None:
    vars(node).clear()
    vars(node).update(process)
