"""All input once more when everything is at rest: nothing may change."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.simulation.clients import Client
from tests.simulation.deleters import Deleter
from tests.simulation.violation import require
from unify_grpc.machines import journal, rows

if TYPE_CHECKING:
    from tests.simulation.nodes import MergeNode, ShardNode
    from tests.simulation.world import World


def replay_input(world: World) -> None:
    """Has every client send every request again, and compares what is stored with before."""
    nodes: list[ShardNode | MergeNode] = [*world.shards, world.merge]
    before = [_rows(node) for node in nodes]
    world.note("all input again")
    for client in world.clients:
        if isinstance(client, Client):
            client.send_all_again()
        elif isinstance(client, Deleter):
            client.remaining = 0  # it may have known of nothing to delete until now
    world.settle()
    for node, had in zip(nodes, before, strict=True):
        require(_rows(node) == had, f"{node.name}: input that came before changed something")


def _rows(node: ShardNode | MergeNode) -> dict[bytes, bytes]:
    """Returns what a node has stored, but for the rules that it was shown."""
    table = rows.SPACE if node is not node.world.merge else journal.RULES
    return {key: value for key, value in node.store.rows.items() if key[:1] != table}
