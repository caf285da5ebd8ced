"""Scenario `memory`: what each process needs once there are a million profiles."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from bench.conversation import plain_part
from bench.decided_links import DecidedLinks
from bench.growth import describe_slice
from bench.ledger import Tally
from bench.orders import order_of
from bench.parameters import Parameter
from bench.processes import RAY
from bench.report import describe_parts, print_line, print_traffic
from bench.run import judge, started
from bench.service import ADMIN_TOKEN, BenchFailedError
from bench.workload import EVEN_SHIFT, Mix

if TYPE_CHECKING:
    from collections.abc import Mapping

PARAMETERS: Final = (
    Parameter("shards", 2, 2, "shards"),
    Parameter("slices", 2, 9, "parts of the load; memory is shown after each"),
    Parameter("events", 2_000, 200_000, "events of a slice"),
    Parameter("arrivals", 500, 500, "of 1,000 events, how many are somebody's first"),
    Parameter("batch", 250, 1_000, "events in a batch"),
    Parameter("window", 4, 4, "batches of a stream that may await their answer"),
    Parameter("streams", 4, 4, "callers at a time, each with people and a connection of its own"),
    Parameter("profiles", 50, 400, "profiles read back and compared afterwards"),
    Parameter("seed", 1, 1, "seed of the traffic"),
)
_MB: Final = 2**20


def run(values: Mapping[str, int]) -> None:
    """Loads a million profiles; prints the anonymous memory of each process before and after."""
    part = plain_part(values["events"], Mix(values["arrivals"], EVEN_SHIFT))
    order = order_of(values, *[part] * values["slices"], is_built_ahead=False)
    tally, results = Tally(), Counter[str]()
    with started("memory: anonymous memory by profiles", order, values) as bench:
        with DecidedLinks(bench.address, ADMIN_TOKEN) as service:
            service.wait_at_rest()
            empty = bench.memory_bytes()
            for number in range(values["slices"]):
                measured = bench.measure()
                tally.add(bench.built.tallies[number])
                results.update(measured.sent.results)
                print_line(f"slice {number + 1}", describe_slice(measured))
            service.wait_at_rest()
            loaded = bench.memory_bytes()
            profiles_count = service.profiles_count()
        checked = bench.check()
    print_traffic(tally, Tally(), results)
    print_line("profiles", f"{profiles_count:,} of {tally.events_count:,} events")
    _print_memory("empty", empty)
    _print_memory("loaded", loaded)
    _print_memory("grown", {part: size - empty.get(part, 0) for part, size in loaded.items()})
    judge(tally, results, checked)
    if profiles_count != bench.built.profiles_count:
        raise BenchFailedError(
            f"there are {profiles_count} profiles, not {bench.built.profiles_count}"
        )
    print_line("checksum", f"{checked.checksum} of {checked.profiles_count} profiles read back")


def _print_memory(name: str, sizes: Mapping[str, int]) -> None:
    total = sum(size for part, size in sizes.items() if part != RAY) / _MB
    parts = describe_parts({part: size / _MB for part, size in sizes.items()}, "{:.0f}")
    print_line(name, f"{total:.0f} MB without Ray's own processes: {parts}")
