"""The rules of the space by version, and the secrets its keys are made with."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from tests.simulation.nodes import Node
from unify_grpc.identity.identifiers import Identifier, KeyMaker
from unify_grpc.identity.rules import Rules
from unify_grpc.machines.batch import pack_batch
from unify_grpc.machines.framing import MarkMaker, SpaceView

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.simulation.nodes import MergeNode, ShardNode
    from tests.simulation.world import World

SPACE = 1


class Control(Node):
    """Always there in this world; its answers may be lost like any."""

    def __init__(self, world: World) -> None:
        super().__init__(world, "control")
        self.space = SPACE
        self.version = 1
        self._keys: dict[Identifier, bytes] = {}
        self._identifiers: dict[bytes, Identifier] = {}
        self._maker, self._marks = KeyMaker(b"k" * 32), MarkMaker(b"m" * 32)
        self.documents: list[dict[str, Any]] = []
        self.views: list[SpaceView] = []
        for document in world.plan.rules:
            self.add_rules(document)

    def key(self, identifier: Identifier) -> bytes:
        """Returns an identifier's key."""
        key = self._keys.get(identifier)
        if key is None:
            key = self._keys[identifier] = self._maker.key(identifier)
            self._identifiers[key] = identifier
        return key

    def identifier(self, key: bytes) -> Identifier:
        """Returns the identifier of a key that `key` gave; `KeyError` for another."""
        return self._identifiers[key]

    def view(self, version: int) -> SpaceView:
        """Returns what framing needs under one version of the rules."""
        return self.views[version - 1]

    def newest(self) -> tuple[int, bytes]:
        """Returns the newest version and its document."""
        return self.version, msgspec.json.encode(self.documents[self.version - 1])

    def add_rules(self, document: dict[str, Any]) -> None:
        """Adds a version, which is not in force before `change_rules`."""
        self.documents.append(document)
        rules = Rules.from_document(document, len(self.documents))
        self.views.append(SpaceView(SPACE, rules, self._maker, self._marks))

    def showings(self) -> list[tuple[ShardNode | MergeNode, Callable[[], object]]]:
        """Returns how the rules in force are shown to each node that keeps to them."""
        newest, merge = self.newest(), self.world.merge
        shown = pack_batch(bytes(16), [(SPACE, self.version)], [])
        return [
            (merge, partial(merge.adopt_rules, *newest)),
            *((shard, partial(shard.append, shown)) for shard in self.world.shards),
        ]

    def change_rules(self) -> None:
        """Puts the next version in force and shows it around; who misses it is shown it later."""
        if self.version == len(self.documents):
            return
        self.version += 1
        world = self.world
        world.note(f"rules {self.version}")
        for node, show in self.showings():
            world.send(f"rules {self.version}", node, show)
