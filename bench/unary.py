"""Scenario `unary`: calls of `Ingest`, RESOLVED: one caller's single events, and many callers'.

The callers are those of `ingest`, each sending its next call when the one before it is answered.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from bench.conversation import plain_part
from bench.ingest import WARM_UP_MIX
from bench.ledger import Tally
from bench.orders import order_of
from bench.parameters import Parameter
from bench.report import print_line, print_measured, print_traffic
from bench.run import judge, started
from bench.workload import ZIPF_SHIFT, Mix

if TYPE_CHECKING:
    from collections.abc import Mapping

PARAMETERS: Final = (
    Parameter("shards", 2, 2, "shards"),
    Parameter("warm_up", 2_000, 120_000, "events sent before the measurement, over streams"),
    Parameter("single", 100, 4_000, "events that one caller sends, one a call"),
    Parameter(
        "streams", 20, 100, "callers at a time, each with people and a connection of its own"
    ),
    Parameter("events", 1_000, 60_000, "events that they send"),
    Parameter("call", 10, 10, "events in a call of theirs, at the most; at the least 1"),
    Parameter("batch", 100, 300, "events in a batch of the warm-up"),
    Parameter("window", 1, 1, "batches of a stream of the warm-up that may await their answer"),
    Parameter("arrivals", 20, 20, "of 1,000 measured events, how many are somebody's first"),
    Parameter("profiles", 50, 400, "profiles read back and compared afterwards"),
    Parameter("seed", 1, 1, "seed of the traffic"),
)


def run(values: Mapping[str, int]) -> None:
    """Sends single events of one caller and small calls of many; prints what they took."""
    mix = Mix(values["arrivals"], ZIPF_SHIFT)
    order = order_of(
        values,
        plain_part(values["warm_up"], WARM_UP_MIX),
        plain_part(values["single"], mix, streams=1, batch_max=1, is_unary=True),
        plain_part(values["events"], mix, batch_min=1, batch_max=values["call"], is_unary=True),
    )
    title = "unary: Ingest, RESOLVED, NOTABLE results; one caller, then many"
    with started(title, order, values) as bench:
        bench.warm_up()
        one, many = bench.measure(), bench.measure()
        checked = bench.check()
    tally, results = Tally(), Counter[str]()
    for measured, counted in zip((one, many), bench.built.tallies[1:], strict=True):
        tally.add(counted)
        results.update(measured.sent.results)
    print_traffic(tally, bench.built.tallies[0], results)
    print_measured(one, "one")
    print_measured(many, "many")
    judge(tally, results, checked)
    print_line("checksum", f"{checked.checksum} of {checked.profiles_count} profiles read back")
