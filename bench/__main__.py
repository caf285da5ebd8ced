"""The command `python -m bench`: one scenario a run, each with a smoke size and a real one."""

from __future__ import annotations

import argparse
import signal
import sys
from typing import TYPE_CHECKING, NoReturn

from bench import delete, ingest, recovery
from bench.service import BenchFailedError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bench.parameters import Parameter

SCENARIOS: Mapping[str, tuple[tuple[Parameter, ...], Callable[[Mapping[str, int]], None]]] = {
    "delete": (delete.PARAMETERS, delete.run),
    "ingest": (ingest.PARAMETERS, ingest.run),
    "recovery": (recovery.PARAMETERS, recovery.run),
}


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
    arguments = vars(parser.parse_args())
    parameters, run = SCENARIOS[arguments["scenario"]]
    values = {
        each.name: each.value(arguments[each.name], is_smoke=arguments["smoke"])
        for each in parameters
    }
    signal.signal(signal.SIGTERM, _end)
    try:
        run(values)
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
