"""Scenario `flood`: what a caller's calls take alone, and while another space is at its limit."""

from __future__ import annotations

import re
import time
from collections import Counter
from statistics import median
from typing import TYPE_CHECKING, Final
from urllib.request import urlopen

from bench.conversation import plain_part
from bench.flooding import Flood, create_space
from bench.ingest import WARM_UP_MIX
from bench.ledger import Tally
from bench.orders import order_of
from bench.parameters import Parameter
from bench.report import percentile, print_line, print_traffic
from bench.run import judge, started
from bench.service import BenchFailedError
from bench.workload import ZIPF_SHIFT, Mix
from bench.wrk import is_installed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bench.report import Measured

PARAMETERS: Final = (
    Parameter("shards", 2, 2, "shards"),
    Parameter("warm_up", 2_000, 60_000, "events sent before the measurement, over gRPC"),
    Parameter("pairs", 1, 5, "how often the caller is measured alone and beside the flood"),
    Parameter("calls", 100, 2_000, "single events that the caller sends each time"),
    Parameter("limit", 150, 2_000, "events a second that a space may send"),
    Parameter("callers", 4, 16, "connections of the flood"),
    Parameter("call", 50, 20, "events in a call of the flood"),
    Parameter("streams", 1, 1, "connections of the caller"),
    Parameter("batch", 100, 300, "events in a batch of the warm-up"),
    Parameter("window", 1, 1, "batches of the warm-up that may await their answer"),
    Parameter("arrivals", 20, 20, "of 1,000 measured events, how many are somebody's first"),
    Parameter("profiles", 50, 400, "profiles read back and compared afterwards"),
    Parameter("seed", 1, 1, "seed of the traffic"),
)
FLOOD_TIMEOUT_S: Final = 30.0
_POLL_S: Final = 0.05
_REFUSED: Final = re.compile(
    r'^unify_http_requests_total\{route="batch",status="429"[^}]*\} (\d+)', re.MULTILINE
)


def run(values: Mapping[str, int]) -> None:
    """Sends single events, alone and beside a flood of another space; prints both times."""
    if not is_installed():
        raise BenchFailedError("wrk is needed, from the system's packages")
    part = plain_part(
        values["calls"], Mix(values["arrivals"], ZIPF_SHIFT), batch_max=1, is_http=True
    )
    warm_up = plain_part(values["warm_up"], WARM_UP_MIX)
    order = order_of(values, warm_up, *[part] * (2 * values["pairs"]))
    alone: list[Measured] = []
    beside: list[Measured] = []
    refused = 0
    settings = {"UNIFY_SPACE_WRITES_PER_S": str(values["limit"])}
    with started(
        "flood: one caller beside another space's", order, values, settings=settings
    ) as bench:
        bench.warm_up()
        address = bench.service.http_address
        key = create_space(bench.address, "flood")
        for number in range(values["pairs"]):
            alone.append(bench.measure())
            before = _refused(address)
            flood = Flood(
                address, key, str(number), callers=values["callers"], batch=values["call"]
            )
            with flood:
                _wait_refused(address, before)
                beside.append(bench.measure())
            refused += _refused(address) - before
        checked = bench.check()
    tally, results = Tally(), Counter[str]()
    for measured, counted in zip([*alone, *beside], bench.built.tallies[1:], strict=True):
        tally.add(counted)
        results.update(measured.sent.results)
    print_traffic(tally, bench.built.tallies[0], results)
    _print_times("alone", alone)
    _print_times("beside", beside)
    ratios = sorted(_p99(two) / _p99(one) for one, two in zip(alone, beside, strict=True))
    print_line(
        "ratio",
        f"beside/alone: p99 median {median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f}) "
        f"of {len(ratios)} pairs",
    )
    seconds = sum(each.sent.seconds for each in beside)
    print_line("refused", f"{refused:,} calls of the flood, {refused / seconds:,.0f} a second")
    judge(tally, results, checked)
    print_line("checksum", f"{checked.checksum} of {checked.profiles_count} profiles read back")


def _p99(measured: Measured) -> float:
    return percentile(measured.sent.answers_ms, 99)


def _print_times(name: str, several: Sequence[Measured]) -> None:
    shown = ", ".join(
        f"p{each} {median(percentile(one.sent.answers_ms, each) for one in several):.1f} ms"
        for each in (50, 90, 99)
    )
    print_line(name, f"{shown}, medians of {len(several)} times {several[0].events_count:,} calls")


def _wait_refused(address: str, before: int) -> None:
    """Waits until the flood has reached its limit."""
    give_up = time.monotonic() + FLOOD_TIMEOUT_S
    while _refused(address) == before:
        if time.monotonic() > give_up:
            raise BenchFailedError(f"the flood is below its limit after {FLOOD_TIMEOUT_S:.0f} s")
        time.sleep(_POLL_S)


def _refused(address: str) -> int:
    with urlopen(f"http://{address}/metrics", timeout=10) as response:
        text = response.read().decode()
    return sum(int(each) for each in _REFUSED.findall(text))
