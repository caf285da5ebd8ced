"""Decides the journal's links once more, one after another, by the reference reading of the rules.

The journal gives only the order; identifiers, times and stamps are taken from the stored events.
What the reference then gives must be what the journal says: outcome, drops, survivor.
"""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.reference.resolver import Identifier as RefIdentifier
from tests.reference.resolver import Reference, Rules
from tests.simulation.violation import require
from unify_grpc.identity.identifiers import ACCOUNTS, USERS, Identifier
from unify_grpc.identity.outcomes import DropReason, Outcome
from unify_grpc.machines import journal, rows
from unify_grpc.placement.members import FIRST_INCARNATION, MEMBER_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.simulation.stored import LinkKey, Logs, Stored
    from tests.simulation.world import World
    from unify_grpc.machines.journal import Decision

_MEMBER_BITS = 8 * MEMBER_BYTES
_ORDER_BITS = 64

Profile = tuple[Any, ...]
"""As the reference has them: its collection, when it was created, and those that it absorbed."""
Links = dict[RefIdentifier, int]
"""A profile's identifiers, each with its link time in microseconds since 1970."""


class Founded(NamedTuple):
    """That an event with this identifier alone founded a profile."""

    at: LinkKey
    stamp_us: int
    stream: int
    time_us: int


def decisions_of(world: World) -> Iterator[Decision]:
    """Yields the journal in its order."""
    for _, record in sorted(world.merge.store.log.items()):
        if record[:1] == b"D":
            yield from journal.decode_round(record[1:]).decisions


class Judge:
    """The reference's profiles after so many decisions."""

    def __init__(self, world: World, logs: Logs) -> None:
        self.world = world
        self.logs = logs
        self.reference = Reference({})
        self.rules = [Rules(document) for document in world.plan.rules]
        self.newest_stamp_us = 0
        self.newest_rules = 0
        self.decided: dict[LinkKey, Decision] = {}
        self.founded = dict(_foundings(world))

    @property
    def profiles(self) -> dict[Profile, Links]:
        """The profiles that the decisions so far made; replaced and never changed."""
        return self.reference.profiles

    def owner(self, identifier: Identifier) -> Profile | None:
        """The profile that the decisions so far gave the identifier to."""
        named = ref(identifier)
        return next((each for each, linked in self.profiles.items() if named in linked), None)

    def run(self) -> None:
        """Decides everything again."""
        for expected_seq, decision in enumerate(decisions_of(self.world), 1):
            at = (decision.shard, decision.position)
            require(decision.seq == expected_seq, f"{at}: decision {decision.seq} has no place")
            require(at not in self.decided, f"{at} is decided twice")
            require(at in self.logs.events, f"{at} is decided and was never stored")
            require(
                decision.rules_version
                >= max(self.newest_rules, self.logs.events[at].rules_version),
                f"{at}: decided under old rules",
            )
            self.newest_rules = decision.rules_version
            self._decide(decision, self.logs.events[at])
            self.decided[at] = decision

    def _decide(self, decision: Decision, stored: Stored) -> None:
        ids = [ref(each) for each in stored.identifiers]
        told = [(type_, value) for _, type_, value in decision.ids]
        require(
            told == [(type_, value) for _, type_, value in ids], f"{stored.at}: other identifiers"
        )
        results: list[Any] = []
        for seen in self._readings(decision, stored):
            attempt = _Attempt(self, decision, stored, ids, seen)
            if attempt.fits():
                attempt.accept()
                return
            attempt.undo()
            results.append(attempt.result)
        require(
            holds=False,
            message=f"decision {decision.seq} of {stored.key}: {_told(decision)}, not {results}",
        )

    def _readings(self, decision: Decision, stored: Stored) -> Iterator[dict[Identifier, Founded]]:
        """Yields every set of foundings that the decision may have known of."""
        adopted = dict(decision.adopted)
        choices: list[list[tuple[Identifier, Founded] | None]] = []
        for index, identifier in enumerate(stored.identifiers):
            founded = self.founded.get(identifier)
            if self.owner(identifier) is not None or founded is None:
                require(index not in adopted, f"{stored.key}: adopted {identifier} out of nothing")
                continue
            known = (identifier, founded)
            if index in adopted:
                founding = adopted[index]
                require(
                    (founding.stamp_us, founding.stream, founding.time_us) == founded[1:],
                    f"{stored.key}: {identifier} was founded otherwise",
                )
                require(not self._is_later(founded, stored), f"{stored.key}: {identifier} is later")
                choices.append([known])
            elif self._is_earlier(founded, stored):
                choices.append([known])
            elif index in decision.kept or self._is_later(founded, stored):
                choices.append([None])
            else:
                choices.append([None, known])
        for chosen in product(*choices):
            yield dict(each for each in chosen if each is not None)

    def _is_later(self, founded: Founded, stored: Stored) -> bool:
        """Whether the caller's order forbids that the link sees the founding."""
        return founded.stream == stored.stream and founded.stamp_us > stored.stamp_us

    def _is_earlier(self, founded: Founded, stored: Stored) -> bool:
        """Whether the link must see the founding: acked before, or earlier in the same stream."""
        ledger = self.world.ledger
        if founded.stream == stored.stream and stored.at not in self.world.merge.strays:
            return founded.stamp_us < stored.stamp_us
        told = ledger.told.get(self.logs.events[founded.at].key)
        return told is not None and told[0].step < ledger.first_sent[stored.key]


class _Attempt:
    """One decision, decided again under one reading of what was known."""

    def __init__(
        self,
        judge: Judge,
        decision: Decision,
        stored: Stored,
        ids: list[RefIdentifier],
        seen: dict[Identifier, Founded],
    ) -> None:
        self.judge = judge
        self.decision = decision
        world, reference = judge.world, judge.reference
        self.before = reference.profiles
        self.singles: dict[Profile, Links] = {}
        for identifier, founded in seen.items():
            created = _created(founded.stamp_us, 0, _member(world, identifier))
            self.singles[identifier.collection, created] = {ref(identifier): founded.time_us}
        reference.profiles = self.before | self.singles
        self.joined = {
            profile: linked
            for profile, linked in reference.profiles.items()
            if not linked.keys().isdisjoint(ids)
        }
        self.stamp_us = max(stored.stamp_us, judge.newest_stamp_us)
        member = _member(world, stored.identifiers[0])
        reference.stamp_us = _created(self.stamp_us, decision.seq, member)
        rules = judge.rules[decision.rules_version - 1]
        outcome, drops = reference.resolve(ids, rules, stored.time_us)
        after = judge.owner(stored.identifiers[0])
        assert after is not None
        self.result = (outcome, root_of(after), [drop[1:] for drop in drops])
        self._check_bounds(rules, stored, after)

    def fits(self) -> bool:
        """Whether the journal says the same."""
        return self.result == _told(self.decision)

    def accept(self) -> None:
        """Makes it the state that the next decision meets, without what it only looked at."""
        root = int.from_bytes(self.decision.root)
        unlinked = {each for each in self.singles if root_of(each) != root}
        self.judge.reference.profiles = {
            profile: linked
            for profile, linked in self.judge.profiles.items()
            if profile not in unlinked
        }
        if self.decision.outcome == Outcome.CREATED:
            self.judge.newest_stamp_us = self.stamp_us

    def undo(self) -> None:
        """Takes it back."""
        self.judge.reference.profiles = self.before

    def _check_bounds(self, rules: Rules, stored: Stored, after: Profile) -> None:
        """No count rises above both its bound and what a joined profile had."""
        linked = self.judge.profiles[after]
        before = {each: had for each, had in self.joined.items() if set(had) <= set(linked)}
        if sum(ref(each) in linked for each in stored.identifiers) == 1:
            return
        for type_ in {type_ for _, type_, _ in linked}:
            limit, window_us = rules.limit(type_)
            count, *counts = (
                sum(
                    each[1] == type_ and abs(at_us - stored.time_us) < window_us
                    for each, at_us in links.items()
                )
                for links in (linked, *before.values())
            )
            require(count <= max([limit, *counts]), f"{stored.key}: too many of {type_}")
        most = max([rules.caps["identifiers"], *map(len, before.values())])
        require(len(linked) <= most, f"{stored.key}: too many ids")
        most = max([rules.caps["merges"], *map(merges_of, self.joined)])
        require(merges_of(after) <= most, f"{stored.key}: too many merges")


def root_of(profile: Profile) -> int:
    """The founding member of a profile, as a number."""
    return int(profile[1]) & (1 << _MEMBER_BITS) - 1


def merges_of(profile: Profile) -> int:
    """How many others a profile has absorbed."""
    return len(profile) - 2


def ref(identifier: Identifier) -> RefIdentifier:
    """An identifier in the reference's words."""
    return identifier.collection, identifier.type, identifier.value


def _told(decision: Decision) -> tuple[str, int, list[tuple[str, str, str]]]:
    drops = [
        (decision.ids[index][1], decision.ids[index][2], DropReason(reason).name)
        for index, reason in decision.drops
    ]
    return Outcome(decision.outcome).name, int.from_bytes(decision.root), drops


def _created(stamp_us: int, order: int, member: bytes) -> int:
    """When a profile was created, as a number that compares as the rules compare."""
    return (stamp_us << _ORDER_BITS | order) << _MEMBER_BITS | int.from_bytes(member)


def _member(world: World, identifier: Identifier) -> bytes:
    return world.control.key(identifier) + FIRST_INCARNATION


def _foundings(world: World) -> Iterator[tuple[Identifier, Founded]]:
    for shard in world.shards:
        for _, data in shard.store.scan(rows.MEMBER):
            row = rows.MemberRow.unpack(data)
            if row.founded:
                identifier = Identifier(ACCOUNTS if row.collection else USERS, row.type, row.value)
                at = (shard.number, row.founding_pos)
                yield (
                    identifier,
                    Founded(at, row.founding_stamp_us, row.founding_stream, row.founding_us),
                )
