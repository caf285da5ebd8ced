"""Scenario `ingest`: known traffic over `IngestStream`, every batch acknowledged RESOLVED."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from bench.conversation import Order, Part
from bench.parameters import Parameter
from bench.report import print_line, print_measured, print_traffic
from bench.run import judge, started
from bench.service import ACCESS_TOKEN, WRITE_KEY
from bench.workload import ZIPF_SHIFT, Mix

if TYPE_CHECKING:
    from collections.abc import Mapping

PARAMETERS: Final = (
    Parameter("shards", 2, 2, "shards"),
    Parameter("warm_up", 2_000, 120_000, "events sent before the measurement"),
    Parameter("events", 6_000, 400_000, "events measured"),
    Parameter("batch", 250, 1_000, "events in a batch"),
    Parameter("window", 4, 4, "batches of a stream that may await their answer"),
    Parameter("streams", 4, 4, "callers at a time, each with people and a connection of its own"),
    Parameter("arrivals", 20, 20, "of 1,000 measured events, how many are somebody's first"),
    Parameter("profiles", 50, 400, "profiles read back and compared afterwards"),
    Parameter("seed", 1, 1, "seed of the traffic"),
)
WARM_UP_ARRIVALS: Final = 100
"""Of 1,000 events of the warm-up, how many are somebody's first: it peoples the space."""


def run(values: Mapping[str, int]) -> None:
    """Sends known traffic through gRPC; prints rate, CPU, bytes, latency and a checksum."""
    order = Order(
        seed=values["seed"],
        streams=values["streams"],
        parts=(
            _part(values["warm_up"], WARM_UP_ARRIVALS),
            _part(values["events"], values["arrivals"]),
        ),
        batch=values["batch"],
        window=values["window"],
        profiles_checked=values["profiles"],
        write_key=WRITE_KEY,
        access_token=ACCESS_TOKEN,
    )
    title = "ingest: known traffic, IngestStream, RESOLVED, NOTABLE results"
    with started(title, order, values) as bench:
        bench.warm_up()
        measured = bench.measure()
        checked = bench.check()
    warm_up, tally = bench.built.tallies
    print_traffic(tally, warm_up, measured.sent.results)
    print_measured(measured)
    judge(tally, measured.sent.results, checked)
    print_line("checksum", f"{checked.checksum} of {checked.profiles_count} profiles read back")


def _part(events: int, arrivals: int) -> Part:
    mix = Mix(arrivals, ZIPF_SHIFT)
    return Part(events=events, events_max=events, combinations=0, mix=mix, deletes=False)
