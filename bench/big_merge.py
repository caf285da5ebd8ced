"""Scenario `big_merge`: does merging two profiles take longer the more events they have?

Profiles of ten to a hundred thousand events are loaded, two by two; then one caller sends one
event for each two, which links them, and waits until it is RESOLVED.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from bench.conversation import plain_part
from bench.ingest import WARM_UP_MIX
from bench.orders import order_of
from bench.parameters import Parameter
from bench.report import describe_times, percentile, print_line, print_measured, print_traffic
from bench.run import judge, started
from bench.streams import PAIRS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PARAMETERS: Final = (
    Parameter("shards", 2, 2, "shards"),
    Parameter("decades", 3, 5, "sizes: 10 events a profile, 100, and so on"),
    Parameter("merges", 3, 9, "merges of each size"),
    Parameter("batch", 500, 1_000, "events in a batch while loading"),
    Parameter("window", 8, 8, "batches that may await their answer while loading"),
    Parameter("seed", 1, 1, "seed of the traffic"),
)


def run(values: Mapping[str, int]) -> None:
    """Merges profiles of 10 to 100,000 events two by two; prints the times by size."""
    sizes = [10**each for each in range(1, values["decades"] + 1)]
    # The first of each size is not counted: what runs for the first time is slower.
    rounds = values["merges"] + 1
    links = rounds * len(sizes)
    order = order_of(
        {**values, "streams": 1, "profiles": 3 * links},
        plain_part(2 * rounds * sum(sizes), WARM_UP_MIX),
        plain_part(links, WARM_UP_MIX, batch_max=1, is_unary=True),
        traffic=PAIRS,
        sizes=(rounds, *sizes),
    )
    title = "big_merge: a linking event to its RESOLVED answer, by the size of both profiles"
    with started(title, order, values) as bench:
        bench.warm_up()
        measured = bench.measure()
        checked = bench.check()
    warm_up, tally = bench.built.tallies
    print_traffic(tally, warm_up, measured.sent.results)
    print_measured(measured)
    by_size = {
        size: sorted(measured.sent.answers_ms[number + len(sizes) :: len(sizes)])
        for number, size in enumerate(sizes)
    }
    _print_sizes(by_size)
    judge(tally, measured.sent.results, checked)
    print_line("checksum", f"{checked.checksum} of {checked.profiles_count} profiles read back")


def _print_sizes(by_size: Mapping[int, Sequence[float]]) -> None:
    for size, times in by_size.items():
        text = describe_times(list(times), "{:.1f}")
        print_line(f"{size:,}", f"events each: {text} of {len(times)} merges")
    medians = [percentile(list(times), 50) for times in by_size.values()]
    print_line("ratio", f"medians, largest profiles to smallest: {medians[-1] / medians[0]:.2f}")
