"""Runs many seeds: `python -m tests.simulation --seeds 10000 --start 0`.

With `--mutants` it looks for seeds that show them, where their own do so no more.
"""

from __future__ import annotations

import argparse
import sys
import time

from tests.simulation.mutants import MUTANTS
from tests.simulation.run import ScheduleFailed, run_seed


def main() -> int:
    """Runs the seeds asked for; 1 if one failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation")
    parser.add_argument("--seeds", type=int, default=1000)
    parser.add_argument("--start", type=int, default=0)
    parser.add_argument("--all", action="store_true", help="go on after a failure")
    parser.add_argument("--mutants", action="store_true", help="find the seeds of mutants anew")
    arguments = parser.parse_args()
    if arguments.mutants:
        return _find_mutants(range(arguments.start, arguments.start + arguments.seeds))
    began = time.monotonic()
    failed: list[int] = []
    for seed in range(arguments.start, arguments.start + arguments.seeds):
        try:
            run_seed(seed)
        except ScheduleFailed as failure:
            failed.append(seed)
            text = str(failure) if not arguments.all else str(failure).splitlines()[-2]
            sys.stdout.write(f"{seed}: {text}\n")
            if not arguments.all:
                return 1
    took_s = time.monotonic() - began
    sys.stdout.write(f"{arguments.seeds} seeds in {took_s:.0f} s, failed: {failed}\n")
    return 1 if failed else 0


def _find_mutants(seeds: range) -> int:
    """Names the mutants whose seeds have to change, and to what; 1 if one survives."""
    survivors = 0
    for mutant in MUTANTS:
        found = mutant.shown_by((mutant.seed, *seeds))
        survivors += found is None
        if found != mutant.seed:
            sys.stdout.write(f"{mutant.name}: {mutant.seed} -> {found}\n")
            sys.stdout.flush()
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
