"""Scenario `growth`: the traffic of `ingest` until there are ten million events, slice by slice.

Does it stay as fast as the data grows? What is sent in a slice is built right before it, outside
of what is measured: all of it at once would take gigabytes.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from bench.conversation import plain_part
from bench.ingest import WARM_UP_MIX
from bench.ledger import Tally
from bench.orders import order_of
from bench.parameters import Parameter
from bench.report import describe_parts, percentile, print_line, print_measured, print_traffic
from bench.run import judge, started
from bench.workload import ZIPF_SHIFT, Mix

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bench.report import Measured

PARAMETERS: Final = (
    Parameter("shards", 2, 2, "shards"),
    Parameter("warm_up", 2_000, 120_000, "events sent before the measurement"),
    Parameter("slices", 3, 10, "slices, each measured by itself"),
    Parameter("events", 2_000, 1_000_000, "events of a slice"),
    Parameter("batch", 250, 1_000, "events in a batch"),
    Parameter("window", 4, 4, "batches of a stream that may await their answer"),
    Parameter("streams", 4, 4, "callers at a time, each with people and a connection of its own"),
    Parameter("arrivals", 20, 20, "of 1,000 measured events, how many are somebody's first"),
    Parameter("profiles", 50, 400, "profiles read back and compared afterwards"),
    Parameter("seed", 1, 1, "seed of the traffic"),
)
DISK_BYTES_PER_EVENT_MAX: Final = 2_000
"""Of so many events less is in sparse files; twice of what `ingest` stores."""


def run(values: Mapping[str, int]) -> None:
    """Sends ten million events of known traffic; prints what each million took."""
    mix = Mix(values["arrivals"], ZIPF_SHIFT)
    parts = [plain_part(values["events"], mix)] * values["slices"]
    order = order_of(
        values, plain_part(values["warm_up"], WARM_UP_MIX), *parts, is_built_ahead=False
    )
    title = "growth: the traffic of ingest in slices, as the data grows"
    tally, results = Tally(), Counter[str]()
    slices: list[Measured] = []
    with started(title, order, values, disk_bytes_per_event_max=DISK_BYTES_PER_EVENT_MAX) as bench:
        bench.warm_up()
        for number in range(1, values["slices"] + 1):
            slices.append(bench.measure())
            tally.add(bench.built.tallies[number])
            results.update(slices[-1].sent.results)
            print_line(f"slice {number}", describe_slice(slices[-1]))
        checked = bench.check()
    print_traffic(tally, bench.built.tallies[0], results)
    print_measured(slices[0], "first")
    print_measured(slices[-1], "last")
    _print_growth(slices)
    judge(tally, results, checked)
    print_line("checksum", f"{checked.checksum} of {checked.profiles_count} profiles read back")


def describe_slice(measured: Measured) -> str:
    """Returns what a slice took, in one line."""
    count = measured.events_count
    answers = sorted(measured.sent.answers_ms)
    written = sum(usage.written_bytes for usage in measured.usages.values())
    memory = {part: size / 2**20 for part, size in measured.memory_bytes_max.items()}
    return (
        f"{measured.events_per_s:,.0f} events/s, {measured.cpu_us:.1f} µs/event, "
        f"p50 {percentile(answers, 50):.0f} ms, p99 {percentile(answers, 99):.0f} ms, "
        f"max {answers[-1]:.0f} ms, {written / count:,.0f} bytes/event written, "
        f"{measured.stored_bytes / count:,.0f} stored; "
        f"anonymous MB: {describe_parts(memory, '{:.0f}')}"
    )


def _print_growth(slices: Sequence[Measured]) -> None:
    first, last = slices[0], slices[-1]
    written = sum(usage.written_bytes for each in slices for usage in each.usages.values())
    count = sum(each.events_count for each in slices)
    print_line(
        "growth",
        f"last slice against the first: CPU {last.cpu_us / first.cpu_us:.2f}, "
        f"rate {last.events_per_s / first.events_per_s:.2f}; "
        f"{written / count:,.0f} bytes/event written in all",
    )
