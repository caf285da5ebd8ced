"""Finds the processes of a service under test, and kills those and no others."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import NamedTuple

from tests.chaos.kills import Target
from tests.integration.service import descendants, title_of

_ACTORS = {
    Target.SHARD: "ray::ShardActor",
    Target.MERGE: "ray::MergeActor",
    Target.CONTROL: "ray::ControlActor",
}
_PROGRAMS = {Target.RAYLET: "raylet", Target.GCS: "gcs_server"}
_GATEWAY = "actors.gateway_process"


class Victim(NamedTuple):
    """A process, told apart from a later one of the same number."""

    number: int
    born: int
    """In the system's ticks since its start."""

    @property
    def is_alive(self) -> bool:
        """Whether it runs still, and is not only waiting to be reaped."""
        return _state(self.number) == (self.born, False)

    def kill(self) -> bool:
        """Kills it with SIGKILL, unless it has ended; returns whether it was there."""
        if not self.is_alive:
            return False
        try:
            os.kill(self.number, signal.SIGKILL)
        except ProcessLookupError:
            return False
        return True


def tree_of(root: int) -> list[Victim]:
    """Returns a process and all that it started, directly or not."""
    found = [_victim(each) for each in (root, *sorted(descendants(root)))]
    return [each for each in found if each is not None]


def victims_of(root: int, target: Target) -> list[Victim]:
    """Returns the processes that a target stands for, below the process of a service."""
    tree = tree_of(root)
    if target is Target.EVERYTHING:
        return tree
    if target is Target.SERVICE:
        return tree[:1]
    return [each for each in tree[1:] if is_a(target, each)]


def is_a(target: Target, victim: Victim) -> bool:
    """Whether a process below a service is the target's, by its title or the name of its file."""
    if target in _ACTORS:
        return title_of(victim.number).startswith(_ACTORS[target])
    if target is Target.GATEWAY:
        return _GATEWAY in title_of(victim.number)
    return _program_of(victim.number) == _PROGRAMS[target]


def _victim(number: int) -> Victim | None:
    state = _state(number)
    return None if state is None else Victim(number, state[0])


def _state(number: int) -> tuple[int, bool] | None:
    """Returns when a process was born and whether it only waits to be reaped; None: it is gone."""
    try:
        rest = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return int(rest[19]), rest[0] in {"Z", "X"}


def _program_of(number: int) -> str:
    try:
        return Path(f"/proc/{number}/comm").read_text().strip()
    except OSError:
        return ""
