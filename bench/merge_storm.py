"""Scenario `merge_storm`: every event merges two profiles, into chains and into stars.

Everybody has a profile of their own before. The members of a chain or star lie on all shards.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from bench.conversation import plain_part
from bench.decided_links import DecidedLinks
from bench.ingest import WARM_UP_MIX
from bench.ledger import Tally
from bench.orders import order_of
from bench.parameters import Parameter
from bench.report import print_line, print_measured, print_traffic
from bench.run import judge, started
from bench.service import ADMIN_TOKEN, BenchFailedError
from bench.streams import STORM

if TYPE_CHECKING:
    from collections.abc import Mapping

PARAMETERS: Final = (
    Parameter("shards", 2, 2, "shards"),
    Parameter("clusters", 40, 4_000, "chains, and as many stars"),
    Parameter("members", 12, 25, "identifiers of a chain or star, 2 at the least"),
    Parameter("batch", 125, 1_000, "events in a batch"),
    Parameter("window", 4, 4, "batches of a stream that may await their answer"),
    Parameter("streams", 4, 4, "callers at a time, each with chains, stars and a connection"),
    Parameter("profiles", 50, 400, "profiles read back and compared afterwards"),
    Parameter("seed", 1, 1, "seed of the order in which links come"),
)


def run(values: Mapping[str, int]) -> None:
    """Merges profiles into chains and stars; prints what `ingest` prints, for both."""
    clusters = values["clusters"] // values["streams"]
    members = values["members"]
    total = clusters * values["streams"]
    merges = plain_part(total * (members - 1), WARM_UP_MIX)
    order = order_of(
        values,
        plain_part(2 * total * members, WARM_UP_MIX),
        merges,
        merges,
        traffic=STORM,
        sizes=(clusters, members),
    )
    title = "merge_storm: every event merges two profiles, IngestStream, RESOLVED"
    with started(title, order, values) as bench:
        bench.warm_up()
        with DecidedLinks(bench.address, ADMIN_TOKEN) as decided:
            before = decided.wait_at_rest()
            chains = bench.measure()
            stars = bench.measure()
            decided_count = decided.wait_at_rest() - before
        checked = bench.check()
    tally, results = Tally(), Counter[str]()
    for measured, counted in zip((chains, stars), bench.built.tallies[1:], strict=True):
        tally.add(counted)
        results.update(measured.sent.results)
    print_traffic(tally, bench.built.tallies[0], results)
    print_measured(chains, "chains")
    print_measured(stars, "stars")
    print_line("merged", f"{tally.merges_count:,} profiles by {decided_count:,} decided links")
    judge(tally, results, checked)
    if decided_count < tally.merges_count:
        raise BenchFailedError(f"{decided_count} links were decided, not {tally.merges_count}")
    print_line("checksum", f"{checked.checksum} of {checked.profiles_count} profiles read back")
