"""Scenario `hot_key`: known traffic of which a tenth of all events are one identifier's.

All callers send that identifier, as a test account or a crawler that signed in would come.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from bench.ingest import WARM_UP_MIX, send_traffic
from bench.parameters import Parameter
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
    Parameter("arrivals", 20, 20, "of 1,000 other events, how many are somebody's first"),
    Parameter("hot", 100, 100, "of 1,000 events, how many are the one identifier's"),
    Parameter("profiles", 50, 400, "profiles read back and compared afterwards, besides the hot"),
    Parameter("seed", 1, 1, "seed of the traffic"),
)


def run(values: Mapping[str, int]) -> None:
    """Sends a tenth of all events on one identifier; prints what `ingest` prints."""
    warm_up = WARM_UP_MIX._replace(hot=values["hot"])
    mix = Mix(values["arrivals"], ZIPF_SHIFT, hot=values["hot"])
    title = "hot_key: a tenth of all events on one identifier, IngestStream, RESOLVED"
    send_traffic(title, values, warm_up, mix)
