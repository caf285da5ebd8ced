"""Scenario `recovery`: a shard that holds many profiles is killed; how soon does it serve again?

Between two kills known traffic goes on, so that there is a tail to replay, of a length that is
wherever the last checkpoint left it. What was acknowledged is read back at the end.
"""

from __future__ import annotations

from collections import Counter
from statistics import median
from typing import TYPE_CHECKING, Final

from bench.conversation import plain_part
from bench.ledger import Tally
from bench.orders import order_of
from bench.outage import Outages
from bench.parameters import Parameter
from bench.report import print_line, print_traffic
from bench.run import judge, started
from bench.workload import ZIPF_SHIFT, Mix

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bench.outage import Outage

PARAMETERS: Final = (
    Parameter("shards", 1, 1, "shards; the first is killed, and all share the profiles"),
    Parameter("load", 1_000, 1_040_000, "events before the kills, nearly each somebody's first"),
    Parameter("kills", 2, 5, "kills, each after a slice of traffic"),
    Parameter("events", 1_000, 50_000, "events of a slice"),
    Parameter("batch", 125, 1_000, "events in a batch"),
    Parameter("window", 4, 4, "batches of a stream that may await their answer"),
    Parameter("streams", 4, 4, "callers at a time, each with people and a connection of its own"),
    Parameter("arrivals", 20, 20, "of 1,000 events of a slice, how many are somebody's first"),
    Parameter("profiles", 50, 400, "profiles read back and compared afterwards"),
    Parameter("seed", 1, 1, "seed of the traffic"),
)
LOAD_MIX: Final = Mix(arrivals=1_000, zipf_shift=ZIPF_SHIFT)
"""Everybody comes once, so that there is a profile for each event."""
SHARD: Final = 0


def run(values: Mapping[str, int]) -> None:
    """Kills a loaded shard again and again; prints how long it was away, and what that was."""
    slices = values["kills"]
    order = order_of(
        values,
        plain_part(values["load"], LOAD_MIX),
        *[plain_part(values["events"], Mix(values["arrivals"], ZIPF_SHIFT))] * slices,
    )
    title = "recovery: kill -9 of a loaded shard until an append and a read are answered"
    tally, results = Tally(), Counter[str]()
    outages: list[Outage] = []
    with started(title, order, values, log_level="info") as bench:
        bench.warm_up()
        killing = Outages(bench.service, bench.address)
        for number in range(slices):
            sent = bench.measure().sent
            tally.add(bench.built.tallies[1 + number])
            results.update(sent.results)
            outages.append(killing.kill(SHARD))
            print_line(f"kill {number + 1}", _describe(outages[-1]))
        status = killing.shard_status(SHARD)
        killing.close()
        checked = bench.check()
    print_traffic(tally, bench.built.tallies[0], results)
    print_line(
        "shard",
        f"{status.profiles_count:,} profiles, {status.identifiers_count:,} identifiers, "
        f"{status.events_count:,} events, {status.store_size_bytes / 2**20:,.0f} MB",
    )
    _print_outages(outages)
    judge(tally, results, checked)
    print_line("checksum", f"{checked.checksum} of {checked.profiles_count} profiles read back")


def _describe(outage: Outage) -> str:
    return (
        f"serving after {outage.serving_ms:,.0f} ms: append {outage.appended_ms:,.0f}, "
        f"read {outage.read_ms:,.0f}; restart {outage.restart_ms:,.0f}, "
        f"opening {outage.open_ms:,.0f}, replay {outage.replay_ms:,.0f} of "
        f"{outage.records_count} records, {outage.replayed_bytes / 2**20:.1f} MB; "
        f"first answer after that {outage.serving_ms - outage.ready_ms:,.0f}"
    )


def _print_outages(outages: Sequence[Outage]) -> None:
    times = sorted(each.serving_ms for each in outages)
    print_line(
        "serving",
        f"median {median(times):,.0f} ms after the kill, "
        f"{times[0]:,.0f} to {times[-1]:,.0f} in {len(times)} kills",
    )
    parts = {
        "restart": [each.restart_ms for each in outages],
        "opening": [each.open_ms for each in outages],
        "replay": [each.replay_ms for each in outages],
        "first answer": [each.serving_ms - each.ready_ms for each in outages],
    }
    text = ", ".join(f"{name} {median(values):,.0f}" for name, values in parts.items())
    megabytes = median(each.replayed_bytes for each in outages) / 2**20
    print_line("of which", f"{text} ms, medians; a tail of {megabytes:.1f} MB")
