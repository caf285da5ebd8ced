"""Readers whose three steps are interleaved with everything else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.simulation.ledger import WHOLE_HISTORY, MessageKey
from tests.simulation.nodes import Node
from tests.simulation.violation import require
from unify_grpc.machines.assembly import list_events, read_profile
from unify_grpc.placement.members import KEY_BYTES

if TYPE_CHECKING:
    from collections.abc import Generator

    from tests.simulation.world import World
    from unify_grpc.identity.identifiers import Identifier
    from unify_grpc.machines.reads import Answer, Question

READS_MAX = 12


class Seen:
    """What one key showed at most so far, in one life; nothing of it may disappear again."""

    def __init__(self) -> None:
        self.root: bytes | None = None
        self.roots_left: set[bytes] = set()
        self.members: set[bytes] = set()
        self.hidden: frozenset[bytes] = frozenset()
        self.gathered: set[bytes] = set()
        self.events: set[tuple[bytes, str, int]] = set()


class Reader(Node):
    """Reads profiles one after another, through identifiers and segment_ids."""

    def __init__(self, world: World, number: int) -> None:
        super().__init__(world, f"r{number}")
        self.reads = 0
        self.key = b""
        self.identifier: Identifier | None = None
        """That the key is of; None: the key is a member's."""
        self.name_life = 0
        """Of the identifier, at the beginning of the read."""
        self.seen: dict[tuple[bytes, int], Seen] = {}
        self.reading: Generator[Any, Any, Any] | None = None
        self.waiting: dict[int, list[Question]] = {}
        self.answers: dict[int, list[Answer]] = {}
        self.must_show: list[MessageKey] = []
        self.lists_events = False

    @property
    def is_idle(self) -> bool:
        """Whether no read is under way."""
        return self.reading is None

    def go_on(self) -> None:
        """Begins a read, if none is under way."""
        world, ledger = self.world, self.world.ledger
        if self.reading is not None or self.reads == READS_MAX or not ledger.shown:
            return
        self.reads += 1
        self.lists_events = world.rng.random() < 0.5
        self.must_show = []
        draw = world.rng.random()
        if draw < 0.5 and self.key:
            pass
        elif draw < 0.8:
            self.identifier = world.rng.choice(list(ledger.shown))
            self.key = world.control.key(self.identifier)
        else:
            self.key, self.identifier = world.rng.choice(list(ledger.roots)), None
        self.name_life = self._present_life()
        if self.identifier is not None:
            self.must_show = [
                message
                for message, kept in ledger.shown[self.identifier].items()
                if kept.lives[self.identifier] == self.name_life
            ]
        if self.lists_events:
            self.reading = list_events(
                world.shard_map, world.control.space, self.key, WHOLE_HISTORY
            )
        else:
            self.reading = read_profile(
                world.shard_map, world.control.space, self.key, with_traits=False
            )
        self._ask(next(self.reading))

    def ask_again(self) -> None:
        """Repeats questions without an answer."""
        for number in self.waiting:
            self._ask_shard(number, self.waiting[number])

    def _ask(self, questions: dict[int, list[Question]]) -> None:
        self.life += 1
        self.answers = {}
        self.waiting = dict(questions)
        self.ask_again()

    def _ask_shard(self, number: int, questions: list[Question]) -> None:
        shard = self.world.shards[number]
        self.world.call(
            self,
            shard,
            "read",
            lambda: shard.read(questions),
            lambda answers: self._on_answers(number, answers),
        )

    def _on_answers(self, number: int, answers: list[Answer]) -> None:
        if number not in self.waiting:
            return
        assert self.reading is not None
        del self.waiting[number]
        self.answers[number] = answers
        if self.waiting:
            return
        try:
            self._ask(self.reading.send(self.answers))
        except StopIteration as stop:
            self.reading = None
            self._check(stop.value)

    def _check(self, found: Any) -> None:
        """Nothing that was seen through this key before is missing now.

        A name that was deleted begins anew; its shard says when.
        """
        if self._present_life() != self.name_life:
            return
        name = self.key.hex()[:8]
        seen = self.seen.setdefault((self.key, self.name_life), Seen())
        require(
            found is not None or not (self.must_show or seen.root or len(self.key) > KEY_BYTES),
            f"{self.name}: {name} shows nothing",
        )
        if found is None:
            return
        base = found[0] if self.lists_events else found.base
        members = set(base.members)
        require(seen.members <= members, f"{self.name}: {name} shrank")
        seen.members = members
        require(seen.hidden <= base.hidden, f"{self.name}: {name} lists again what was deleted")
        seen.hidden = base.hidden
        require(base.root not in seen.roots_left, f"{self.name}: {name} went back")
        if seen.root is not None and seen.root != base.root:
            seen.roots_left.add(seen.root)
        seen.root = base.root
        if self.lists_events:
            self._check_events(found[1], seen, name)
        else:
            gathered = {part.member for part in found.parts}
            require(len(gathered) == len(found.parts), f"{self.name}: {name} shows a member twice")
            require(seen.gathered <= gathered, f"{self.name}: {name} lost an identifier")
            seen.gathered = gathered
            listed = {(part.type, part.value) for part in found.identifiers}
            twice = len(listed) != len(found.identifiers)
            require(not twice, f"{self.name}: {name} shows an identifier twice")
            self.world.ledger.roots[base.root] = None

    def _present_life(self) -> int:
        if self.identifier is None:
            return 0
        return self.world.ledger.deletions.shard_life(self.identifier)

    def _check_events(self, listed: list[Any], seen: Seen, name: str) -> None:
        again = 0 if self.world.plan.knows_for_ever else 1
        events = {(each.member, each.message_id, again * each.stamp_us) for each in listed}
        require(len(events) == len(listed), f"{self.name}: {name} shows an event twice")
        require(seen.events <= events, f"{self.name}: {name} lost an event")
        seen.events = events
        names = {(member[:KEY_BYTES], message_id) for member, message_id, _ in events}
        for anchor, message_id in self.must_show:
            require(
                (self.world.control.key(anchor), message_id) in names,
                f"{self.name}: {name} does not show {message_id}, which was acked before",
            )
