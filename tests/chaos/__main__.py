"""Kills parts of a real service: `python -m tests.chaos --kills 50`.

Goes on where earlier runs of the checkout stopped: fresh seeds, and one count. An interrupt ends
the kills, not the checks; a second one ends at once, and what was under way counts for nothing.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path
from signal import SIGINT, SIGTERM, signal
from typing import TYPE_CHECKING, Final

from tests.chaos.episode import Episode
from tests.chaos.journal import STATE, Journal, Ran, alone, report
from tests.chaos.kills import plan
from tests.simulation.versions import name_of, present

if TYPE_CHECKING:
    from collections.abc import Iterator

EPISODE_KILLS: Final = 25
_SOURCES: Final = (
    "actors",
    *(f"unify_grpc/{each}" for each in ("identity", "machines", "placement", "service", "storage")),
)


def main() -> int:
    """Runs what is asked for; 1 if a promise was broken, 2 if another run is under way."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--kills", type=int, help="how many more; 50 if no time is given")
    parser.add_argument("--minutes", type=float, help="for how long")
    parser.add_argument("--seed", type=int, help="runs the episode of a seed, and counts nothing")
    parser.add_argument("--report", action="store_true", help="prints what was ever run")
    arguments = parser.parse_args()
    if arguments.report:
        _say(report(Journal(STATE).ran))
        return 0
    chaos = _Chaos()
    for number in (SIGINT, SIGTERM):
        signal(number, chaos.interrupt)
    if arguments.seed is not None:
        ran = chaos.run(arguments.seed, arguments.kills or EPISODE_KILLS)
        return 1 if ran.findings else 0
    try:
        with alone(STATE) as journal:
            return _run_fresh(chaos, journal, arguments.kills, arguments.minutes)
    except BlockingIOError:
        _say("another run in this checkout is under way")
        return 2


def _run_fresh(chaos: _Chaos, journal: Journal, kills: int | None, minutes: float | None) -> int:
    """Runs episodes until there were so many kills, or the time is over."""
    before = journal.kills_count
    ends_at = None if minutes is None else time.monotonic() + 60 * minutes
    wanted = 50 if kills is None and minutes is None else kills
    while not chaos.is_interrupted and (ends_at is None or time.monotonic() < ends_at):
        left = EPISODE_KILLS if wanted is None else wanted - (journal.kills_count - before)
        if left <= 0:
            break
        ran = chaos.run(journal.next_seed(), min(EPISODE_KILLS, left), ends_at)
        journal.add(ran)
        _say(f"{journal.kills_count} kills in all, {len(ran.killed)} of them now")
        if ran.findings:
            return 1
    return 0


class _Chaos:
    """Runs one episode after the other."""

    def __init__(self) -> None:
        self.is_interrupted = False
        self._episode: Episode | None = None

    def interrupt(self, *_: object) -> None:
        """Takes a signal."""
        if self.is_interrupted:
            raise KeyboardInterrupt
        self.is_interrupted = True
        _say("no more kills; what is there is checked")
        if self._episode is not None:
            self._episode.stop_early()

    def run(self, seed: int, kills: int, ends_at: float | None = None) -> Ran:
        """Runs an episode; its directory stays if it found something, and is named then."""
        version, began = present(), time.monotonic()
        directory = Path(tempfile.mkdtemp(prefix=f"unify-chaos-{seed}-"))
        self._episode = Episode(
            directory, seed, plan(seed, kills), ends_at=ends_at, has_backups=True
        )
        done = self._episode.run()
        if done.findings:
            _say(f"{done.text()}\nleft for a look: {directory}")
            _say(f"again: python -m tests.chaos --seed {seed} --kills {kills}")
        else:
            shutil.rmtree(directory)
            _say(f"seed {seed}: {len(done.killed)} kills, {_written(done.counts)}")
        return Ran(
            seed=seed,
            commit=version.commit,
            sources=name_of(_SOURCES),
            killed=done.killed,
            recoveries_s=done.recoveries_s,
            counts=done.counts,
            findings=done.findings,
            took_s=time.monotonic() - began,
        )


def _written(counts: dict[str, int]) -> str:
    return ", ".join(_pairs(counts))


def _pairs(counts: dict[str, int]) -> Iterator[str]:
    for what, count in counts.items():
        yield f"{count} {what}"


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
