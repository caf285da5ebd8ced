"""What callers sent and were told, and what must hold from the moment they were told it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from msgspec.structs import replace

from tests.simulation.deleted import DeletionBooks
from tests.simulation.instant import once_a_step
from tests.simulation.pairs import check_linked
from tests.simulation.violation import require
from unify_grpc.identity.identifiers import ACCOUNTS, Identifier
from unify_grpc.identity.outcomes import Outcome
from unify_grpc.machines.assembly import list_events, read_profile
from unify_grpc.machines.reads import ListEvents
from unify_grpc.machines.rows import NO_MEMBER
from unify_grpc.placement.members import KEY_BYTES, incarnation_of, member_of

if TYPE_CHECKING:
    from tests.simulation.gateway import AckedSide, Attempt
    from tests.simulation.traffic import Sent
    from tests.simulation.world import World
    from unify_grpc.machines.stored_event import StoredEvent

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


class Kept(NamedTuple):
    """What somebody was told that an event was kept with."""

    identifiers: list[Identifier]
    lives: dict[Identifier, int]
    """Theirs when the event was first sent."""
    root: bytes
    """The profile."""


class Ledger:
    """The callers' own books, kept outside of everything under test."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.sent_as: dict[MessageKey, list[Sent]] = {}
        """Every payload that was sent under a key."""
        self.first_sent: dict[MessageKey, int] = {}
        """The step in which a key was first sent."""
        self.told: dict[MessageKey, list[Told]] = {}
        self.lives: dict[MessageKey, dict[Identifier, int]] = {}
        """The lives that the identifiers of a message were in when it was first sent."""
        self.floors: dict[MessageKey, dict[Identifier, int]] = {}
        """The same, as far as deletions had been answered."""
        self.shown: dict[Identifier, dict[MessageKey, Kept]] = {}
        """Messages that a read through the identifier has to show from now on, in that life; as
        they were kept then, for one that takes effect again may be kept with less.
        """
        self.kept: dict[MessageKey, Kept] = {}
        """What was told of events that were kept with identifiers."""
        self.deletions = DeletionBooks(world)
        self.roots: dict[bytes, None] = {}
        """Members that founded a profile whose segment_id somebody was given."""
        self.reads: dict[object, object] = {}
        self.reads_step = -1

    def sent(self, attempt: Attempt) -> None:
        """Notes that a client sends these events now."""
        control = self.world.control
        for sent in attempt.events:
            for side in control.sides(sent):
                key = (side[0], sent.message_id)
                self.first_sent.setdefault(key, self.world.step)
                variants = self.sent_as.setdefault(key, [])
                if sent not in variants:
                    variants.append(sent)
                lives, floors = self.lives.setdefault(key, {}), self.floors.setdefault(key, {})
                for each in side:
                    lives.setdefault(each, self.deletions.life(each))
                    floors.setdefault(each, self.deletions.floors.get(each, 0))

    def check_shown(self) -> None:
        """Checks that everything that was told shows at this moment, wherever it has to."""
        for identifier, messages in self.shown.items():
            for key, kept in messages.items():
                if kept.lives[identifier] == self.deletions.life(identifier):
                    self._check_shows(identifier, key, kept)

    def acked(self, attempt: Attempt, sides: list[list[AckedSide]]) -> None:
        """Notes what a gateway answers, and checks at once that it is true."""
        world = self.world
        for sent, told in zip(attempt.events, sides, strict=True):
            # What was stored before is answered as it was stored, with or without an account.
            if not any(side.is_duplicate for side in told):
                counts = {
                    len(world.control.promoted(sent, each).sides)
                    for each in range(1, world.control.version + 1)
                }
                require(len(told) in counts, f"{sent.message_id}: a side is not answered")
            for side in told:
                self._acked_side((side.anchor, sent.message_id), side, attempt)
            if attempt.resolved:
                check_linked(world, sent.message_id, [side.anchor for side in told])
        world.note(f"acked {attempt.client.name} {attempt.request}")

    def is_told(self, sent: Sent) -> bool:
        """Whether somebody was told that this message is stored, where rules so far put it."""
        control = self.world.control
        promoted = [control.promoted(sent, each) for each in range(1, control.version + 1)]
        return any((side[0], sent.message_id) in self.told for p in promoted for side in p.sides)

    def _acked_side(self, key: MessageKey, side: AckedSide, attempt: Attempt) -> None:
        require(
            side.outcome != PENDING or not attempt.resolved,
            f"{key}: RESOLVED while its link is pending",
        )
        for earlier in self.told.get(key, []) if self.world.plan.knows_for_ever else ():
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
        if side.root == NO_MEMBER:
            require(not side.outcome, f"{key}: linked, and on no profile")
            return
        self.roots[side.root] = None
        stored = self._read_stored(key, side)
        if stored is None:
            return
        identifiers = identifiers_of(stored)
        if not side.is_duplicate:
            control = self.world.control
            sides = [list(each) for sent in self.sent_as[key] for each in control.sides(sent)]
            require(identifiers in sides, f"{key}: stored with {identifiers}")
        dropped = {(type_, value) for type_, value, _ in side.drops}
        kept = [each for each in identifiers if (each.type, each.value) not in dropped]
        # Of what was deleted meanwhile nobody can say in which of its lives the event met it.
        lives = {**self.lives[key], key[0]: incarnation_of(stored.member)}
        self.kept[key] = Kept(kept, {each: lives.get(each, 0) for each in kept}, side.root)
        for identifier, life in self.kept[key].lives.items():
            if life == self.deletions.life(identifier):
                self.shown.setdefault(identifier, {})[key] = self.kept[key]
                self._check_shows(identifier, key, self.kept[key])

    def _check_shows(self, identifier: Identifier, key: MessageKey, kept: Kept) -> None:
        """Read-your-writes, through one identifier: the event, and all it was kept with."""
        world = self.world
        name = world.control.key(identifier)
        count = len(self._find(name, key) or [])
        fits = count == 1 if world.plan.knows_for_ever else count > 0
        require(fits, f"{key}: {count} times in what {identifier.value} shows")
        gathered, listed = self._shown_by(name)
        for each, life in kept.lives.items():
            is_present = life == self.deletions.life(each)
            require(
                (each.type, each.value) in (listed if is_present else gathered),
                f"{key}: acked, but {identifier.value} does not show {each.value}",
            )

    @once_a_step
    def _shown_by(self, name: bytes) -> tuple[set[tuple[str, str]], set[tuple[str, str]]]:
        """Returns the identifiers that a profile gathers, and those of them that it lists."""
        world = self.world
        profile = world.read_now(
            read_profile(world.shard_map, world.control.space, name, with_traits=False)
        )
        assert profile is not None
        gathered = {(part.type, part.value) for part in profile.parts}
        return gathered, {(part.type, part.value) for part in profile.identifiers}

    def _read_stored(self, key: MessageKey, side: AckedSide) -> StoredEvent | None:
        """Finds the event in the history that its anchor shows, in any of its lives, once.

        None: it took effect again after the dedupe window, and several may be meant.
        """
        name, present = self.world.control.key(key[0]), self.deletions.life(key[0])
        names = [member_of(name, life) for life in range(present + 1)] if present else [name]
        here: list[StoredEvent] = []
        for life, each in enumerate(names):
            found = self._find(each, key)
            require(present or found is not None, f"{key}: acked, but its anchor shows nothing")
            here += [event for event in found or [] if event.member == member_of(name, life)]
        if self.world.plan.knows_for_ever:
            require(len(here) == 1, f"{key}: {len(here)} times in what its anchor shows")
            return here[0]
        meant = [each for each in here if is_meant(side, each.stamp_us, self.world.plan.dedupe_us)]
        require(meant, f"{key}: acked, and not in what its anchor shows")
        return meant[0] if len(meant) == 1 else None

    @once_a_step
    def _find(self, name: bytes, key: MessageKey) -> list[StoredEvent] | None:
        """Returns what a profile shows of a message; None: there is no profile."""
        world = self.world
        times = {sent.time_us for sent in self.sent_as[key]}
        question = replace(WHOLE_HISTORY, start_us=min(times) - 1, end_us=max(times) + 1)
        found = world.read_now(list_events(world.shard_map, world.control.space, name, question))
        if found is None:
            return None
        anchor = world.control.key(key[0])
        return [
            each
            for each in found[1]
            if (each.member[:KEY_BYTES], each.message_id) == (anchor, key[1])
        ]


def is_meant(side: AckedSide, stamp_us: int, dedupe_us: int) -> bool:
    """Whether an answer may be about what was stored with a stamp: its own, or one it repeats."""
    if not side.is_duplicate:
        return side.is_of(stamp_us)
    return side.stamp_us - stamp_us <= dedupe_us


def identifiers_of(stored: StoredEvent) -> list[Identifier]:
    """Returns the identifiers of a stored event, the anchor first."""
    collection = ACCOUNTS if stored.collection else "users"
    return [Identifier(collection, type_, value) for type_, value in stored.identifiers]
