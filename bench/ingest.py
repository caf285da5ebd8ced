"""Scenario `ingest`: known traffic over `IngestStream`, every batch acknowledged RESOLVED."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

from bench.client_process import ClientProcess
from bench.conversation import Order
from bench.machine import describe_commit, describe_load, describe_machine
from bench.parameters import Parameter
from bench.processes import CLIENT, directory_bytes
from bench.report import Measured, print_line, print_measured, print_traffic
from bench.service import ACCESS_TOKEN, WRITE_KEY, BenchFailedError, BoundedDirectory, Service
from bench.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bench.conversation import Built, Checked, Sent

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
DISK_BYTES_PER_EVENT_MAX: Final = 3_000
DISK_BYTES_MIN: Final = 300_000_000
"""Two files a store, Ray's logs."""


def run(values: Mapping[str, int]) -> None:
    """Sends known traffic through gRPC; prints rate, CPU, bytes, latency and a checksum."""
    order = Order(
        seed=values["seed"],
        streams=values["streams"],
        warm_up_events=values["warm_up"],
        warm_up_arrivals=WARM_UP_ARRIVALS,
        events=values["events"],
        arrivals=values["arrivals"],
        batch=values["batch"],
        window=values["window"],
        profiles_checked=values["profiles"],
        write_key=WRITE_KEY,
        access_token=ACCESS_TOKEN,
    )
    events = order.warm_up_events + order.events
    disk_bytes_max = DISK_BYTES_MIN + DISK_BYTES_PER_EVENT_MAX * events
    print_line("bench", "ingest: known traffic, IngestStream, RESOLVED, NOTABLE results")
    with BoundedDirectory(disk_bytes_max) as directory:
        print_line("machine", describe_machine())
        print_line("load", describe_load(directory.path))
        print_line("commit", describe_commit())
        print_line("parameters", " ".join(f"{name}={value}" for name, value in values.items()))
        print_line(
            "disk", f"at most {disk_bytes_max >> 20} MB in {directory.path}, freed afterwards"
        )
        with (
            ClientProcess(order) as client,
            Service(directory.path, shards=values["shards"]) as service,
        ):
            watch = Watch(service.tree, directory.path, disk_bytes_max)
            try:
                built, measured, checked = _measure(client, service, watch)
            finally:
                watch.stop()
    print_traffic(built, measured.sent)
    print_measured(measured)
    _judge(built, measured.sent, checked)
    print_line("checksum", f"{checked.checksum} of {checked.profiles_count} profiles read back")


def _measure(
    client: ClientProcess, service: Service, watch: Watch
) -> tuple[Built, Measured, Checked]:
    """Sends both parts and reads back; the usage counts from the end of the warm-up."""
    address = service.wait_ready()
    built = client.wait_built()
    service.tree.add(client.number, CLIENT)
    client.send(address)
    parts = service.tree.parts()
    print("measuring:", *(f"{part}={number}" for number, part in parts.items()), file=sys.stderr)
    watch.memory_bytes_max.clear()
    stored_bytes = directory_bytes(service.data_dir)
    before = service.tree.sample()
    sent = client.send(address)
    after = service.tree.sample()
    stored_bytes = directory_bytes(service.data_dir) - stored_bytes
    watch.note_memory()
    memory_bytes_max = dict(watch.memory_bytes_max)
    checked = client.check(address)
    service.check_alive()
    return (
        built,
        Measured(
            events_count=built.measured.events_count,
            payload_bytes=built.measured.bytes_count,
            sent=sent,
            usages={
                part: usage.since(before[part]) for part, usage in after.items() if part in before
            },
            memory_bytes_max=memory_bytes_max,
            stored_bytes=stored_bytes,
        ),
        checked,
    )


def _judge(built: Built, sent: Sent, checked: Checked) -> None:
    """Fails where the service did not do what the ledger says it has to."""
    problems = checked.wrong[:5]
    if checked.wrong[5:]:
        problems.append(f"and {len(checked.wrong) - 5} more profiles differ")
    repeats = sent.results.get("EVENT_STATUS_DUPLICATE", 0)
    if repeats != built.measured.repeats_count:
        expected = built.measured.repeats_count
        problems.append(f"{repeats} events were called duplicates, not {expected}")
    if rejected := sent.results.get("EVENT_STATUS_REJECTED", 0):
        problems.append(f"{rejected} events were rejected")
    if problems:
        raise BenchFailedError("; ".join(problems))
