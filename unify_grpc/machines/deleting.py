"""Deletions on their way through the merge actor, one at a time."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from unify_grpc.machines import deletions, journal
from unify_grpc.machines.deletions import (
    Ageing,
    DeleteCommand,
    Deleted,
    Deletion,
    DeletionRefusedError,
    OpenRow,
)
from unify_grpc.machines.links import AgePush, NamePush, Push
from unify_grpc.machines.merge_messages import DeleteAnswer, Message
from unify_grpc.machines.push_phases import binding_push, profile_push, push_to
from unify_grpc.machines.tables import Decision, Working
from unify_grpc.placement.members import incarnation_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from unify_grpc.machines.tables import View
    from unify_grpc.placement.slots import ShardMap

AGE_RECORD: Final = b"E"
DELETE_RECORD: Final = b"X"
REUSED: Final = -1
"""In place of a refusal: the request id was used for another command."""


class Deletions:
    """What was asked for, what is being aged, and who waits. A restart keeps only the second.

    Journaled commands are found by their request id, so whoever asks again gets the same answer.
    """

    def __init__(self, view: View, shard_map: ShardMap) -> None:
        self.view = view
        self.shard_map = shard_map
        self.incarnations: dict[bytes, int] = {}
        """Of names past their first life only."""
        self._asked: deque[tuple[int, DeleteCommand]] = deque()
        self._open: OpenRow | None = None
        self._is_aged = False
        self._waiting: dict[int, list[tuple[int, Deleted]]] = {}
        """By journal record: who is told what when every shard has it."""
        self._asking_open: list[int] = []
        self._recovered = 0
        """The last record that was there at the start."""
        self._staged: int | None = None

    @property
    def is_idle(self) -> bool:
        """Whether nothing is asked for or being aged."""
        return not (self._asked or self._open)

    def load(self) -> None:
        """Reads incarnations from a checkpointed view."""
        for key, value in self.view.scan(journal.NAME):
            self.incarnations[key[1:]] = int.from_bytes(value, "big")

    def recover(self, last_record: int) -> OpenRow | None:
        """Takes up the ageing that was journaled without its deletion; it has to be pushed.

        `last_record` is the last one of the journal: what was not confirmed is pushed again.
        """
        self._recovered = last_record
        self._open, self._is_aged = deletions.find_open(Working(self.view)), False
        return self._open

    def ask(self, request: int, command: DeleteCommand) -> None:
        """Queues a command."""
        self._asked.append((request, command))

    def is_ageing(self, working: Working, root: bytes) -> bool:
        """Whether a profile is the one, by now, that an identifier is to be deleted from."""
        if self._open is None:
            return False
        bound = journal.find_member(working, self._open.ageing.root)
        return bound is not None and bound.root == root

    # -- one step -----------------------------------------------------------------------------

    def step(
        self, seq: int, number: int, flights: Collection[int]
    ) -> Decision[Message, None] | None:
        """Returns the next record to be journaled or answer to be given, if there is one.

        Args:
            seq: of the record, if it becomes one.
            number: of that record in the journal.
            flights: records that are not with every shard yet.
        """
        if self._open is not None:
            return self._act(seq, number, self._open) if self._is_aged else None
        decision: Decision[Message, None] = Decision(None)
        while self._asked and decision.record is None:
            request, command = self._asked.popleft()
            decision.messages.extend(self._begin(decision, request, command, seq, number, flights))
        return decision if decision.record is not None or decision.messages else None

    def _begin(
        self,
        decision: Decision[Message, None],
        request: int,
        command: DeleteCommand,
        seq: int,
        number: int,
        flights: Collection[int],
    ) -> Iterator[Message]:
        working = Working(self.view)
        done = deletions.find_done(working, command.request_id)
        if done is not None:
            if not _is_same(done.command, command):
                yield DeleteAnswer(request, Deleted(REUSED, b""))
            elif self._awaits(done.record, flights):
                self._waiting.setdefault(done.record, []).append((request, done.deleted))
            else:
                yield DeleteAnswer(request, done.deleted)
            return
        try:
            judged = deletions.judge(working, command, self.incarnations)
        except DeletionRefusedError as refused:
            yield DeleteAnswer(request, Deleted(int(refused.refusal), refused.root))
            return
        ageing = Ageing(
            judged.format,
            seq,
            command,
            judged.root,
            judged.member,
            judged.adopted,
        )
        deletions.apply_ageing(working, ageing, number)
        decision.record = AGE_RECORD + deletions.encode(ageing)
        decision.changes = working.changes
        self._asking_open = [request]
        self._staged = number

    def _act(self, seq: int, number: int, opened: OpenRow) -> Decision[Message, None]:
        """Decides again, on the profile as it is by now: it may have been merged."""
        working = Working(self.view)
        command = opened.ageing.command
        try:
            judged = deletions.judge(working, command, self.incarnations)
            root, refusal = judged.root, 0
        except DeletionRefusedError as refused:
            root, refusal = refused.root, int(refused.refusal)
        deletion = Deletion(deletions.FORMAT, seq, command, root, opened.ageing.member, refusal)
        deletions.apply_deletion(working, deletion, number)
        self._staged = number
        return Decision(
            None, record=DELETE_RECORD + deletions.encode(deletion), changes=working.changes
        )

    # -- afterwards ---------------------------------------------------------------------------

    def replay(self, working: Working, record: bytes, number: int) -> int:
        """Lays the rows of a journaled record over the tables; returns its seq."""
        if record[:1] == AGE_RECORD:
            ageing = deletions.decode_ageing(record[1:])
            deletions.apply_ageing(working, ageing, number)
            return ageing.seq
        deletion = deletions.decode_deletion(record[1:])
        deletions.apply_deletion(working, deletion, number)
        self._take_over(deletion)
        return deletion.seq

    def committed(self, record: bytes, number: int) -> int | None:
        """Takes over a record that is durable by now; returns its seq if it was one of these."""
        if self._staged != number:
            return None
        self._staged = None
        if record[:1] == AGE_RECORD:
            ageing = deletions.decode_ageing(record[1:])
            self._open, self._is_aged = OpenRow(deletions.FORMAT, number, ageing), False
            return ageing.seq
        deletion = deletions.decode_deletion(record[1:])
        self._take_over(deletion)
        self._open = None
        deleted = Deleted(deletion.refusal, deletion.root)
        self._waiting[number] = [(request, deleted) for request in self._asking_open]
        self._asking_open = []
        return deletion.seq

    def phases(self, record: bytes) -> list[dict[int, Push]]:
        """Returns what shards have to be told of a record, with the rows as they are now."""
        if record[:1] == AGE_RECORD:
            ageing = deletions.decode_ageing(record[1:])
            return [self._ages(ageing), *self._adoption(ageing)]
        deletion = deletions.decode_deletion(record[1:])
        phase: dict[int, Push] = {}
        if deletion.refusal:
            return [phase]
        working = Working(self.view)
        bound = journal.find_member(working, deletion.member)
        assert bound is not None, "what was deleted was linked"
        root, shard_of = bound.root, self.shard_map.shard_of
        row = journal.read_profile(working, root)
        push_to(phase, shard_of(root)).profiles.append(profile_push(root, row))
        key = deletion.command.key
        following = incarnation_of(deletion.member) + 1
        push_to(phase, shard_of(key)).names.append(NamePush(key, following))
        return [phase]

    def _ages(self, ageing: Ageing) -> dict[int, Push]:
        working = Working(self.view)
        bound = journal.find_member(working, ageing.root)
        assert bound is not None, "a profile that ages is linked"
        profile = journal.read_profile(working, bound.root)
        shard_of = self.shard_map.shard_of
        phase: dict[int, Push] = {}
        for member, *_ in profile.members:
            row = journal.find_member(working, member)
            assert row is not None, "a profile lists a member without a row"
            age = AgePush(member, profile.space, profile.collection, row.link_epoch)
            push_to(phase, shard_of(member)).ages.append(age)
        return phase

    def _adoption(self, ageing: Ageing) -> Iterator[dict[int, Push]]:
        """Yields what makes a profile that was taken over visible: targets before pointers.

        After a restart it may have been merged into another, whose home knows nothing of it yet.
        """
        if ageing.adopted is None:
            return
        working, shard_of = Working(self.view), self.shard_map.shard_of
        row = journal.find_member(working, ageing.root)
        assert row is not None, "a profile that ages is linked"
        profile = journal.read_profile(working, row.root)
        first: dict[int, Push] = {}
        push_to(first, shard_of(row.root)).profiles.append(profile_push(row.root, profile))
        is_home = shard_of(ageing.root) == shard_of(row.root)
        second = first if is_home else dict[int, Push]()
        binding = binding_push(ageing.root, row, profile)
        push_to(second, shard_of(ageing.root)).bindings.append(binding)
        yield from [first] if is_home else [first, second]

    def landed(self, record: int, flights: Collection[int]) -> Iterator[Message]:
        """Takes note that every shard has what a record said; `flights` are those still under way.

        Who waits for a deletion waits for all records before it too: while a merge is on its way
        some members still lead to a list that shows what was deleted from the one it went into.
        Of a record that a restart pushed again that holds for all it pushed, later ones too: the
        rows are those of now, and a list that a merge has ended since is not told anything more.
        """
        if self._open is not None and self._open.record == record:
            self._is_aged = True
        for number in sorted(self._waiting):
            if not self._awaits(number, flights):
                for request, deleted in self._waiting.pop(number):
                    yield DeleteAnswer(request, deleted)

    def _awaits(self, record: int, flights: Collection[int]) -> bool:
        """Whether a record, or one that it does not show without, is not with every shard yet."""
        last = max(record, self._recovered)
        return any(number <= last for number in flights)

    def _take_over(self, deletion: Deletion) -> None:
        if not deletion.refusal:
            following = incarnation_of(deletion.member) + 1
            self.incarnations[deletion.command.key] = following


def _is_same(one: DeleteCommand, other: DeleteCommand) -> bool:
    """Whether two commands ask for the same; what was looked up may differ."""
    return (one.space, one.collection, one.named, one.key) == (
        other.space,
        other.collection,
        other.named,
        other.key,
    )
