"""The books about deletions: what was asked for and told, and what must hold once it was told."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from tests.simulation.deleting import named_key, told_request
from tests.simulation.violation import require
from unify_grpc.identity.deletion import DeletionRefusal
from unify_grpc.identity.identifiers import GROUP_ID, USER_ID
from unify_grpc.machines import deletions, journal, rows
from unify_grpc.machines.assembly import locate, read_profile
from unify_grpc.machines.deleting import DELETE_RECORD
from unify_grpc.machines.found_by import BY_PREFIX, prefix_member
from unify_grpc.placement.members import incarnation_of, member_of

if TYPE_CHECKING:
    from tests.simulation.deleting import DeleteRequest
    from tests.simulation.world import World
    from unify_grpc.identity.identifiers import Identifier
    from unify_grpc.machines.deletions import Deleted, Deletion


class Asked(NamedTuple):
    """A deletion that somebody asked for."""

    request: DeleteRequest
    lives: dict[Identifier, int]
    """The lives in which an event had kept both identifiers then, as far as their caller knew."""


class DeletionBooks:
    """What callers know of deletions, kept outside of everything under test."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.asked: dict[bytes, Asked] = {}
        """By request id."""
        self.told: dict[bytes, Deleted] = {}
        """The same: what was told of those that were done."""
        self.floors: dict[Identifier, int] = {}
        """The life that an identifier has at least, after deletions that were answered."""

    def life(self, identifier: Identifier) -> int:
        """Returns which life the journal has an identifier in."""
        key = journal.NAME + self.world.control.key(identifier)
        return int.from_bytes(self.world.merge.store.get(key) or b"")

    def shard_life(self, identifier: Identifier) -> int:
        """Returns which life an identifier's shard has it in; it never goes back."""
        key = self.world.control.key(identifier)
        shard = self.world.shards[self.world.shard_map.shard_of(key)]
        return int.from_bytes(shard.store.get(rows.NAME + key) or b"")

    def ask(self, request: DeleteRequest) -> None:
        """Notes that somebody asks now."""
        lives: dict[Identifier, int] = {}
        for kept in self.world.ledger.kept.values():
            if {request.named, request.wanted} <= set(kept.identifiers):
                for each in kept.identifiers:
                    lives[each] = max(lives.get(each, 0), kept.lives[each])
        self.asked[request.request_id] = Asked(request, lives)

    def records(self, request_id: bytes) -> list[Deletion]:
        """Returns what the journal says was done about a request."""
        found = []
        for _, record in sorted(self.world.merge.store.log.items()):
            if record[:1] == DELETE_RECORD:
                deletion = deletions.decode_deletion(record[1:])
                if deletion.command.request_id == request_id:
                    found.append(deletion)
        return found

    def judged(self, request_id: bytes, deleted: Deleted) -> None:
        """Checks what the merge actor answers, at that moment."""
        request = self.asked[request_id].request
        done = [each for each in self.records(request_id) if not each.refusal]
        if deleted.refusal:
            require(not done, f"deletion of {told_request(request)} is refused and done")
            self._check_refusal(self.asked[request_id], DeletionRefusal(deleted.refusal))
            return
        require(len(done) == 1, f"deletion of {told_request(request)} is done {len(done)} times")
        require(done[0].root == deleted.root, f"deletion of {told_request(request)}: another root")

    def answered(self, request: DeleteRequest, deleted: Deleted) -> None:
        """Notes what a gateway answers, and checks at once that it is true."""
        name = told_request(request)
        became = DeletionRefusal(deleted.refusal).name if deleted.refusal else ""
        self.world.note(f"acked deletion of {name}: {'refused ' + became if became else 'done'}")
        if deleted.refusal:
            return
        require(self.told.setdefault(request.request_id, deleted) == deleted, f"{name}: told twice")
        done = self.records(request.request_id)
        require(len(done) == 1, f"deletion of {name} is journaled {len(done)} times")
        member, wanted = done[0].member, request.wanted
        self.floors[wanted] = max(self.floors.get(wanted, 0), incarnation_of(member) + 1)
        self.world.ledger.roots[member] = None
        self.world.ledger.roots[deleted.root] = None
        self._check_gone(request, member)

    def _check_refusal(self, asked: Asked, refusal: DeletionRefusal) -> None:
        """A refusal has its reason; what was kept together is not told to be apart."""
        request = asked.request
        name = f"deletion of {told_request(request)} is refused: {refusal.name}"
        if refusal == DeletionRefusal.LOOKED_UP_BY:
            require(request.named == request.wanted, name)
        elif refusal == DeletionRefusal.GROUP_ID:
            require(request.wanted.type == GROUP_ID, name)
        elif refusal == DeletionRefusal.LAST_USER_ID:
            require(request.wanted.type == USER_ID, name)
        else:
            moved = any(self.life(each) != life for each, life in asked.lives.items())
            require(moved or not asked.lives, name)

    def _check_gone(self, request: DeleteRequest, member: bytes) -> None:
        """Nobody finds the life that was deleted by its name, and its profile does not list it."""
        world, name = self.world, told_request(request)
        life = incarnation_of(member)
        require(self.shard_life(request.wanted) > life, f"{name}: deleted, and in the same life")
        space = world.control.space
        profile = world.read_now(read_profile(world.shard_map, space, member, with_traits=False))
        require(profile is not None, f"{name}: deleted, and its events with it")
        assert profile is not None
        require(member in profile.base.hidden, f"{name}: deleted, and listed")
        for shard in world.shards:
            for _, data in shard.store.scan(BY_PREFIX):
                require(prefix_member(data) != member, f"{name}: deleted, and found by its text")
        for named in (named_key(world, request), world.control.key(request.wanted)):
            found = world.read_now(locate(world.shard_map, space, named))
            if found is None:
                continue
            require(
                member not in found.members or member in found.hidden,
                f"{name}: deleted, and found",
            )
        later = [
            member_of(member[:16], each)
            for each in range(life + 1, 1 + self.shard_life(request.wanted))
        ]
        found = world.read_now(locate(world.shard_map, space, world.control.key(request.wanted)))
        require(
            found is None or not set(later).isdisjoint(found.members),
            f"{name}: its name leads to a life that is over",
        )
