"""Scenario `read`: pages of traits, with nothing else going on, and while events come in.

What is read is compared with what was sent: all of it while nothing changes.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from bench.conversation import plain_part
from bench.ingest import WARM_UP_MIX
from bench.ledger import Tally
from bench.orders import order_of
from bench.parameters import Parameter
from bench.report import describe_parts, describe_times, print_line, print_measured, print_traffic
from bench.run import PROBLEMS_SHOWN_MAX, judge, started
from bench.service import BenchFailedError
from bench.workload import ZIPF_SHIFT, Mix

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bench.conversation import Reads
    from bench.report import Measured

PARAMETERS: Final = (
    Parameter("shards", 2, 2, "shards"),
    Parameter("warm_up", 2_000, 120_000, "events sent before the measurement"),
    Parameter("reads", 200, 4_000, "reads of the one caller"),
    Parameter("callers", 10, 50, "callers at once"),
    Parameter("reads_many", 500, 40_000, "reads of all of them"),
    Parameter("events", 4_000, 200_000, "events of which the peak is measured, and again beside"),
    Parameter("readers", 2, 4, "callers that read while events come in"),
    Parameter("batch", 250, 1_000, "events in a batch"),
    Parameter("window", 4, 4, "batches of a stream that may await their answer"),
    Parameter("streams", 4, 4, "senders at a time, each with people and a connection of its own"),
    Parameter("arrivals", 20, 20, "of 1,000 measured events, how many are somebody's first"),
    Parameter("profiles", 50, 400, "profiles read back and compared afterwards"),
    Parameter("seed", 1, 1, "seed of the traffic and of who is read"),
)


def run(values: Mapping[str, int]) -> None:
    """Reads traits: one caller, many, and beside events at half their peak; prints the times."""
    part = plain_part(values["events"], Mix(values["arrivals"], ZIPF_SHIFT))
    warm_up = plain_part(values["warm_up"], WARM_UP_MIX)
    order = order_of(values, warm_up, part, part, is_built_ahead=False, keeps_traits=True)
    with started("read: a page of traits by user_id", order, values) as bench:
        bench.warm_up()
        idle = bench.read(callers=1, count=values["reads"])
        many = bench.read(callers=values["callers"], count=values["reads_many"])
        peak = bench.measure()
        half = int(peak.events_per_s / 2)
        beside = bench.measure(events_per_s=half, readers=values["readers"])
        checked = bench.check()
    tally, results = Tally(), Counter[str]()
    for measured, counted in zip((peak, beside), bench.built.tallies[1:], strict=True):
        tally.add(counted)
        results.update(measured.sent.results)
    print_traffic(tally, bench.built.tallies[0], results)
    _print_reads("idle", idle)
    _print_reads("many", many)
    print_measured(peak, "peak")
    print_measured(beside, "half")
    reads = [_reads(each) for each in (idle, many, beside)]
    print_line("beside", f"{_times(reads[2])}, {values['readers']} callers")
    judge(tally, results, checked)
    if wrong := [sentence for each in reads for sentence in each.wrong]:
        raise BenchFailedError("; ".join(wrong[:PROBLEMS_SHOWN_MAX]))
    print_line("read", f"{reads[0].checksum}, {reads[1].checksum} of traits with one, many callers")
    print_line("checksum", f"{checked.checksum} of {checked.profiles_count} profiles read back")


def _reads(measured: Measured) -> Reads:
    assert measured.sent.reads is not None
    return measured.sent.reads


def _print_reads(name: str, measured: Measured) -> None:
    print_line(name, _times(_reads(measured)))
    cpu = {part: usage.cpu_us / measured.events_count for part, usage in measured.usages.items()}
    costs = describe_parts(cpu, "{:.0f}")
    print_line(f"{name} CPU", f"{measured.cpu_us:.0f} µs/read: {costs}")


def _times(reads: Reads) -> str:
    count = len(reads.answers_ms)
    times = describe_times(sorted(reads.answers_ms), "{:.1f}")
    return f"{times} of {count:,} reads, {count / reads.seconds:,.0f} reads/s"
