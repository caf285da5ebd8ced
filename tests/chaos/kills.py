"""What is killed and when: a list that follows from a seed alone."""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import StrEnum


class Target(StrEnum):
    """A part of the service, or all of it."""

    SHARD = "shard"
    MERGE = "merge actor"
    CONTROL = "control"
    GATEWAY = "gateway"
    """One that has a process of its own."""
    SERVICE = "serving process"
    """The process that was started, which is the first gateway too, alone."""
    RAYLET = "raylet"
    GCS = "gcs"
    EVERYTHING = "everything"


FATAL = (Target.SERVICE, Target.RAYLET, Target.GCS, Target.EVERYTHING)
"""What ends the service, so that whoever looks after it starts it again. It repairs the others."""
ENDS_ITSELF = (Target.RAYLET, Target.GCS)

_WEIGHTS = {
    Target.SHARD: 5,
    Target.MERGE: 4,
    Target.CONTROL: 2,
    Target.GATEWAY: 3,
    Target.SERVICE: 1.5,
    Target.RAYLET: 1.5,
    Target.GCS: 1.5,
    Target.EVERYTHING: 2,
}
LAST = 0.999
"""As a choice: the last one."""
_DELAY_S_MAX = 1.5
_START_DELAY_S_MAX = 0.6
"""Of an actor or gateway, from the moment its process is there."""
_SERVICE_START_DELAY_S_MAX = 6.0
_HASTY_CHANCE = 0.25
_START_CHANCE = 0.25


@dataclass(frozen=True, kw_only=True)
class Kill:
    """One kill, and perhaps a second one of whatever comes in its place."""

    number: int
    target: Target
    delay_s: float
    """From the moment the service has recovered from the one before; if hasty, from that one."""
    is_hasty: bool
    """Whether it comes without waiting for that recovery."""
    start_delay_s: float | None
    """After how much of its start what comes in its place is killed as well; None: it is not."""
    choice: float
    """From 0 to 1: which one, where there are several."""

    def __str__(self) -> str:
        hasty = ", hasty" if self.is_hasty else ""
        start = "" if self.start_delay_s is None else f", start cut at {self.start_delay_s:.2f} s"
        return f"{self.number}: {self.target} after {self.delay_s:.2f} s{hasty}{start}"


def plan(seed: int, count: int) -> list[Kill]:
    """Returns kills: of each target twice if there is room, the others by chance."""
    source = random.Random(seed)
    targets = list(Target)
    chosen = targets * min(2, count // len(targets))
    weights = [_WEIGHTS[each] for each in targets]
    chosen += source.choices(targets, weights, k=count - len(chosen))
    source.shuffle(chosen)
    return [_kill(source, number, target) for number, target in enumerate(chosen)]


def _kill(source: random.Random, number: int, target: Target) -> Kill:
    longest_s = _SERVICE_START_DELAY_S_MAX if target in FATAL else _START_DELAY_S_MAX
    start_delay_s = source.uniform(0, longest_s)
    return Kill(
        number=number,
        target=target,
        delay_s=source.uniform(0, _DELAY_S_MAX),
        is_hasty=source.random() < _HASTY_CHANCE,
        start_delay_s=start_delay_s if source.random() < _START_CHANCE else None,
        choice=source.random(),
    )
