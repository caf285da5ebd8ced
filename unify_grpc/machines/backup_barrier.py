"""A backup's coordinator: has all parts hold still at once, then copy, or leaves nothing behind.

1. Control's part is reserved for this backup, which keeps every other one out.
2. All parts are asked to hold still. When each has said that it does, all are asked to go on, and
   each has to confirm that it had held still until then. So there was an instant at which nothing
   was being committed anywhere: that is what the copies show.
3. Each part copies what it kept, beside its work.
4. All copies are taken over; only then is the backup described in a file, which makes it one.

Whatever fails, or is not answered in time, ends the backup at all parts. One that hears nothing
any more, because the coordinator is gone, ends it by itself (`backup_part.py`).
"""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING, NamedTuple

from unify_grpc.machines.backup_records import (
    BUSY,
    COPIED,
    COPYING,
    FAILED,
    FULL,
    HELD,
    KEPT,
    RELEASED,
    RESERVED,
    Copy,
    End,
    Hold,
    Keep,
    Look,
    Release,
    Reserve,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from unify_grpc.machines.backup_records import (
        AnyBackupCommand,
        CopiedFile,
        PartReply,
        StoreFacts,
    )


class Phase(Enum):
    """How far a backup is."""

    RESERVING = auto()
    RESERVED = auto()
    """Nobody else makes one now; `hold` begins."""
    HOLDING = auto()
    RELEASING = auto()
    COPYING = auto()
    KEEPING = auto()
    ENDING = auto()
    """It failed, and the parts are told."""
    DONE = auto()
    GIVEN_UP = auto()


class Cause(Enum):
    """Why a backup failed."""

    RUNNING = auto()
    """Another one is being made."""
    UNAVAILABLE = auto()
    """A part did not answer in time, or started anew in between."""
    FULL = auto()
    """There is not enough room."""
    FAILED = auto()
    """A part could not write its copy."""
    STOPPED = auto()
    """Whoever wanted it does not any more."""


class Failure(NamedTuple):
    """Why a backup failed, and where."""

    cause: Cause
    part: str
    detail: str = ""


class Ask(NamedTuple):
    """A command on its way to a part."""

    part: str
    command: AnyBackupCommand


class BackupBarrier:
    """Coordinates one attempt at a backup. Answers may come twice, late or never."""

    def __init__(self, backup: str, parts: Sequence[str], directory: str) -> None:
        """Takes what is to be made.

        Args:
            backup: names this attempt and no other.
            parts: all of the deployment; the first keeps other backups out.
            directory: of the attempt, absolute.
        """
        self.phase = Phase.RESERVING
        self.failure: Failure | None = None
        self.facts: StoreFacts | None = None
        """What all stores say of themselves, once all hold still."""
        self._backup = backup
        self._parts = list(parts)
        self._directory = directory
        self._room_bytes = 0
        self._asked: dict[str, AnyBackupCommand] = {}
        """By part, what it has not answered yet."""
        self._held: dict[str, PartReply] = {}
        self._copied: dict[str, PartReply] = {}

    @property
    def is_over(self) -> bool:
        """Whether nothing more is to be asked."""
        return self.phase in {Phase.DONE, Phase.GIVEN_UP}

    @property
    def asked(self) -> list[Ask]:
        """What is not answered yet; to be sent again where it may be lost."""
        return [Ask(part, command) for part, command in self._asked.items()]

    @property
    def files(self) -> tuple[CopiedFile, ...]:
        """All files, in the order of the parts."""
        return tuple(
            file
            for part in self._parts
            if part in self._copied
            for file in self._copied[part].files
        )

    def begin(self) -> list[Ask]:
        """Returns what to ask first."""
        return self._ask([self._parts[0]], lambda _: Reserve(self._backup))

    def hold(self, room_bytes: int) -> list[Ask]:
        """Returns what to ask when this is the only backup, and there is so much room for it."""
        if self.phase is not Phase.RESERVED:
            return []
        self.phase, self._room_bytes = Phase.HOLDING, room_bytes
        return self._ask(self._parts, lambda _: Hold(self._backup))

    def answered(self, ask: Ask, reply: PartReply) -> list[Ask]:
        """Takes an answer; returns what to ask now. One that comes again changes nothing."""
        if self._asked.get(ask.part) != ask.command:
            return []
        del self._asked[ask.part]
        if self.phase is Phase.ENDING:
            return self._go_on()
        failure = self._failure_in(ask, reply)
        if failure is not None:
            return self._fail(failure)
        if isinstance(ask.command, Hold):
            self._held[ask.part] = reply
        elif reply.state == COPYING:
            return self._ask([ask.part], lambda part: Look(self._backup, self._life(part)))
        elif reply.state == COPIED:
            self._copied[ask.part] = reply
        return self._go_on()

    def unanswered(self, ask: Ask) -> list[Ask]:
        """Takes that there is no answer in time; returns what to ask now."""
        if self._asked.get(ask.part) != ask.command:
            return []
        del self._asked[ask.part]
        if self.phase is Phase.ENDING:
            return self._go_on()
        return self._fail(Failure(Cause.UNAVAILABLE, ask.part))

    def stop(self) -> list[Ask]:
        """Gives up; returns what to ask now."""
        if self.is_over or self.phase is Phase.ENDING:
            return []
        return self._fail(Failure(Cause.STOPPED, ""))

    def _failure_in(self, ask: Ask, reply: PartReply) -> Failure | None:
        """Returns what makes an answer one that ends the backup."""
        if reply.state == BUSY:
            return Failure(Cause.RUNNING, ask.part)
        if reply.state == FULL:
            return Failure(Cause.FULL, ask.part)
        if reply.state == FAILED:
            return Failure(Cause.FAILED, ask.part, reply.failure)
        if reply.state == COPIED and not reply.files:
            return Failure(Cause.FAILED, ask.part, "its copy names no files")
        expected = {
            Reserve: {RESERVED},
            Hold: {HELD},
            Release: {RELEASED},
            Copy: {COPYING, COPIED},
            Look: {COPYING, COPIED},
            Keep: {KEPT},
        }
        if reply.state not in expected[type(ask.command)]:
            return Failure(Cause.UNAVAILABLE, ask.part)
        return None

    def _go_on(self) -> list[Ask]:
        """Begins the next phase when all of this one is answered."""
        if self._asked:
            return []
        match self.phase:
            case Phase.RESERVING:
                self.phase = Phase.RESERVED
            case Phase.HOLDING:
                return self._release()
            case Phase.RELEASING:
                self.phase = Phase.COPYING
                return self._ask(
                    self._parts,
                    lambda part: Copy(self._backup, self._life(part), self._directory),
                )
            case Phase.COPYING:
                self.phase = Phase.KEEPING
                return self._ask(self._parts, lambda part: Keep(self._backup, self._life(part)))
            case Phase.KEEPING:
                self.phase = Phase.DONE
            case _:
                self.phase = Phase.GIVEN_UP
        return []

    def _release(self) -> list[Ask]:
        """Lets all go on: they hold still now, if each can still say so when it hears this."""
        facts = {reply.facts for reply in self._held.values()}
        if len(facts) != 1:
            return self._fail(Failure(Cause.FAILED, "", "the stores are of several deployments"))
        if sum(reply.size_bytes for reply in self._held.values()) > self._room_bytes:
            return self._fail(Failure(Cause.FULL, ""))
        self.facts = facts.pop()
        self.phase = Phase.RELEASING
        return self._ask(self._parts, lambda part: Release(self._backup, self._life(part)))

    def _fail(self, failure: Failure) -> list[Ask]:
        self.phase, self.failure = Phase.ENDING, failure
        self._asked.clear()
        return self._ask(self._parts, lambda _: End(self._backup))

    def _life(self, part: str) -> int:
        return self._held[part].life

    def _ask(self, parts: Sequence[str], command: Callable[[str], AnyBackupCommand]) -> list[Ask]:
        asks = [Ask(part, command(part)) for part in parts]
        self._asked.update(asks)
        return asks
