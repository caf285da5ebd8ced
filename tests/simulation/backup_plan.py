"""What a seed says of backups: whether one is asked for, when, and what becomes of who asked."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.simulation.hardware_plan import HardwareFaults

SHARE = 0.25
"""Of the seeds in which a backup is asked for, where none of their processes live on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupPlan:
    """Somebody asks for backups until one is made, or has asked often enough."""

    first_step: int
    attempts: int
    pause_steps: int
    """Between an attempt that failed and the next."""
    hold_steps: int
    """How long a writer is held at most."""
    pace: float
    """Messages of a backup that get through in one step, on average."""
    slow: float
    """Chance that a message of a backup is held back."""
    repeat: float
    """Chance that one comes again."""
    vanish: float
    """Chance, per step, that the coordinator ends in the middle of one."""


def draw_backup(seed: int, hardware: HardwareFaults) -> BackupPlan | None:
    """Returns when a seed has backups made; from draws of its own, so that plans stay as they are.

    Of a process that lives on beside its successor only its own store knows that it is held: where
    there are such, no backup is asked for.
    """
    rng = Random(f"backup plan {seed}")
    if rng.random() >= SHARE or hardware.lives_on:
        return None
    return BackupPlan(
        first_step=rng.randrange(5, 450),
        attempts=rng.choice((2, 4, 8)),
        pause_steps=rng.choice((1, 20)),
        hold_steps=rng.choice((20, 40, 120)),
        pace=rng.choice((0.4, 0.8, 2)),
        slow=rng.choice((0, 0.2)),
        repeat=rng.choice((0, 0.3)),
        vanish=rng.choice((0, 0, 0.005)),
    )
