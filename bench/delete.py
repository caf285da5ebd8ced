"""Scenario `delete`: known traffic before and after an identifier was deleted from a profile.

What was known of that profile's identifiers has to be found out again, and of nobody else's: the
rate may not tell the two apart. Each deletion is measured against the slice of traffic right
before it, in the same run, as the rates of different runs differ by more than what is looked for.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from bench.conversation import Part
from bench.decided_links import DecidedLinks
from bench.delete_report import Pair, Slice, print_pairs
from bench.ledger import Tally
from bench.orders import order_of
from bench.parameters import Parameter
from bench.report import print_line, print_traffic
from bench.run import judge, started
from bench.service import ADMIN_TOKEN, BenchFailedError
from bench.workload import EVEN_SHIFT, ZIPF_SHIFT, Mix

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bench.run import Run

PARAMETERS: Final = (
    Parameter("shards", 2, 2, "shards"),
    Parameter("warm_up", 500, 100_000, "known combinations before the measurement, at the least"),
    Parameter("pairs", 5, 7, "deletions, each with a slice of traffic before and after it"),
    Parameter("events", 1_000, 50_000, "events of a slice"),
    Parameter("batch", 125, 1_000, "events in a batch"),
    Parameter("window", 4, 4, "batches of a stream that may await their answer"),
    Parameter("streams", 4, 4, "callers at a time, each with people and a connection of its own"),
    Parameter("arrivals", 20, 20, "of 1,000 events of a slice, how many are somebody's first"),
    Parameter("profiles", 50, 400, "profiles read back at the end, besides those deleted from"),
    Parameter("seed", 1, 1, "seed of the traffic and of what is deleted"),
)
WARM_UP_MIX: Final = Mix(arrivals=100, zipf_shift=EVEN_SHIFT)
"""Everybody comes to be known about as well, so that little is novel in the slices."""
WARM_UP_EVENTS_PER_COMBINATION_MAX: Final = 10


def run(values: Mapping[str, int]) -> None:
    """Deletes identifiers amid known traffic; prints rate and CPU before and after, a checksum."""
    combinations = values["warm_up"]
    warm_up = Part(
        events=0,
        events_max=WARM_UP_EVENTS_PER_COMBINATION_MAX * combinations
        + values["streams"] * values["batch"],
        combinations=combinations,
        mix=WARM_UP_MIX,
        deletes=False,
    )
    before, after = (_slice(values, deletes=deletes) for deletes in (True, False))
    order = order_of(values, warm_up, *(before, after) * values["pairs"])
    title = "delete: known traffic before and after an identifier is deleted from a profile"
    with started(title, order, values) as bench:
        bench.warm_up()
        pairs = [_measure_pair(bench, number) for number in range(values["pairs"])]
        checked = bench.check()
    tally, results = Tally(), Counter[str]()
    for pair in pairs:
        for each in (pair.before, pair.after):
            tally.add(each.tally)
            results.update(each.measured.sent.results)
    print_line(
        "known",
        f"{bench.built.combinations_counts[0]:,} combinations after the warm-up, "
        f"{bench.built.combinations_counts[-1]:,} at the end",
    )
    print_traffic(tally, bench.built.tallies[0], results)
    print_pairs(pairs)
    judge(tally, results, checked)
    _judge_known(pairs)
    print_line(
        "checksum",
        f"{checked.checksum} of {checked.profiles_count} profiles read back: "
        f"{len(pairs)} before and after their deletion, and all at the end",
    )


def _slice(values: Mapping[str, int], *, deletes: bool) -> Part:
    return Part(
        events=values["events"],
        events_max=values["events"],
        combinations=0,
        mix=Mix(values["arrivals"], ZIPF_SHIFT),
        deletes=deletes,
    )


def _measure_pair(bench: Run, number: int) -> Pair:
    """Measures a slice, deletes, and measures another; each begins with the service at rest."""
    tallies = bench.built.tallies[1 + 2 * number :]
    with DecidedLinks(bench.address, ADMIN_TOKEN) as decided:
        counts = [decided.wait_at_rest()]
        before = bench.measure()
        counts.append(decided.wait_at_rest())
        deleted = bench.delete()
        counts.append(decided.wait_at_rest())
        after = bench.measure()
        counts.append(decided.wait_at_rest())
    return Pair(
        Slice(before, tallies[0], counts[1] - counts[0]),
        deleted,
        Slice(after, tallies[1], counts[3] - counts[2]),
    )


def _judge_known(pairs: Sequence[Pair]) -> None:
    """Raises `BenchFailedError` where a deletion made other people unknown too.

    Links under way are decided once more, the more of them the deeper the queue. So the bound is
    far off: half-way from what is expected to deciding everything.
    """
    for after in (pair.after for pair in pairs):
        if 2 * after.decided_count > after.expected_count + after.linking_count:
            raise BenchFailedError(
                f"{after.decided_count} links were decided after a deletion, where "
                f"{after.expected_count} were expected: what was known no longer is"
            )
