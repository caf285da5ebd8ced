"""Deliberate bugs in how backups are cut."""

from __future__ import annotations

from tests.simulation.mutant import Mutant
from tests.simulation.world import Parts
from unify_grpc.machines.backup_part import BackupPart, Effect
from unify_grpc.machines.backup_records import HELD, RELEASED


class EndsHoldsQuietly(BackupPart):
    """Says that it held still although its hold had ended by itself."""

    def expire(self, now_s: float) -> Effect | None:
        """Lets the writer go on, and keeps what it cut."""
        if self.state == HELD and self.deadline_s is not None and now_s >= self.deadline_s:
            self.state, self.deadline_s = RELEASED, now_s + self._lease_s
            return Effect.LET_GO
        return super().expire(now_s)


BACKUP_MUTANTS = (
    Mutant(
        name="backup_without_barrier",
        breaks="all stores of a backup show one instant",
        seed=6,
        parts=Parts(backups_hold=False),
    ),
    Mutant(
        name="hold_ended_quietly",
        breaks="a writer that went on before its release makes no backup",
        seed=21,
        parts=Parts(backup_part=EndsHoldsQuietly),
    ),
)
