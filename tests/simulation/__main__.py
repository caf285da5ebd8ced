"""Runs schedules: seeds by number, fresh ones, kept ones. See the folder's README.

`python -m tests.simulation --seeds 10000 --start 0` runs a range of seeds. With `--mutants` it
looks for seeds that show them, where their own do so no more.
"""

from __future__ import annotations

import argparse
import sys
import time
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from tests.simulation.fresh import CHUNK_SEEDS, ON_LMDB, SIMULATED, STATE, Ask, report, run_fresh
from tests.simulation.kept import load, pack
from tests.simulation.lmdb_store import lmdb_parts, run_on_lmdb
from tests.simulation.minimising import minimise
from tests.simulation.mutants import MUTANTS
from tests.simulation.plan import draw
from tests.simulation.run import ScheduleFailed, run_seed
from tests.simulation.versions import present
from tests.simulation.workers import work

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from tests.simulation.minimising import Supply
    from tests.simulation.world import Parts

SECONDS_MAX = 120.0


def main() -> int:
    """Does what is asked for; 1 if a schedule failed."""
    asked = _asked()
    if asked.report:
        _say(*report(asked.state))
        return 0
    if asked.fresh:
        return _fresh(asked)
    if asked.work:
        work(asked.commit, *((run_on_lmdb, lmdb_parts) if asked.lmdb else ()))
        return 0
    if asked.replay:
        return _replay(asked)
    seeds = range(asked.start, asked.start + asked.seeds)
    if asked.mutants:
        return _find_mutants(seeds)
    if asked.hashes:
        _say(*(f"{world.trace_hash()} {world.state_hash()}" for world in map(run_seed, seeds)))
        return 0
    return _run(asked, seeds)


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation")
    parser.add_argument("--seeds", type=int, default=1000)
    parser.add_argument("--start", type=int, default=0)
    parser.add_argument("--all", action="store_true", help="go on after a failure")
    parser.add_argument("--minimise", action="store_true", help="tell the smallest schedule found")
    parser.add_argument("--keep", type=Path, metavar="FILE", help="and write it there")
    parser.add_argument("--seconds", type=float, default=SECONDS_MAX, help="to minimise in, each")
    parser.add_argument("--mutant", metavar="NAME", help="with this bug")
    parser.add_argument("--lmdb", action="store_true", help="over the real storage layer")
    parser.add_argument("--mutants", action="store_true", help="find the seeds of mutants anew")
    parser.add_argument("--hashes", action="store_true", help="tell hashes of what happened")
    parser.add_argument("--replay", type=Path, metavar="FILE", help="run a schedule that was kept")
    parser.add_argument("--fresh", action="store_true", help="run seeds never run before, counted")
    parser.add_argument("--minutes", type=float, help="fresh: for so long")
    parser.add_argument("--until", type=int, help="fresh: until there are so many in all")
    parser.add_argument("--workers", type=int, default=2, help="fresh: processes")
    parser.add_argument("--chunk", type=int, default=CHUNK_SEEDS, help="fresh: seeds at a time")
    parser.add_argument("--state", type=Path, default=STATE, help="where fresh runs are counted")
    parser.add_argument("--report", action="store_true", help="tell what fresh runs were counted")
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--commit", default="", help=argparse.SUPPRESS)
    return parser.parse_args()


def _fresh(asked: argparse.Namespace) -> int:
    ask = Ask(
        state=asked.state,
        stores=ON_LMDB if asked.lmdb else SIMULATED,
        minutes=asked.minutes,
        until=asked.until,
        workers=asked.workers,
        chunk=asked.chunk,
    )
    try:
        return run_fresh(ask)
    except BlockingIOError:
        _say(f"somebody is running fresh schedules already, and counts them in {asked.state}")
        return 1


def _run(asked: argparse.Namespace, seeds: range) -> int:
    """Runs seeds, and tells of those that fail."""
    began = time.monotonic()
    failed: list[int] = []
    with _bug(asked.mutant) as bug:
        for seed in seeds:
            try:
                with lmdb_parts(seed) if asked.lmdb else nullcontext(bug) as parts:
                    run_seed(seed, parts)
            except ScheduleFailed as failure:
                failed.append(seed)
                text = str(failure)
                if asked.minimise or asked.keep:
                    text = _minimised(asked, seed, lmdb_parts if asked.lmdb else bug)
                elif asked.all:
                    text = text.splitlines()[-2]
                _say(f"{seed}: {text}")
                if not asked.all:
                    return 1
    took_s = time.monotonic() - began
    _say(f"{len(seeds)} seeds in {took_s:.0f} s, failed: {failed}")
    return 1 if failed else 0


def _minimised(asked: argparse.Namespace, seed: int, supply: Supply) -> str:
    """Tells the smallest schedule found of one that failed, and keeps it if that is asked for."""
    found = minimise(draw(seed), supply, seconds=asked.seconds)
    if found is not None and asked.keep:
        asked.keep.write_bytes(pack(found, present().commit))
    return str(found)


def _replay(asked: argparse.Namespace) -> int:
    """Runs a schedule that was kept, and tells how it goes."""
    kept = load(asked.replay)
    with _bug(asked.mutant) as parts:
        run = kept.run(parts)
    _say(*run.world.trace)
    if run.error is None:
        _say(f"keeps every promise; on {kept.commit} it broke: {kept.violation}")
        return 0
    _say(f"{type(run.error).__name__}: {run.error}")
    return 1


def _bug(name: str | None) -> AbstractContextManager[Parts | None]:
    """Puts a mutant in force; `SystemExit` if there is none of that name."""
    if name is None:
        return nullcontext()
    found = next((mutant for mutant in MUTANTS if mutant.name == name), None)
    if found is None:
        raise SystemExit(f"no mutant is named {name}")
    return found.applied()


def _find_mutants(seeds: range) -> int:
    """Names the mutants whose seeds have to change, and to what; 1 if one survives."""
    survivors = 0
    for mutant in MUTANTS:
        found = mutant.shown_by((mutant.seed, *seeds))
        survivors += found is None
        if found != mutant.seed:
            _say(f"{mutant.name}: {mutant.seed} -> {found}")
    return 1 if survivors else 0


def _say(*lines: str) -> None:
    for line in lines:
        sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
