"""Scenario `ingest`: known traffic over `IngestStream`, every batch acknowledged RESOLVED."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from bench.conversation import plain_part
from bench.orders import order_of
from bench.parameters import Parameter
from bench.report import print_line, print_measured, print_traffic
from bench.run import judge, started
from bench.workload import ZIPF_SHIFT, Mix
from bench.yardsticks import SERVICE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bench.report import Measured
    from bench.yardsticks import Subject

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
WARM_UP_MIX: Final = Mix(arrivals=100, zipf_shift=ZIPF_SHIFT)
"""It peoples the space."""


def run(values: Mapping[str, int], subject: Subject = SERVICE) -> Measured:
    """Sends known traffic through gRPC; prints rate, CPU, bytes, latency and a checksum."""
    title = "ingest: known traffic, IngestStream, RESOLVED, NOTABLE results"
    mix = Mix(values["arrivals"], ZIPF_SHIFT)
    return send_traffic(title, values, WARM_UP_MIX, mix, subject=subject)


def send_traffic(
    title: str,
    values: Mapping[str, int],
    warm_up_mix: Mix,
    mix: Mix,
    *,
    subject: Subject = SERVICE,
) -> Measured:
    """Sends a warm-up and a measured part; prints what the latter took, and returns it.

    Args:
        title: the scenario's name, and what it is about.
        values: its parameters: all of `PARAMETERS` but `arrivals`.
        warm_up_mix: who acts in the warm-up.
        mix: who acts in the measured part.
        subject: the service, or what it is compared with.
    """
    parts = plain_part(values["warm_up"], warm_up_mix), plain_part(values["events"], mix)
    order = order_of(values, *parts, keeps_traits=True)
    with started(title, order, values, subject=subject) as bench:
        bench.warm_up()
        measured = bench.measure()
        checked = bench.check()
    warm_up, tally = bench.built.tallies
    print_traffic(tally, warm_up, measured.sent.results)
    print_measured(measured)
    judge(tally, measured.sent.results, checked)
    print_line("checksum", f"{checked.checksum} of {checked.profiles_count} profiles read back")
    return measured
