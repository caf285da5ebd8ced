"""Runs many seeds: `python -m tests.simulation --seeds 10000 --start 0`."""

from __future__ import annotations

import argparse
import sys
import time

from tests.simulation.run import ScheduleFailed, run_seed


def main() -> int:
    """Runs the seeds asked for; 1 if one failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation")
    parser.add_argument("--seeds", type=int, default=1000)
    parser.add_argument("--start", type=int, default=0)
    parser.add_argument("--all", action="store_true", help="go on after a failure")
    arguments = parser.parse_args()
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


if __name__ == "__main__":
    sys.exit(main())
