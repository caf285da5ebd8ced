"""Scenario `http`: the Tracking and Profile APIs, loaded by `wrk`; each event after RESOLVED.

Beside each figure stands what a handler reaches that does nothing, for the same requests.
"""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from bench.conversation import plain_part
from bench.ingest import WARM_UP_MIX
from bench.ledger import Tally
from bench.machine import ROOT
from bench.orders import order_of
from bench.parameters import Parameter
from bench.report import (
    describe_parts,
    describe_times,
    print_line,
    print_measured,
    print_traffic,
)
from bench.run import judge, started
from bench.service import BenchFailedError
from bench.workload import ZIPF_SHIFT, Mix
from bench.wrk import is_installed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from bench.conversation import Answered
    from bench.report import Measured

PARAMETERS: Final = (
    Parameter("shards", 2, 2, "shards"),
    Parameter("warm_up", 2_000, 120_000, "events sent before the measurement, over gRPC"),
    Parameter("streams", 4, 32, "connections, each with people of its own"),
    Parameter("single", 400, 60_000, "events sent one a call"),
    Parameter("events", 2_000, 320_000, "events sent in batches"),
    Parameter("call", 20, 20, "events in such a batch"),
    Parameter("reads", 200, 40_000, "reads of a page of traits by all connections, and by one"),
    Parameter("batch", 100, 300, "events in a batch of the warm-up"),
    Parameter("window", 1, 1, "batches of a stream of the warm-up that may await their answer"),
    Parameter("arrivals", 20, 20, "of 1,000 measured events, how many are somebody's first"),
    Parameter("profiles", 50, 400, "profiles read back and compared afterwards"),
    Parameter("seed", 1, 1, "seed of the traffic and of who is read"),
)
_STOP_TIMEOUT_S: Final = 10.0


def run(values: Mapping[str, int]) -> None:
    """Sends single events and batches over HTTP and reads traits; prints what they took."""
    if not is_installed():
        raise BenchFailedError("wrk is needed, from the system's packages")
    mix = Mix(values["arrivals"], ZIPF_SHIFT)
    order = order_of(
        values,
        plain_part(values["warm_up"], WARM_UP_MIX),
        plain_part(values["single"], mix, batch_max=1, is_http=True),
        plain_part(values["events"], mix, batch_max=values["call"], is_http=True),
        keeps_traits=True,
    )
    title = "http: Tracking and Profile API, wrk, RESOLVED"
    reads = {"one": (1, values["reads"] // 10), "many": (values["streams"], values["reads"])}
    sent: dict[str, tuple[Measured, Answered]] = {}
    read: dict[str, tuple[Measured, Answered]] = {}
    with started(title, order, values) as bench, _empty_server() as empty:
        bench.warm_up()
        for name in ("single", "batch"):
            floor = bench.send_to_nobody(empty)
            sent[name] = bench.measure(), floor
        for name, (callers, count) in reads.items():
            floor = bench.read_nothing_http(empty, callers=callers, count=count)
            read[name] = bench.read_http(callers=callers, count=count), floor
        checked = bench.check()
    tally, results = Tally(), Counter[str]()
    for (measured, _), counted in zip(sent.values(), bench.built.tallies[1:], strict=True):
        tally.add(counted)
        results.update(measured.sent.results)
    print_traffic(tally, bench.built.tallies[0], results)
    for name, (measured, floor) in sent.items():
        print_measured(measured, name)
        _print_floor(name, measured.events_count, floor)
    for name, (measured, floor) in read.items():
        _print_reads(name, measured)
        _print_floor(name, measured.events_count, floor)
    judge(tally, results, checked)
    print_line("checksum", f"{checked.checksum} of {checked.profiles_count} profiles read back")


def _print_reads(name: str, measured: Measured) -> None:
    times = describe_times(measured.sent.answers_ms, "{:.1f}")
    print_line(
        f"{name} read",
        f"{measured.events_per_s:,.0f} reads/s, {times} of {measured.events_count:,}",
    )
    cpu = {part: usage.cpu_us / measured.events_count for part, usage in measured.usages.items()}
    costs = describe_parts(cpu, "{:.0f}")
    print_line(f"{name} read CPU", f"{measured.cpu_us:.0f} µs/read: {costs}")


def _print_floor(name: str, count: int, floor: Answered) -> None:
    """Prints what the handler that does nothing reached, for so many events or reads."""
    times = describe_times(floor.answers_ms, "{:.1f}")
    print_line(f"{name} empty", f"{count / floor.seconds:,.0f} a second, {times}")


@contextmanager
def _empty_server() -> Iterator[str]:
    """Runs the server with the empty handler; yields its address."""
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.empty_server"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        port = process.stdout.readline().strip()
        if not port:
            raise BenchFailedError("the empty handler did not start; its reason is above")
        yield f"127.0.0.1:{port}"
    finally:
        process.stdin.close()
        try:
            process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()
