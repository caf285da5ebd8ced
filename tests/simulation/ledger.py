"""What callers sent and were told, and what must hold from the moment they were told it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from msgspec.structs import replace

from tests.simulation.violation import require
from unify_grpc.identity.identifiers import ACCOUNTS, Identifier
from unify_grpc.identity.outcomes import Outcome
from unify_grpc.machines.assembly import list_events, read_profile
from unify_grpc.machines.reads import ListEvents
from unify_grpc.placement.members import FIRST_INCARNATION

if TYPE_CHECKING:
    from tests.simulation.gateway import AckedSide, Attempt
    from tests.simulation.traffic import Sent
    from tests.simulation.world import World
    from unify_grpc.machines.reads import StoredEvent

EVENTS_MAX = 100_000
WHOLE_HISTORY = ListEvents([], [], None, None, None, [], True, None, EVENTS_MAX)
PENDING = int(Outcome.PENDING)
MessageKey = tuple[Identifier, str]
"""(anchor, message id): what makes a message the same message."""


class Told(NamedTuple):
    """What a caller was told of one side of an event."""

    step: int
    side: AckedSide
    resolved: bool


class Ledger:
    """The callers' own books, kept outside of everything under test."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.sent_as: dict[MessageKey, list[Sent]] = {}
        """Every payload that was sent under a key."""
        self.first_sent: dict[MessageKey, int] = {}
        """The step in which a key was first sent."""
        self.told: dict[MessageKey, list[Told]] = {}
        self.shown: dict[Identifier, dict[MessageKey, None]] = {}
        """Messages that a read through the identifier has to show from now on."""
        self.roots: dict[bytes, None] = {}
        """Members that founded a profile whose segment_id somebody was given."""

    def sent(self, attempt: Attempt) -> None:
        """Notes that a client sends these events now."""
        for sent in attempt.events:
            for side in sent.sides:
                key = (side[0], sent.message_id)
                self.first_sent.setdefault(key, self.world.step)
                variants = self.sent_as.setdefault(key, [])
                if sent not in variants:
                    variants.append(sent)

    def acked(self, attempt: Attempt, sides: list[list[AckedSide]]) -> None:
        """Notes what a gateway answers, and checks at once that it is true."""
        world = self.world
        for sent, told in zip(attempt.events, sides, strict=True):
            require(len(told) == len(sent.sides), f"{sent.message_id}: a side is not answered")
            for side in told:
                self._acked_side((side.anchor, sent.message_id), sent, side, attempt)
        world.note(f"acked {attempt.client.name} {attempt.request}")

    def _acked_side(self, key: MessageKey, sent: Sent, side: AckedSide, attempt: Attempt) -> None:
        require(
            side.outcome != PENDING or not attempt.resolved,
            f"{key}: RESOLVED while its link is pending",
        )
        for earlier in self.told.get(key, []):
            told = earlier.side
            if PENDING in {told.outcome, side.outcome}:
                continue
            require(
                (told.outcome, told.drops) == (side.outcome, side.drops),
                f"{key}: told {told} and then {side}",
            )
        self.told.setdefault(key, []).append(Told(self.world.step, side, attempt.resolved))
        if side.outcome == PENDING:
            return
        self.roots[side.root] = None
        stored = self._read_one(key[0], key)
        identifiers = identifiers_of(stored)
        if not side.is_duplicate:
            own = sent.accounts if key[0].collection == ACCOUNTS else sent.users
            require(identifiers == list(own), f"{key}: stored with {identifiers}")
        dropped = {(type_, value) for type_, value, _ in side.drops}
        kept = [each for each in identifiers if (each.type, each.value) not in dropped]
        for identifier in kept:
            self.shown.setdefault(identifier, {})[key] = None
            self._check_shows(identifier, key, kept)

    def _check_shows(self, identifier: Identifier, key: MessageKey, kept: list[Identifier]) -> None:
        """Read-your-writes, through one identifier: the event, and all it was kept with."""
        self._read_one(identifier, key)
        world = self.world
        profile = world.read_now(
            read_profile(
                world.shard_map,
                world.control.space,
                world.control.key(identifier),
                with_traits=False,
            )
        )
        assert profile is not None
        visible = {(part.type, part.value) for part in profile.parts}
        for each in kept:
            require(
                (each.type, each.value) in visible,
                f"{key}: acked, but {identifier.value} does not show {each.value}",
            )

    def _read_one(self, identifier: Identifier, key: MessageKey) -> StoredEvent:
        """Finds the event in the history that the identifier shows now, and only once."""
        world = self.world
        times = {sent.time_us for sent in self.sent_as[key]}
        question = replace(WHOLE_HISTORY, start_us=min(times) - 1, end_us=max(times) + 1)
        found = world.read_now(
            list_events(
                world.shard_map, world.control.space, world.control.key(identifier), question
            )
        )
        require(found is not None, f"{key}: acked, but {identifier.value} shows nothing")
        assert found is not None
        member = world.control.key(key[0]) + FIRST_INCARNATION
        here = [each for each in found[1] if (each.member, each.message_id) == (member, key[1])]
        require(len(here) == 1, f"{key}: {len(here)} times in what {identifier.value} shows")
        return here[0]


def identifiers_of(stored: StoredEvent) -> list[Identifier]:
    """Returns the identifiers of a stored event, the anchor first."""
    collection = ACCOUNTS if stored.collection else "users"
    return [Identifier(collection, type_, value) for type_, value in stored.identifiers]
