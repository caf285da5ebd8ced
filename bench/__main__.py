"""The command `python -m bench`: one scenario a run, each with a smoke size and a real one."""

from __future__ import annotations

import argparse
import signal
import sys
from typing import TYPE_CHECKING, NoReturn

from bench import (
    big_merge,
    cold,
    delete,
    flood,
    growth,
    hot_key,
    http_edge,
    ingest,
    memory,
    merge_storm,
    read,
    recovery,
    unary,
    versus,
)
from bench.service import BenchFailedError
from bench.yardsticks import YARDSTICKS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bench.parameters import Parameter
    from bench.report import Measured
    from bench.yardsticks import Subject

SCENARIOS: Mapping[str, tuple[tuple[Parameter, ...], Callable[[Mapping[str, int]], object]]] = {
    "big_merge": (big_merge.PARAMETERS, big_merge.run),
    "cold": (cold.PARAMETERS, cold.run),
    "delete": (delete.PARAMETERS, delete.run),
    "flood": (flood.PARAMETERS, flood.run),
    "growth": (growth.PARAMETERS, growth.run),
    "hot_key": (hot_key.PARAMETERS, hot_key.run),
    "http": (http_edge.PARAMETERS, http_edge.run),
    "ingest": (ingest.PARAMETERS, ingest.run),
    "memory": (memory.PARAMETERS, memory.run),
    "merge_storm": (merge_storm.PARAMETERS, merge_storm.run),
    "read": (read.PARAMETERS, read.run),
    "recovery": (recovery.PARAMETERS, recovery.run),
    "unary": (unary.PARAMETERS, unary.run),
}
COMPARED: Mapping[str, Callable[[Mapping[str, int], Subject], Measured]] = {
    "cold": cold.run,
    "ingest": ingest.run,
}
"""Scenarios that can be run against a yardstick too."""


def main() -> int:
    """Runs the scenario asked for; 1 where its result could not be shown to be right."""
    parser = argparse.ArgumentParser(
        prog="python -m bench", formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    scenarios = parser.add_subparsers(dest="scenario", required=True)
    for name, (parameters, run) in SCENARIOS.items():
        scenario = scenarios.add_parser(name, help=run.__doc__)
        scenario.add_argument("--smoke", action="store_true", help="the size the test-suite runs")
        for each in parameters:
            scenario.add_argument(
                f"--{each.name.replace('_', '-')}",
                type=int,
                metavar="N",
                help=f"{each.text} ({each.smoke:,} with --smoke, else {each.real:,})",
            )
        if name in COMPARED:
            scenario.add_argument(
                "--versus", choices=YARDSTICKS, help="run this yardstick too, by turns"
            )
            scenario.add_argument(
                "--pairs",
                type=int,
                metavar="N",
                help=f"with --versus, how often ({versus.PAIRS_SMOKE} with --smoke, "
                f"else {versus.PAIRS})",
            )
    arguments = vars(parser.parse_args())
    parameters, run = SCENARIOS[arguments["scenario"]]
    values = {
        each.name: each.value(arguments[each.name], is_smoke=arguments["smoke"])
        for each in parameters
    }
    signal.signal(signal.SIGTERM, _end)
    try:
        if (yardstick := arguments.get("versus")) is None:
            run(values)
        else:
            compared = COMPARED[arguments["scenario"]]
            usual = versus.PAIRS_SMOKE if arguments["smoke"] else versus.PAIRS
            pairs = max(1, arguments["pairs"] or usual)
            versus.compare(YARDSTICKS[yardstick], pairs, lambda subject: compared(values, subject))
    except BenchFailedError as failure:
        print(f"bench failed: {failure}", file=sys.stderr)
        return 1
    return 0


def _end(number: int, frame: object) -> NoReturn:
    """Ends in order when asked to, so that no process and no file is left behind."""
    del frame
    sys.exit(128 + number)


if __name__ == "__main__":
    sys.exit(main())
