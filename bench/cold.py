"""Scenario `cold`: every third event shows identifiers together that are not known to belong so.

Newcomers with several devices, who sign in on each after one visit: what joins a profile is new
to the service, or a profile of its own until then, so that real merges are among the links.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from bench.ingest import send_traffic
from bench.parameters import Parameter
from bench.workload import EVEN_SHIFT, Mix
from bench.yardsticks import SERVICE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bench.report import Measured
    from bench.yardsticks import Subject

PARAMETERS: Final = (
    Parameter("shards", 2, 2, "shards"),
    Parameter("warm_up", 2_000, 60_000, "events of the same kind sent before the measurement"),
    Parameter("events", 6_000, 200_000, "events measured"),
    Parameter("batch", 250, 1_000, "events in a batch"),
    Parameter("window", 4, 4, "batches of a stream that may await their answer"),
    Parameter("streams", 4, 4, "callers at a time, each with people and a connection of its own"),
    Parameter("arrivals", 250, 250, "of 1,000 events, how many are somebody's first"),
    Parameter("recent", 2_000, 2_000, "of those who came last in a stream, how many go on acting"),
    Parameter("profiles", 50, 400, "profiles read back and compared afterwards"),
    Parameter("seed", 1, 1, "seed of the traffic"),
)


def mix_of(values: Mapping[str, int]) -> Mix:
    """Returns who acts."""
    return Mix(values["arrivals"], EVEN_SHIFT, recent=values["recent"], is_hurried=True)


def run(values: Mapping[str, int], subject: Subject = SERVICE) -> Measured:
    """Sends newcomers, every third event a novel link; prints what `ingest` prints."""
    mix = mix_of(values)
    title = "cold: every third event a novel link, IngestStream, RESOLVED, NOTABLE results"
    return send_traffic(title, values, mix, mix, subject=subject)
