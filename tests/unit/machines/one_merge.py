"""One merge machine over a store in memory; the test plays the shards."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from tests.unit.machines.frames import SHARD_MAP, SPACE, key, member
from unify_grpc.machines import journal
from unify_grpc.machines.links import Decided, LookedUp, Push, Void, decoder
from unify_grpc.machines.merge_machine import MergeMachine
from unify_grpc.machines.merge_messages import Answer, AskRules, LookUp, Message, SendPush
from unify_grpc.storage.memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from unify_grpc.machines.journal import Decision as LinkDecision
    from unify_grpc.machines.links import Founding, PendingLink
    from unify_grpc.machines.tables import Decision

UNLIMITED = {"identifiers": [{"type": "user_id", "limit": None}], "others": {"limit": None}}
_PUSH = decoder(Push)


class OneMerge:
    """A merge machine whose decisions are durable at once, and whose messages are kept."""

    def __init__(self, store: MemoryStore | None = None, rules: Any = UNLIMITED) -> None:
        self.store = store or MemoryStore()
        self.machine = MergeMachine(self.store, SHARD_MAP)
        self.sent: list[Message] = []
        """Messages the test has not taken yet, in the order they were sent."""
        if store is None:
            self.adopt(rules)
            return
        self.machine.load()
        for number, record in store.tail():
            store.publish(self.machine.replay(number, record), number)
        self.sent = self.machine.recover(store.next_number - 1)

    def execute(self, decision: Decision[Message, None]) -> None:
        """Makes a decision durable, and what follows from it."""
        self.sent.extend(decision.messages)
        while decision.record is not None:
            number = self.store.append(decision.record)
            self.store.publish(decision.changes, number)
            self.sent.extend(self.machine.committed(decision, number))
            decision = self.machine.go_on(self.store.next_number)
            self.sent.extend(decision.messages)

    def link(self, *links: PendingLink, request: int | None = 1) -> None:
        """Hands links over."""
        self.execute(self.machine.link(request, links, self.store.next_number))

    def adopt(self, rules: Any, version: int = 1) -> None:
        """Answers a request for rules."""
        document = msgspec.json.encode(rules)
        self.execute(self.machine.adopt_rules(SPACE, version, document, self.store.next_number))

    def take(self, kind: type[Any]) -> list[Any]:
        """Takes the messages of one kind out of those sent."""
        taken = [each for each in self.sent if isinstance(each, kind)]
        self.sent = [each for each in self.sent if not isinstance(each, kind)]
        return taken

    def answer_look_ups(self, foundings: dict[str, Founding] | None = None) -> None:
        """Answers every look-up: first incarnations, founded as given."""
        known = {key(name): founding for name, founding in (foundings or {}).items()}
        for asked in self.take(LookUp):
            found = [LookedUp(0, known.get(each)) for each in asked.keys]
            self.execute(
                self.machine.looked_up(asked.round, asked.shard, found, self.store.next_number)
            )

    def acknowledge(self, push: SendPush, voids: Iterable[Void] = ()) -> None:
        """Acks a push."""
        self.execute(
            self.machine.pushed(push.shard, push.number, list(voids), self.store.next_number)
        )

    def finish(
        self,
        foundings: dict[str, Founding] | None = None,
        *,
        watch: Callable[[SendPush], None] = lambda _: None,
    ) -> list[Decided]:
        """Answers everything until nothing is sent any more; returns all answers to callers."""
        answers: list[Decided] = []
        while self.sent:
            self.answer_look_ups(foundings)
            for push in self.take(SendPush):
                watch(push)
                self.acknowledge(push)
            answers.extend(each for answer in self.take(Answer) for each in answer.decided)
            assert not any(isinstance(each, AskRules) for each in self.sent), "rules are asked for"
        return answers

    def decide(
        self, *links: PendingLink, foundings: dict[str, Founding] | None = None
    ) -> list[Decided]:
        """Hands links over and sees them through; returns their answers."""
        self.link(*links)
        return self.finish(foundings)

    def restarted(self) -> OneMerge:
        """Returns the machine as it comes up after a crash."""
        return OneMerge(self.store.crashed())

    def decisions(self) -> list[LinkDecision]:
        """Returns every decision of the journal."""
        return [
            decision
            for number in range(1, self.store.next_number)
            if self.store.record(number)[:1] == b"D"
            for decision in journal.decode_round(self.store.record(number)[1:]).decisions
        ]

    def profile(self, name: str) -> journal.ProfileRow:
        """Returns the row of an identifier's profile."""
        bound = self.store.get(journal.MEMBER + member(name))
        assert bound is not None, f"{name} is not linked"
        row = self.store.get(journal.PROFILE + journal.decode_member(bound).root)
        assert row is not None
        return journal.decode_profile(row)

    def is_linked(self, name: str) -> bool:
        """Says whether a link ever kept an identifier."""
        return self.store.get(journal.MEMBER + member(name)) is not None


def rows_of(push: SendPush) -> Push:
    """Returns what a push carries."""
    return _PUSH.decode(push.push)
