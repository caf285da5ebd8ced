"""Decides the journal's links once more, one after another, by the reference reading of the rules.

The journal gives only the order; identifiers, times and stamps are taken from the stored events.
What the reference then gives must be what the journal says: outcome, drops, survivor.
"""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.reference.resolver import Identifier as RefIdentifier
from tests.reference.resolver import Reference, Rules
from tests.simulation.judged_deletions import age, delete
from tests.simulation.reference_words import (
    Links,
    Profile,
    created_at,
    merges_of,
    ref,
    root_of,
    told_value,
)
from tests.simulation.violation import require
from unify_grpc.identity.outcomes import DropReason, Outcome
from unify_grpc.machines import deletions, journal, rows
from unify_grpc.machines.deleting import AGE_RECORD, DELETE_RECORD
from unify_grpc.machines.deletions import Ageing, Deletion
from unify_grpc.placement.members import incarnation_of, member_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.simulation.stored import LinkKey, Logs, Stored
    from tests.simulation.world import World
    from unify_grpc.machines.journal import Decision


class Founded(NamedTuple):
    """That an event with this identifier alone founded a profile."""

    at: LinkKey
    stamp_us: int
    stream: int
    time_us: int


def decisions_of(world: World) -> Iterator[Decision]:
    """Yields the journal's decisions in its order."""
    for _, record in sorted(world.merge.store.log.items()):
        if record[:1] == b"D":
            yield from journal.decode_round(record[1:]).decisions


def _journal(world: World) -> Iterator[Decision | Ageing | Deletion]:
    """Yields all in the journal that has a seq, in its order."""
    for _, record in sorted(world.merge.store.log.items()):
        if record[:1] == b"D":
            yield from journal.decode_round(record[1:]).decisions
        elif record[:1] == AGE_RECORD:
            yield deletions.decode_ageing(record[1:])
        elif record[:1] == DELETE_RECORD:
            yield deletions.decode_deletion(record[1:])


def space_of(entry: Decision | Ageing | Deletion) -> int:
    """Returns the space of an entry of the journal."""
    return entry.command.space if isinstance(entry, Ageing | Deletion) else entry.space


def last_seq(world: World) -> int:
    """Returns the seq of the last entry of the journal; 0 if there is none."""
    return max((each.seq for each in _journal(world)), default=0)


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
        self.open: Ageing | None = None
        """What was aged and is not deleted yet."""
        self.lives: dict[bytes, int] = {}
        """By key, of names past their first life."""
        self.aged: dict[RefIdentifier, int] = {}
        """When the profile last aged, or was absorbed, that an identifier was in: a seq."""
        self.hidden: dict[RefIdentifier, tuple[int, int]] = {}
        """What was deleted, to when its profile was created and its link time."""

    @property
    def profiles(self) -> dict[Profile, Links]:
        """The profiles that the decisions so far made; replaced and never changed."""
        return self.reference.profiles

    def owner(self, named: RefIdentifier) -> Profile | None:
        """The profile that the decisions so far gave the identifier to, deleted or not."""
        if named in self.hidden:
            created, _ = self.hidden[named]
            return next(each for each in self.profiles if created in each[1:])
        return next((each for each, linked in self.profiles.items() if named in linked), None)

    def members(self, profile: Profile) -> set[RefIdentifier]:
        """A profile's identifiers with those that were deleted from it."""
        return {*self.profiles[profile], *self.deleted_from(profile)}

    def deleted_from(self, profile: Profile) -> set[RefIdentifier]:
        """What was deleted from a profile, or from one that it absorbed."""
        return {each for each, (created, _) in self.hidden.items() if created in profile[1:]}

    def run(self) -> None:
        """Decides everything again."""
        for expected_seq, entry in enumerate(_journal(self.world), 1):
            require(entry.seq == expected_seq, f"{entry} has no place in the order")
            if space_of(entry) != self.world.control.space:
                continue
            if isinstance(entry, Ageing):
                age(self, entry)
            elif isinstance(entry, Deletion):
                delete(self, entry)
            else:
                self._take(entry)
        require(self.open is None, "something is left ageing")

    def _take(self, decision: Decision) -> None:
        at = (decision.shard, decision.position)
        require(at not in self.decided, f"{at} is decided twice")
        require(at in self.logs.events, f"{at} is decided and was never stored")
        require(
            decision.rules_version >= max(self.newest_rules, self.logs.events[at].rules_version),
            f"{at}: decided under old rules",
        )
        self.newest_rules = decision.rules_version
        stored = self.logs.events[at]
        require(
            (decision.stamp_us, decision.time_us) == (stored.stamp_us, stored.time_us),
            f"{at}: decided as if it had been received, or happened, at another time",
        )
        self._decide(decision, stored)
        self.decided[at] = decision

    def _decide(self, decision: Decision, stored: Stored) -> None:
        told = [(type_, value) for _, type_, value in decision.ids]
        require(
            told == [(each.type, each.value) for each in stored.identifiers],
            f"{stored.at}: other identifiers",
        )
        keys = [self.world.control.key(each) for each in stored.identifiers[1:]]
        present = [member_of(key, self.lives.get(key, 0)) for key in keys]
        members = [stored.member, *present]
        require(members == [each[0] for each in decision.ids], f"{stored.at}: in other lives")
        ids = [
            ref(each, incarnation_of(member))
            for each, member in zip(stored.identifiers, members, strict=True)
        ]
        owners = {self.owner(each) for each in ids} - {None}
        before = {owner: self.members(owner) for owner in owners if owner is not None}
        results: list[Any] = []
        for seen in self._readings(decision, stored):
            attempt = _Attempt(self, decision, stored, ids, seen)
            if attempt.fits():
                attempt.accept()
                self._age_moved(before, decision.seq)
                return
            attempt.undo()
            results.append(attempt.result)
        require(
            holds=False,
            message=f"decision {decision.seq} of {stored.key}: {_told(decision)}, not {results}",
        )

    def _age_moved(self, before: dict[Profile, set[RefIdentifier]], seq: int) -> None:
        """Ages the members of profiles that a decision absorbed."""
        for owner, members in before.items():
            heir = self.owner(next(iter(members)))
            assert heir is not None
            if root_of(heir) != root_of(owner):
                self.aged.update(dict.fromkeys(members, seq))

    def _readings(
        self, decision: Decision, stored: Stored
    ) -> Iterator[dict[RefIdentifier, tuple[bytes, Founded]]]:
        """Yields every set of foundings that the decision may have known of."""
        adopted = dict(decision.adopted)
        choices: list[list[tuple[RefIdentifier, tuple[bytes, Founded]] | None]] = []
        for index, identifier in enumerate(stored.identifiers):
            member = decision.ids[index][0]
            founded = self.founded.get(member)
            named = ref(identifier, incarnation_of(member))
            if self.owner(named) is not None or founded is None:
                require(index not in adopted, f"{stored.key}: adopted {identifier} out of nothing")
                continue
            known = (named, (member, founded))
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
            return founded.stamp_us < stored.stamp_us and not self._is_promoted_again(
                founded, stored
            )
        told = ledger.told.get(self.logs.events[founded.at].key, [])
        if not self.world.plan.knows_for_ever:
            told = [each for each in told if each.side.is_of(founded.stamp_us)]
        return bool(told) and told[0].step < ledger.first_sent[stored.key]

    def _is_promoted_again(self, founded: Founded, stored: Stored) -> bool:
        """Whether newer rules brought an event of the same call here behind the one that links.

        A batch has an order among the events that were stored by the same attempt.
        """
        founder, first_sent = self.logs.events[founded.at], self.world.ledger.first_sent
        return (
            founder.rules_version > stored.rules_version
            and founded.at[0] == stored.at[0]
            and founded.at[1] > stored.at[1]
            and first_sent[founder.key] == first_sent[stored.key]
        )


class _Attempt:
    """One decision, decided again under one reading of what was known."""

    def __init__(
        self,
        judge: Judge,
        decision: Decision,
        stored: Stored,
        ids: list[RefIdentifier],
        seen: dict[RefIdentifier, tuple[bytes, Founded]],
    ) -> None:
        self.judge = judge
        self.decision = decision
        self.anchor = ids[0]
        reference = judge.reference
        self.before = reference.profiles
        self.singles: dict[Profile, Links] = {}
        for named, (member, founded) in seen.items():
            created = created_at(founded.stamp_us, 0, member)
            self.singles[named[0], created] = {named: founded.time_us}
        reference.profiles = self.before | self.singles
        if self.anchor in judge.hidden:
            # As if the deletion came after the event that was stored in that life.
            profile, (_, time_us) = judge.owner(self.anchor), judge.hidden[self.anchor]
            assert profile is not None
            again = {**self.before[profile], self.anchor: time_us}
            reference.profiles = reference.profiles | {profile: again}
        self.joined = {
            profile: linked
            for profile, linked in reference.profiles.items()
            if not linked.keys().isdisjoint(ids)
        }
        self.stamp_us = max(stored.stamp_us, judge.newest_stamp_us)
        reference.stamp_us = created_at(self.stamp_us, decision.seq, stored.member)
        rules = judge.rules[decision.rules_version - 1]
        outcome, drops = reference.resolve(ids, rules, stored.time_us)
        after = judge.owner(self.anchor)
        assert after is not None
        self.result = (outcome, root_of(after), [drop[1:] for drop in drops])
        self._check_bounds(rules, ids, stored, after)

    def fits(self) -> bool:
        """Whether the journal says the same."""
        return self.result == _told(self.decision)

    def accept(self) -> None:
        """Makes it the state that the next decision meets, without what it only looked at."""
        root = int.from_bytes(self.decision.root)
        hidden = self.judge.hidden
        unlinked = {each for each in self.singles if root_of(each) != root}
        self.judge.reference.profiles = {
            profile: {each: at_us for each, at_us in linked.items() if each not in hidden}
            for profile, linked in self.judge.profiles.items()
            if profile not in unlinked
        }
        if self.decision.outcome == Outcome.CREATED:
            self.judge.newest_stamp_us = self.stamp_us

    def undo(self) -> None:
        """Takes it back."""
        self.judge.reference.profiles = self.before

    def _check_bounds(
        self, rules: Rules, ids: list[RefIdentifier], stored: Stored, after: Profile
    ) -> None:
        """No count rises above both its bound and what a joined profile had."""
        linked = self.judge.profiles[after]
        before = {each: had for each, had in self.joined.items() if set(had) <= set(linked)}
        if sum(each in linked for each in ids) == 1:
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


def _told(decision: Decision) -> tuple[str, int, list[tuple[str, str, str]]]:
    drops = []
    for index, reason in decision.drops:
        member, type_, value = decision.ids[index]
        told = told_value(value, incarnation_of(member))
        drops.append((type_, told, DropReason(reason).name))
    return Outcome(decision.outcome).name, int.from_bytes(decision.root), drops


def _foundings(world: World) -> Iterator[tuple[bytes, Founded]]:
    for shard in world.shards:
        for key, data in shard.store.scan(rows.MEMBER):
            row = rows.MemberRow.unpack(data)
            if row.founded and row.space == world.control.space:
                at = (shard.number, row.founding_pos)
                yield (
                    key[1:],
                    Founded(at, row.founding_stamp_us, row.founding_stream, row.founding_us),
                )
