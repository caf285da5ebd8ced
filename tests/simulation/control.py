"""The rules of the space by version, and the secrets its keys are made with."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from tests.simulation.nodes import Node
from unify_grpc.identity.identifiers import Identifier, KeyMaker
from unify_grpc.identity.rules import Rules
from unify_grpc.machines.batch import pack_batch
from unify_grpc.machines.framing import MarkMaker, SpaceView

if TYPE_CHECKING:
    from tests.simulation.world import World

SPACE = 1


class Control(Node):
    """Always there in this world; its answers may be lost like any."""

    def __init__(self, world: World) -> None:
        super().__init__(world, "control")
        self.space = SPACE
        self.version = 1
        self._keys: dict[Identifier, bytes] = {}
        maker, marks = KeyMaker(b"k" * 32), MarkMaker(b"m" * 32)
        self.documents = world.plan.rules
        self.views = [
            SpaceView(SPACE, Rules.from_document(document, version), maker, marks)
            for version, document in enumerate(self.documents, 1)
        ]
        self._maker = maker

    def key(self, identifier: Identifier) -> bytes:
        """Returns an identifier's key."""
        key = self._keys.get(identifier)
        if key is None:
            key = self._keys[identifier] = self._maker.key(identifier)
        return key

    def view(self, version: int) -> SpaceView:
        """Returns what framing needs under one version of the rules."""
        return self.views[version - 1]

    def newest(self) -> tuple[int, bytes]:
        """Returns the newest version and its document."""
        return self.version, msgspec.json.encode(self.documents[self.version - 1])

    def change_rules(self) -> None:
        """Puts the next version in force and shows it around; who misses it is shown it later."""
        if self.version == len(self.documents):
            return
        self.version += 1
        world = self.world
        world.note(f"rules {self.version}")
        newest, merge = self.newest(), world.merge
        world.send(f"rules {self.version}", merge, lambda: merge.adopt_rules(*newest))
        shown = pack_batch(bytes(16), [(SPACE, self.version)], [])
        for shard in world.shards:
            world.send(
                f"rules {self.version}",
                shard,
                lambda shard=shard: shard.append(shown),  # type: ignore[misc]  # bound early
            )
