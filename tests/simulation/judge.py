"""Decides the journal's links once more, one after another, by the reference reading of the rules.

The journal gives only the order; identifiers, times and stamps are taken from the stored events.
What the reference then gives must be what the journal says: outcome, drops, survivor.
"""

from __future__ import annotations

from copy import deepcopy
from itertools import product
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.reference.profiles import Profile, Profiles
from tests.reference.promotion import Identifier as RefIdentifier
from tests.reference.rules import Rules
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
        self.profiles = Profiles()
        self.rules = [Rules(document) for document in world.plan.rules]
        self.newest_stamp_us = 0
        self.newest_rules = 0
        self.decided: dict[LinkKey, Decision] = {}
        self.founded = dict(_foundings(world))

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
        ids = [RefIdentifier(*each) for each in stored.identifiers]
        told = [(type_, value) for _, type_, value in decision.ids]
        require(
            told == [(each.type, each.value) for each in ids], f"{stored.at}: other identifiers"
        )
        results: list[Any] = []
        for seen in self._readings(decision, stored):
            profiles = deepcopy(self.profiles) if results else self.profiles
            attempt = _Attempt(self, profiles, decision, stored, ids, seen)
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
            if RefIdentifier(*identifier) in self.profiles.owner or founded is None:
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
        profiles: Profiles,
        decision: Decision,
        stored: Stored,
        ids: list[RefIdentifier],
        seen: dict[Identifier, Founded],
    ) -> None:
        self.judge = judge
        self.profiles = profiles
        self.decision = decision
        world = judge.world
        self.before = (dict(profiles.owner), dict(profiles.absorbed))
        self.singles: list[Profile] = []
        for identifier, founded in seen.items():
            created = _created(founded.stamp_us, 0, _member(world, identifier))
            single = Profile(identifier.collection, created)
            single.linked[RefIdentifier(*identifier)] = founded.time_us
            profiles.owner[RefIdentifier(*identifier)] = single
            self.singles.append(single)
        self.stamp_us = max(stored.stamp_us, judge.newest_stamp_us)
        created = _created(self.stamp_us, decision.seq, _member(world, stored.identifiers[0]))
        rules = judge.rules[decision.rules_version - 1]
        joined = {id(owner): owner for each in ids if (owner := profiles.owner.get(each))}
        sizes = {key: dict(owner.linked) for key, owner in joined.items()}
        merges = {key: owner.merges for key, owner in joined.items()}
        self.touched = [(owner, sizes[key], merges[key]) for key, owner in joined.items()]
        outcome, drops = profiles.resolve(ids, rules, stored.time_us, created)
        root = profiles.owner[ids[0]].founded_by & (1 << _MEMBER_BITS) - 1
        self.result = (outcome, root, [(each.type, each.value, each.reason) for each in drops])
        self._check_bounds(rules, stored, ids)

    def fits(self) -> bool:
        """Whether the journal says the same."""
        return self.result == _told(self.decision)

    def accept(self) -> None:
        """Makes it the state that the next decision meets."""
        judge, owner = self.judge, self.profiles.owner
        for single in self.singles:
            (alone,) = list(single.linked)[:1]
            if owner[alone] is single and not self._is_linked(single):
                del owner[alone]
        judge.profiles = self.profiles
        if self.decision.outcome == Outcome.CREATED:
            judge.newest_stamp_us = self.stamp_us

    def undo(self) -> None:
        """Takes it back."""
        for profile, linked, merges in self.touched:
            profile.linked = linked
            profile.merges = merges
        self.profiles.owner, self.profiles.absorbed = self.before

    def _is_linked(self, single: Profile) -> bool:
        """Whether the decision ended in this profile."""
        return single.founded_by & (1 << _MEMBER_BITS) - 1 == int.from_bytes(self.decision.root)

    def _check_bounds(self, rules: Rules, stored: Stored, ids: list[RefIdentifier]) -> None:
        """No count rises above both its bound and what a joined profile had."""
        after = self.profiles.owner[ids[0]]
        kept = [each for each in ids if self.profiles.owner.get(each) is after]
        if len(kept) == 1:
            return
        before = [linked for owner, linked, _ in self.touched if set(linked) <= set(after.linked)]
        for type_ in {each.type for each in after.linked}:
            limit, window_us = rules.limit(type_)

            def count(
                linked: dict[RefIdentifier, int],
                type_: str = type_,
                window_us: int | None = window_us,
            ) -> int:
                return sum(
                    each.type == type_
                    and (window_us is None or abs(at_us - stored.time_us) < window_us)
                    for each, at_us in linked.items()
                )

            most = max([count(linked) for linked in before], default=0)
            require(
                limit is None or count(after.linked) <= max(limit, most),
                f"{stored.key}: too many of {type_}",
            )
        most = max([len(linked) for linked in before], default=0)
        require(
            len(after.linked) <= max(rules.identifiers_max, most), f"{stored.key}: too many ids"
        )
        most = max([merges for _, _, merges in self.touched], default=0)
        require(after.merges <= max(rules.merges_max, most), f"{stored.key}: too many merges")


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
