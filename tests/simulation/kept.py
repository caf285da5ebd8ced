"""Schedules in files: what is left of one that failed, to be run again on later versions.

A seed stands for another schedule as soon as anything draws otherwise. What is kept here is the
plan, the events and every choice, each known by the line that made it, so it goes on meaning the
same for as long as those lines and the fields of plans are there.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from tests.simulation.minimising import Case, Run, kind_of, run_case
from tests.simulation.plan import Plan
from tests.simulation.tape import Recording

if TYPE_CHECKING:
    from tests.simulation.minimising import Minimised, Supply


SEEDS = Path(__file__).with_name("seeds.txt")


def failed_once() -> list[int]:
    """Returns the seeds that failed before something was mended; all tests run them since."""
    lines = SEEDS.read_text().splitlines()
    return [int(line.split()[0]) for line in lines if line and not line.startswith("#")]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptSchedule:
    """A schedule that failed once."""

    violation: str
    """What it broke, without names and numbers."""
    commit: str
    """On which it failed."""
    plan: Plan
    events: list[tuple[int, int, int]]
    recording: Recording

    def run(self, parts: Supply = None) -> Run:
        """Runs it on the code that is there now."""
        return run_case(Case(self.plan, tuple(self.events), self.recording), parts)


def pack(found: Minimised, commit: str) -> bytes:
    """Writes a schedule down."""
    case = found.case
    kept = KeptSchedule(
        violation=kind_of(found.run.error),
        commit=commit,
        plan=case.plan,
        events=list(case.events),
        recording=case.recording,
    )
    return msgspec.json.encode(kept) + b"\n"


def load(path: Path) -> KeptSchedule:
    """Reads a schedule; `ValueError` if plans have other fields by now."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=KeptSchedule)
    except msgspec.ValidationError as error:
        message = f"{path.name} was kept by a version with other plans: {error}"
        raise ValueError(message) from error
