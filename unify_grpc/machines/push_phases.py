"""The rows of a round, in the three phases in which they become visible."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unify_grpc.machines import journal
from unify_grpc.machines.links import (
    BindingPush,
    ClearPush,
    MemoryPush,
    ProfilePush,
    Push,
    partner_of,
)

if TYPE_CHECKING:
    from unify_grpc.machines.journal import Decision as LinkDecision
    from unify_grpc.machines.tables import Working
    from unify_grpc.placement.slots import ShardMap


class PushPhases:
    """The rows of a round, by phase and shard, as they are at present."""

    def __init__(self, working: Working, shard_map: ShardMap) -> None:
        self.working = working
        self.shard_map = shard_map
        self.profiles: dict[bytes, journal.ProfileRow] = {}
        self.bound: dict[bytes, bytes] = {}
        """Members to bind, to the profile they belong to now."""
        self.memories: dict[bytes, tuple[int, dict[bytes, None]]] = {}
        """Anchor to its link epoch and its partners."""
        self.clears: list[tuple[int, ClearPush]] = []

    def add(self, decision: LinkDecision) -> None:
        """Adds what one decision has to make visible."""
        anchor = decision.ids[0][0]
        row = journal.find_member(self.working, anchor)
        assert row is not None, "a decided link's anchor is bound"
        root = row.root
        if root not in self.profiles:
            self.profiles[root] = journal.read_profile(self.working, root)
        for index in decision.kept:
            self.bound[decision.ids[index][0]] = root
        if decision.absorbed:
            for member, _, _, since, _ in self.profiles[root].members:
                if since >= decision.seq:
                    self.bound[member] = root
        # A decision older than the anchor's last ageing may speak of what was deleted since, and
        # one older than its last move of partners that have not all moved; a move's own waits for
        # them.
        if decision.is_remembered and decision.seq >= row.link_epoch:
            partners = [partner_of(decision.ids[index][0]) for index in decision.kept if index]
            _, known = self.memories.setdefault(anchor, (row.link_epoch, {}))
            known.update(dict.fromkeys(partners))
        clear = ClearPush(
            decision.position,
            decision.outcome,
            decision.root,
            decision.seq,
            decision.drops,
            decision.rules_version,
        )
        self.clears.append((decision.shard, clear))

    def finish(self) -> list[dict[int, Push]]:
        """Returns the three phases; a binding at its profile's home travels with the profile."""
        first: dict[int, Push] = {}
        second: dict[int, Push] = {}
        third: dict[int, Push] = {}
        for root, row in self.profiles.items():
            home = self.shard_map.shard_of(root)
            push_to(first, home).profiles.append(profile_push(root, row))
        for member, root in self.bound.items():
            shard = self.shard_map.shard_of(member)
            phase = first if shard == self.shard_map.shard_of(root) else second
            row_ = journal.find_member(self.working, member)
            assert row_ is not None, "a member to bind has a row"
            binding = binding_push(member, row_, self.profiles[root])
            push_to(phase, shard).bindings.append(binding)
        for anchor, (link_epoch, partners) in self.memories.items():
            push = push_to(third, self.shard_map.shard_of(anchor))
            push.memories.append(MemoryPush(anchor, link_epoch, list(partners)))
        for shard, clear in self.clears:
            push_to(third, shard).clears.append(clear)
        return [first, second, third]


def profile_push(root: bytes, row: journal.ProfileRow) -> ProfilePush:
    """Returns a profile's present row as its home is told of it."""
    return ProfilePush(
        root,
        row.seq,
        row.space,
        row.collection,
        row.created_us,
        row.merges,
        [each[0] for each in row.members],
        [each[0] for each in row.members if each[4]],
    )


def binding_push(member: bytes, row: journal.MemberRow, profile: journal.ProfileRow) -> BindingPush:
    """Returns a member's present binding as its shard is told of it."""
    return BindingPush(
        member,
        row.root,
        profile.seq,
        profile.space,
        profile.collection,
        row.type,
        row.value,
        row.joined_us,
        row.source,
        row.message_id,
        row.founding_known,
        row.link_epoch,
    )


def push_to(phase: dict[int, Push], shard: int) -> Push:
    """Returns what a phase has for a shard, to be added to."""
    return phase.setdefault(shard, Push([], [], [], [], [], []))
