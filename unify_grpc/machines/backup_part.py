"""One store's side of a backup: what is asked of it, for how long, and what becomes of it.

The promise that makes copies fit together: a part that answers RELEASED has not committed anything
between its HELD and that answer. Nothing here waits for a coordinator for ever: a writer is held
for `hold_s` at most, and what was kept or copied is dropped when nobody asks for it for `lease_s`.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING, Final

from unify_grpc.machines.backup_records import (
    BUSY,
    COPIED,
    COPYING,
    FAILED,
    FULL,
    HELD,
    KEPT,
    OVER,
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
    from unify_grpc.machines.backup_records import AnyBackupCommand

HOLD_S: Final = 3.0
LEASE_S: Final = 10.0
ENDED_MAX: Final = 64
"""Backups that are remembered as ended, so that what comes late of them does nothing."""
_AFTER_RELEASE: Final = frozenset({RELEASED, COPYING, COPIED, FAILED, FULL})


class Effect(Enum):
    """What whoever drives the part has to do, before it answers."""

    CUT = auto()
    """Hold the writer and open what is durable; `cut_failed` if that cannot be."""
    LET_GO = auto()
    """Let the writer go on; what was opened stays open."""
    COPY = auto()
    """Begin to copy it; `copied` or `copy_failed` when that is done."""
    DROP = auto()
    """Let the writer go on, stop copying, close what was opened, remove what was written."""
    LEAVE = auto()
    """Forget what was written: it is somebody else's now."""


class BackupPart:
    """What a store knows of backups. One at a time; time comes with each call, in seconds."""

    def __init__(self, life: int, *, hold_s: float = HOLD_S, lease_s: float = LEASE_S) -> None:
        """Takes the number of this opening of the store, which no other has."""
        self.life = life
        self.backup = ""
        """The one under way; empty if there is none."""
        self.state = ""
        """Of that one, as it is answered."""
        self.deadline_s: float | None = None
        """When `expire` has something to do; None: never."""
        self.directory = ""
        """Where the copy goes."""
        self._hold_s = hold_s
        self._lease_s = lease_s
        self._ended: dict[str, str] = {}
        """Backups that have ended here, to how: KEPT or OVER; the newest last."""

    def take(self, command: AnyBackupCommand, now_s: float) -> tuple[str, Effect | None]:
        """Returns the state to answer with, and what is to be done first.

        A repetition does nothing and is answered with the present state.
        """
        if command.backup in self._ended:
            return self._ended[command.backup], None
        if isinstance(command, End):
            return OVER, self._end(command.backup, OVER)
        if self.backup not in {"", command.backup}:
            return BUSY, None
        if isinstance(command, Reserve | Hold):
            return self._begin(command, now_s)
        if not self.backup or command.life != self.life:
            return OVER, None
        return self._go_on(command, now_s)

    def cut_failed(self) -> None:
        """Says that the writer could not be held, or nothing be opened."""
        self._end(self.backup, OVER)

    def copied(self, backup: str) -> None:
        """Says that the copy is durable."""
        if self.backup == backup and self.state == COPYING:
            self.state = COPIED

    def copy_failed(self, backup: str, *, is_full: bool) -> None:
        """Says that the copy could not be written; nothing is left of it."""
        if self.backup == backup and self.state == COPYING:
            self.state = FULL if is_full else FAILED

    def expire(self, now_s: float) -> Effect | None:
        """Ends what nobody asked for in time."""
        if self.deadline_s is None or now_s < self.deadline_s:
            return None
        return self._end(self.backup, OVER)

    def _begin(self, command: Reserve | Hold, now_s: float) -> tuple[str, Effect | None]:
        if isinstance(command, Reserve) and not self.backup:
            self.backup, self.state = command.backup, RESERVED
            self.deadline_s = now_s + self._lease_s
        elif isinstance(command, Hold) and self.state in {"", RESERVED}:
            self.backup, self.state = command.backup, HELD
            self.deadline_s = now_s + self._hold_s
            return HELD, Effect.CUT
        return self.state, None

    def _go_on(
        self, command: Release | Copy | Look | Keep, now_s: float
    ) -> tuple[str, Effect | None]:
        """Takes a command about a hold of this life."""
        effect = None
        if self.state == HELD and isinstance(command, Release):
            self.state, effect = RELEASED, Effect.LET_GO
        elif self.state == RELEASED and isinstance(command, Copy):
            self.state, self.directory, effect = COPYING, command.directory, Effect.COPY
        elif self.state == COPIED and isinstance(command, Keep):
            self._end(self.backup, KEPT)
            return KEPT, Effect.LEAVE
        if self.state in _AFTER_RELEASE:
            self.deadline_s = now_s + self._lease_s
        return self.state, effect

    def _end(self, backup: str, how: str) -> Effect | None:
        """Ends a backup here, and remembers that; also one that is still to be heard of."""
        self._ended[backup] = how
        if len(self._ended) > ENDED_MAX:
            del self._ended[next(iter(self._ended))]
        if self.backup != backup:
            return None
        self.backup = self.state = self.directory = ""
        self.deadline_s = None
        return Effect.DROP
