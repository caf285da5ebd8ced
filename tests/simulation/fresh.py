"""Counted runs on fresh seeds, which go on where they were interrupted.

What was run is written down chunk by chunk, in a file that is only ever appended to; a run that
ends in any way loses the chunks under way, and the next one runs their seeds. A seed counts once.
"""

from __future__ import annotations

import fcntl
import sys
from collections import defaultdict
from contextlib import contextmanager
from dataclasses import dataclass, field
from signal import SIGINT, SIGTERM, signal
from time import monotonic
from typing import TYPE_CHECKING

import msgspec

from tests.simulation import versions
from tests.simulation.kept import failed_once
from tests.simulation.workers import Chunk, Done, Failure, started

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.simulation.versions import Version

STATE = versions.ROOT / ".chaos" / "simulation"
FIRST_FRESH = 1_000_000
"""Lower seeds are run by the suite, and looked through for mutants."""
CHUNK_SEEDS = 50
VIOLATIONS_MAX = 20
"""Of one run; then something is broken that no further seed tells more of."""
SIMULATED, ON_LMDB = "simulated", "lmdb"


class Ran(msgspec.Struct, frozen=True, kw_only=True):
    """A chunk that was run, as it is written down."""

    first: int
    count: int
    stores: str
    commit: str
    protocol: str
    around: str
    failed: list[int]
    cpu_s: float


@dataclass(slots=True)
class Total:
    """What was run on one version of the protocol."""

    schedules: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    """By stores."""
    commits: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    """Schedules by commit."""
    violations: int = 0
    open: int = 0
    """Of these; the seeds of the others are run with the tests since what they showed is mended."""
    cpu_s: float = 0


class Journal:
    """All that was ever run in a checkout."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.path = state / "chunks.jsonl"
        self.ran: list[Ran] = []
        if self.path.exists():
            for line in self.path.read_bytes().splitlines(keepends=True):
                # The last may be torn; what it told of is run again.
                if line.endswith(b"\n"):
                    self.ran.append(msgspec.json.decode(line, type=Ran))

    def add(self, ran: Ran) -> None:
        """Writes down that a chunk was run."""
        self.ran.append(ran)
        with self.path.open("ab") as file:
            file.write(msgspec.json.encode(ran) + b"\n")

    def mend(self) -> None:
        """Takes a torn last line away; for who writes."""
        if self.path.exists():
            data = self.path.read_bytes()
            if not data.endswith(b"\n"):
                self.path.write_bytes(data[: data.rfind(b"\n") + 1])

    def totals(self) -> dict[str, Total]:
        """Returns what was run, by version of the protocol, the latest last."""
        found: dict[str, Total] = {}
        mended = frozenset(failed_once())
        for ran in self.ran:
            total = found.pop(ran.protocol, None) or Total()
            found[ran.protocol] = total
            total.schedules[ran.stores] += ran.count
            total.commits[ran.commit] += ran.count
            total.violations += len(ran.failed)
            total.open += len(set(ran.failed) - mended)
            total.cpu_s += ran.cpu_s
        return found

    def count(self) -> int:
        """Returns how many schedules were run in all."""
        return sum(ran.count for ran in self.ran)

    def fresh(self, stores: str, chunk: int) -> Iterator[Chunk]:
        """Yields seeds that were never run, the lowest first."""
        at = FIRST_FRESH
        taken = sorted((ran.first, ran.count) for ran in self.ran if ran.stores == stores)
        for first, count in taken:
            while at < first:
                yield Chunk(at, min(chunk, first - at))
                at += min(chunk, first - at)
            at = max(at, first + count)
        while True:
            yield Chunk(at, chunk)
            at += chunk


@contextmanager
def alone(state: Path) -> Iterator[Journal]:
    """Holds the journal of a checkout; `BlockingIOError` if somebody does already."""
    state.mkdir(parents=True, exist_ok=True)
    with (state / "lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        journal = Journal(state)
        journal.mend()
        yield journal


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What a run is asked for."""

    state: Path = STATE
    stores: str = SIMULATED
    minutes: float | None = None
    until: int | None = None
    """Schedules in all, earlier runs included."""
    workers: int = 2
    chunk: int = CHUNK_SEEDS


class _Ending:
    """Whether the run is to end, because of its bounds or of a signal."""

    def __init__(self, ask: Ask, journal: Journal) -> None:
        self.ask = ask
        self.journal = journal
        self.ends_at = None if ask.minutes is None else monotonic() + 60 * ask.minutes
        self.is_interrupted = False
        self.violations = 0
        self.under_way = 0

    def interrupt(self, *_: object) -> None:
        """Takes a signal: what was begun comes to its end; a second signal ends at once."""
        if self.is_interrupted:
            raise KeyboardInterrupt
        self.is_interrupted = True

    def chunks(self, fresh: Iterator[Chunk]) -> Iterator[Chunk]:
        """Yields fresh seeds for as long as more are wanted."""
        for chunk in fresh:
            late = self.ends_at is not None and monotonic() >= self.ends_at
            if late or self.is_interrupted or self.violations >= VIOLATIONS_MAX:
                return
            if self.ask.until is not None:
                count = min(chunk.count, self.ask.until - self.journal.count() - self.under_way)
                if count <= 0:
                    return
            else:
                count = chunk.count
            self.under_way += count
            yield Chunk(chunk.first, count)

    def done(self, done: Done) -> None:
        """Counts a chunk that is run."""
        self.under_way -= done.count
        self.violations += len(done.failures)


def run_fresh(ask: Ask) -> int:
    """Runs fresh seeds until told to end; returns 1 if a promise was broken."""
    with alone(ask.state) as journal:
        version, began = versions.present(), monotonic()
        ending = _Ending(ask, journal)
        before = {which: signal(which, ending.interrupt) for which in (SIGINT, SIGTERM)}
        try:
            arguments = ["--commit", version.commit]
            arguments += ["--lmdb"] if ask.stores == ON_LMDB else []
            count = 0
            with started(ask.workers, arguments) as pool:
                for done in pool.run(ending.chunks(journal.fresh(ask.stores, ask.chunk))):
                    note(journal, version, ask.stores, done)
                    ending.done(done)
                    count += done.count
        finally:
            for which, handler in before.items():
                signal(which, handler)
        took_s = monotonic() - began
        _say(f"{count} fresh schedules in {took_s:.0f} s, {ending.violations} violations")
        _say(*report(ask.state))
    return 1 if ending.violations else 0


def report(state: Path = STATE) -> list[str]:
    """Returns what was run so far, as lines of a table."""
    journal, present = Journal(state), versions.present()
    lines = [
        "| protocol | schedules | over LMDB | core hours | violations | open |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for protocol, total in journal.totals().items():
        changed = versions.last_change(protocol)
        name = f"`{changed}`" if changed else f"{protocol}, on {' '.join(total.commits)}"
        name += ", present" if protocol == present.protocol else ""
        counts = [sum(total.schedules.values()), total.schedules.get(ON_LMDB, 0)]
        told = " | ".join(f"{each:,}" for each in counts)
        broken = f"{total.violations} | {total.open}"
        lines.append(f"| {name} | {told} | {total.cpu_s / 3600:.1f} | {broken} |")
    now = journal.totals().get(present.protocol, Total())
    lines.append(
        f"{journal.count():,} schedules on fresh seeds in all, {sum(now.schedules.values()):,} of "
        f"them on the present protocol: {now.violations} violations there, {now.open} of them open."
    )
    return lines


def note(journal: Journal, version: Version, stores: str, done: Done) -> None:
    """Writes down what became of a chunk, its failures first: they must not get lost."""
    for failure in done.failures:
        _keep(journal.state, version, failure)
    journal.add(
        Ran(
            first=done.first,
            count=done.count,
            stores=stores,
            **version._asdict(),
            failed=[failure.seed for failure in done.failures],
            cpu_s=done.cpu_s,
        )
    )


def _keep(state: Path, version: Version, failure: Failure) -> None:
    """Writes a failure down, and says how it is kept for ever."""
    folder = state / "failures"
    folder.mkdir(exist_ok=True)
    with (folder / "seeds.txt").open("a") as file:
        file.write(f"{failure.seed}  {version.commit}  {failure.violation}\n")
    (folder / f"{failure.seed}.txt").write_text(failure.text + "\n")
    _say(failure.text)
    if failure.kept:
        kept = folder / f"{failure.seed}.json"
        kept.write_text(failure.kept)
        _say(f"run it again with: python -m tests.simulation --replay {kept}")
        _say("keep it by copying that file to tests/simulation/kept/, under a name that says what")


def _say(*lines: str) -> None:
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.flush()
