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
        self.memories: dict[bytes, dict[bytes, None]] = {}
        self.seqs: dict[bytes, int] = {}
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
            for member, _, _, since in self.profiles[root].members:
                if since >= decision.seq:
                    self.bound[member] = root
        partners = [partner_of(decision.ids[index][0]) for index in decision.kept if index]
        self.memories.setdefault(anchor, {}).update(dict.fromkeys(partners))
        clear = ClearPush(
            decision.position, decision.outcome, decision.root, decision.seq, decision.drops
        )
        self.clears.append((decision.shard, clear))

    def finish(self) -> list[dict[int, Push]]:
        """Returns the three phases; a binding at its profile's home travels with the profile."""
        first: dict[int, Push] = {}
        second: dict[int, Push] = {}
        third: dict[int, Push] = {}
        for root, row in self.profiles.items():
            self._push(first, self.shard_map.shard_of(root)).profiles.append(
                ProfilePush(
                    root,
                    row.seq,
                    row.space,
                    row.collection,
                    row.created_us,
                    row.merges,
                    [each[0] for each in row.members],
                )
            )
        for member, root in self.bound.items():
            shard = self.shard_map.shard_of(member)
            phase = first if shard == self.shard_map.shard_of(root) else second
            self._push(phase, shard).bindings.append(self._binding(member, root))
        for anchor, partners in self.memories.items():
            seq = self.profiles[self.bound[anchor]].seq
            push = self._push(third, self.shard_map.shard_of(anchor))
            push.memories.append(MemoryPush(anchor, seq, 0, list(partners)))
        for shard, clear in self.clears:
            self._push(third, shard).clears.append(clear)
        return [first, second, third]

    def _binding(self, member: bytes, root: bytes) -> BindingPush:
        row = journal.find_member(self.working, member)
        assert row is not None, "a member to bind has a row"
        profile = self.profiles[root]
        return BindingPush(
            member,
            root,
            profile.seq,
            profile.space,
            profile.collection,
            row.type,
            row.value,
            row.joined_us,
            row.source,
            row.message_id,
            row.founding_known,
        )

    @staticmethod
    def _push(phase: dict[int, Push], shard: int) -> Push:
        return phase.setdefault(shard, Push([], [], [], []))
