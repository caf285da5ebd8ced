"""All that was ever run in a checkout: an episode a line, written as a whole or not at all.

An episode that did not come to its end is not in it, and counts for nothing.
"""

from __future__ import annotations

import fcntl
from collections import Counter, defaultdict
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import msgspec

from tests.chaos.kills import Target
from tests.simulation.versions import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

STATE: Final = ROOT / ".chaos" / "kills"
FIRST_FRESH: Final = 1_000_000
"""Lower seeds are run by the suite, and by hand."""


class Ran(msgspec.Struct, frozen=True, kw_only=True):
    """An episode that was run, as it is written down."""

    seed: int
    commit: str
    """Of the checkout; with a + if code of the service was changed since."""
    sources: str
    """Names the sources of the service."""
    killed: list[str]
    recoveries_s: dict[str, list[float]]
    counts: dict[str, int]
    findings: list[str]
    took_s: float


class Journal:
    """The episodes of a checkout."""

    def __init__(self, state: Path) -> None:
        self._path = state / "episodes.jsonl"
        self.ran: list[Ran] = []
        data = self._path.read_bytes() if self._path.exists() else b""
        for line in data.splitlines(keepends=True):
            # The last may be torn; what it told of counts for nothing.
            if line.endswith(b"\n"):
                self.ran.append(msgspec.json.decode(line, type=Ran))

    def add(self, ran: Ran) -> None:
        """Writes down that an episode was run."""
        self.ran.append(ran)
        lines = b"".join(msgspec.json.encode(each) + b"\n" for each in self.ran)
        temporary = self._path.with_suffix(".new")
        temporary.write_bytes(lines)
        temporary.rename(self._path)

    @property
    def kills_count(self) -> int:
        """How many kills there were in all."""
        return sum(len(each.killed) for each in self.ran)

    def next_seed(self) -> int:
        """Returns a seed that was never run."""
        return max((FIRST_FRESH - 1, *(each.seed for each in self.ran))) + 1


@contextmanager
def alone(state: Path) -> Iterator[Journal]:
    """Holds the journal of a checkout; `BlockingIOError` if somebody does already."""
    state.mkdir(parents=True, exist_ok=True)
    with (state / "lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield Journal(state)


def report(ran: list[Ran]) -> str:
    """Returns what was run as lines for a README."""
    if not ran:
        return "no kills were run in this checkout"
    lines = ["| killed | times | of these as it started | until all were answered, median, worst |"]
    lines.append("| --- | --- | --- | --- |")
    killed = Counter(each for episode in ran for each in episode.killed)
    recoveries_s = defaultdict[str, list[float]](list)
    for episode in ran:
        for name, took_s in episode.recoveries_s.items():
            recoveries_s[name] += took_s
    for name in map(str, Target):
        started = killed[as_it_starts(name)]
        took_s = sorted(recoveries_s[name])
        times = f"{took_s[len(took_s) // 2]:.1f} s, {took_s[-1]:.1f} s" if took_s else ""
        lines.append(f"| {name} | {killed[name] + started} | {started} | {times} |")
    counts = Counter[str]()
    for episode in ran:
        counts.update(episode.counts)
    commits = Counter[str]()
    for episode in ran:
        commits[episode.commit] += len(episode.killed)
    violations = sum(bool(each.findings) for each in ran)
    hours = sum(each.took_s for each in ran) / 3600
    lines += [
        "",
        f"{killed.total()} kills in {len(ran)} episodes, {hours:.1f} h.",
        f"Episodes with a broken promise: {violations}.",
        "Ledgers: " + ", ".join(f"{count} {what}" for what, count in counts.items()) + ".",
        "Commits: " + ", ".join(f"{commit} {count}" for commit, count in commits.items()) + ".",
    ]
    return "\n".join(lines)


def as_it_starts(target: str) -> str:
    """Returns what a kill is written down as that met a part which was starting."""
    return f"{target} as it starts"
