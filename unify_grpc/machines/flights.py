"""What the merge machine keeps in memory of links and rounds under way. Lost at a restart."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from unify_grpc.machines.links import Decided, PendingLink, Push
from unify_grpc.machines.merge_messages import Answer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from unify_grpc.machines.merge_messages import SendPush


@dataclass(slots=True)
class Request:
    """Links handed over together, and the answers that are in."""

    number: int | None
    """None: from a sweep, nobody waits."""
    links: list[PendingLink]
    answers: list[Decided | None] = field(default_factory=list)
    missing: int = 0

    def tell(self, index: int, answer: Decided) -> Iterator[Answer]:
        """Takes the answer to one link; the last one makes the answer to the request."""
        if self.answers[index] is None:
            self.answers[index] = answer
            self.missing -= 1
            if not self.missing and self.number is not None:
                yield Answer(self.number, [each for each in self.answers if each])


@dataclass(slots=True)
class Flight:
    """A durable round on its way to the shards."""

    record: int
    phases: list[dict[int, Push]]
    """Rows by shard, of each phase."""
    phase: int = 0
    awaited: set[int] = field(default_factory=set)
    """Shards whose ack of the present phase is missing."""
    visible: bool = False
    """Whether phases 1 and 2 are acked."""
    waiting: list[tuple[Request, int, Decided]] = field(default_factory=list)


@dataclass(slots=True)
class Outbox:
    """Rows queued for one shard; one push is under way at a time, later rows travel together."""

    queue: list[tuple[Flight, Push]] = field(default_factory=list)
    sent: list[Flight] = field(default_factory=list)
    message: SendPush | None = None


Told = tuple[Request, int, Decided, int]
"""Who is told, at which place of its links, what, and the record that it waits for."""
