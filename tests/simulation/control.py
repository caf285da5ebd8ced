"""The rules of one space by version, and the secrets its keys are made with."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import msgspec

from tests.simulation.nodes import Node
from tests.simulation.promoted import Promoted, promoted
from unify_grpc.identity.identifiers import Identifier, KeyMaker
from unify_grpc.identity.rules import Rules
from unify_grpc.machines.batch import pack_batch
from unify_grpc.machines.framing import MarkMaker, SpaceView
from unify_grpc.machines.probing import earlier_rules

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.simulation.nodes import MergeNode, ShardNode
    from tests.simulation.promoted import Side
    from tests.simulation.traffic import Sent
    from tests.simulation.world import World

LEASE_US = 1_000
"""For how long a gateway that missed a change goes by the rules before it: here forty steps."""
KNOWN_LONGER_US = LEASE_US
"""By which messages stored under replaced rules may be known longer than the window."""


class Control(Node):
    """Always there in this world; its answers may be lost like any."""

    def __init__(self, world: World) -> None:
        super().__init__(world, "control")
        self.space = world.plan.space
        self.version = 1
        self.changed_us: list[int] = []
        """When each version but the last was replaced."""
        self._keys: dict[Identifier, bytes] = {}
        self._identifiers: dict[bytes, Identifier] = {}
        secrets = (_secret(purpose, self.space) for purpose in (b"k", b"m"))
        self._maker, self._marks = KeyMaker(next(secrets)), MarkMaker(next(secrets))
        self._promoted: dict[tuple[Sent, int], Promoted] = {}
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

    def has_key(self, key: bytes) -> bool:
        """Whether a key is one that `key` gave: of this space, and not of another."""
        return key in self._identifiers

    def view(self, version: int) -> SpaceView:
        """Returns what framing needs under one version of the rules."""
        return self.views[version - 1]

    def promoted(self, sent: Sent, version: int) -> Promoted:
        """Returns what is to be stored of an event under one version of the rules."""
        known = self._promoted.get((sent, version))
        if known is None:
            known = promoted(sent, self.documents[version - 1])
            self._promoted[sent, version] = known
        return known

    def sides(self, sent: Sent) -> list[Side]:
        """Returns what may be stored of an event together, under any version there will be."""
        if not self.world.plan.moves_anchors:
            return list(self.promoted(sent, 1).sides)
        versions = range(1, len(self.documents) + 1)
        found = (side for each in versions for side in self.promoted(sent, each).sides)
        return list(dict.fromkeys(found))

    def newest(self) -> tuple[int, int, bytes]:
        """Returns the space, its newest version and that one's document."""
        return self.space, self.version, msgspec.json.encode(self.documents[self.version - 1])

    def add_rules(self, document: dict[str, Any]) -> None:
        """Adds a version, which is not in force before `change_rules`."""
        self.documents.append(document)
        rules = Rules.from_document(document, len(self.documents))
        self.views.append(SpaceView(self.space, rules, self._maker, self._marks))

    def showings(self) -> list[tuple[ShardNode | MergeNode, Callable[[], object]]]:
        """Returns how the rules in force are shown to each node that keeps to them."""
        newest, merge = self.newest(), self.world.merge
        shown = pack_batch(bytes(16), [(self.space, self.version)], [])
        return [
            (merge, partial(merge.adopt_rules, *newest)),
            *((shard, partial(shard.append, shown)) for shard in self.world.shards),
        ]

    def change_rules(self) -> None:
        """Puts the next version in force and shows it around; who misses it is shown it later."""
        if self.version == len(self.documents):
            return
        world = self.world
        self.changed_us.append(world.now_us)
        before = [
            (self.views[version - 1].rules, self.changed_us[version - 1])
            for version in range(self.version, 0, -1)
        ]
        self.version += 1
        view = self.view(self.version)
        known_us = world.plan.dedupe_us + KNOWN_LONGER_US
        earlier = earlier_rules(view.rules, before, known_us=known_us)
        self.views[self.version - 1] = replace(view, earlier=earlier)
        world.note(f"rules {self.version}{world.of_space}")
        for node, show in self.showings():
            world.send(f"rules {self.version}", node, show)

    def must_renew(self, version: int) -> bool:
        """Whether a gateway that goes by a version lets nobody in: it was replaced too long ago."""
        now_us = self.world.now_us
        return version < self.version and now_us - self.changed_us[version - 1] > LEASE_US


def _secret(purpose: bytes, space: int) -> bytes:
    """Returns a secret of a space; the first one's are as plain as they can be."""
    return purpose * 32 if space == 1 else blake2b(purpose, key=bytes([space])).digest()[:32]
