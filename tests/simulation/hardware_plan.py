"""What a seed says of the hardware: disks, power, processes that do not end, cables and clocks."""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random


@dataclass(frozen=True, slots=True, kw_only=True)
class HardwareFaults:
    """Chances of what goes wrong below the protocol; 0 is never."""

    has_disks: bool
    """Whether stores are the real ones on simulated disks; else they are in memory, and never fail.
    """
    write_fails: float
    """Per write transaction: no room, an error, or the process ends in it, at any of its steps."""
    fills_up: float
    """Per step: that a disk has no room for some time."""
    beside: float
    """That another thread of a store's process has a turn where it may."""
    power: float
    """Per step: that all machines, or one, lose their power."""
    all_end: float
    """Per step: that all processes end at once."""
    lives_on: float
    """That a process which seems to have ended goes on beside the one started in its place."""
    cut: float
    """Per step: that messages do not get from some nodes to others for some time."""
    clock_jump: float
    """Per step: that a gateway's clock jumps by a day."""
    checkpoint_bytes: int
    """Of rows, or of log, that start a checkpoint by themselves."""


SOUND = HardwareFaults(
    has_disks=False,
    write_fails=0,
    fills_up=0,
    beside=0,
    power=0,
    all_end=0,
    lives_on=0,
    cut=0,
    clock_jump=0,
    checkpoint_bytes=1 << 30,
)


def calmer(faults: HardwareFaults, part: int) -> HardwareFaults:
    """Returns faults of which those that come by themselves are rarer by a factor."""
    return replace(
        faults,
        fills_up=faults.fills_up / part,
        power=faults.power / part,
        all_end=faults.all_end / part,
        lives_on=faults.lives_on / part,
        cut=faults.cut / part,
    )


SHARE = 0.5
"""Of the seeds whose hardware is not sound."""


def draw_hardware(seed: int) -> HardwareFaults:
    """Returns the hardware of a seed; from draws of its own, so that plans stay as they are."""
    rng = Random(f"hardware {seed}")
    if rng.random() >= SHARE:
        return SOUND
    return HardwareFaults(
        has_disks=True,
        write_fails=rng.choice((0, 0.01, 0.05)),
        fills_up=rng.choice((0, 0, 0.003, 0.01)),
        beside=rng.choice((0, 0.1, 0.4)),
        power=rng.choice((0, 0.002, 0.006)),
        all_end=rng.choice((0, 0, 0.004)),
        lives_on=rng.choice((0, 0.5, 1)),
        cut=rng.choice((0, 0, 0.004, 0.01)),
        clock_jump=rng.choice((0, 0, 0, 0.01)),
        checkpoint_bytes=rng.choice((3_000, 12_000, 1 << 30)),
    )
