"""What every scenario does: says what it depends on, starts everything, measures part by part."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from bench.client_process import ClientProcess
from bench.machine import describe_commit, describe_load, describe_machine
from bench.processes import CLIENT, directory_bytes
from bench.report import Measured, print_line
from bench.service import BenchFailedError, BoundedDirectory, Service
from bench.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from bench.conversation import Checked, Deleted, Order
    from bench.ledger import Tally

DISK_BYTES_PER_EVENT_MAX: Final = 3_000
DISK_BYTES_MIN: Final = 300_000_000
"""Two files a store, Ray's logs."""
PROBLEMS_SHOWN_MAX: Final = 5


class Run:
    """A service with its sending process, for as long as a scenario takes."""

    def __init__(self, client: ClientProcess, service: Service, watch: Watch) -> None:
        """Waits until both are ready."""
        self._client = client
        self._service = service
        self._watch = watch
        self.address = service.wait_ready()
        self.built = client.wait_built()
        self._parts_sent = 0
        service.tree.add(client.number, CLIENT)

    @property
    def service(self) -> Service:
        """The service under test."""
        return self._service

    def warm_up(self) -> None:
        """Sends a part that is not measured, and prints which processes will be."""
        self._client.send(self.address)
        self._parts_sent += 1
        parts = self._service.tree.parts()
        measuring = (f"{part}={number}" for number, part in parts.items())
        print("measuring:", *measuring, file=sys.stderr)

    def measure(self) -> Measured:
        """Sends the next part; what each process used counts from its start to its end."""
        tally = self.built.tallies[self._parts_sent]
        service, watch = self._service, self._watch
        watch.memory_bytes_max.clear()
        stored_bytes = directory_bytes(service.data_dir)
        before = service.tree.sample()
        sent = self._client.send(self.address)
        after = service.tree.sample()
        stored_bytes = directory_bytes(service.data_dir) - stored_bytes
        watch.note_memory()
        self._parts_sent += 1
        return Measured(
            events_count=tally.events_count,
            payload_bytes=tally.bytes_count,
            sent=sent,
            usages={
                part: usage.since(before[part]) for part, usage in after.items() if part in before
            },
            memory_bytes_max=dict(watch.memory_bytes_max),
            stored_bytes=stored_bytes,
        )

    def delete(self) -> Deleted:
        """Deletes the next identifier, as the order has it."""
        return self._client.delete(self.address)

    def check(self) -> Checked:
        """Reads profiles back; the service has to be alive afterwards."""
        checked = self._client.check(self.address)
        self._service.check_alive()
        return checked


@contextmanager
def started(
    title: str, order: Order, values: Mapping[str, int], *, log_level: str = "warning"
) -> Iterator[Run]:
    """Prints what the figures depend on and runs a service; nothing is left of it afterwards.

    Args:
        title: the scenario's name, and what it is about.
        order: what the sending process will be asked to do.
        values: the scenario's parameters.
        log_level: the service's.
    """
    events = sum(part.events_max for part in order.parts)
    disk_bytes_max = DISK_BYTES_MIN + DISK_BYTES_PER_EVENT_MAX * events
    print_line("bench", title)
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
            Service(directory.path, shards=values["shards"], log_level=log_level) as service,
        ):
            watch = Watch(service.tree, directory.path, disk_bytes_max)
            try:
                yield Run(client, service, watch)
            finally:
                watch.stop()


def judge(tally: Tally, results: Mapping[str, int], checked: Checked) -> None:
    """Raises `BenchFailedError` where the service did not do what the ledger says it has to.

    Args:
        tally: of what was measured.
        results: what the service said of that, as in `Sent`.
        checked: what was read back.
    """
    problems = checked.wrong[:PROBLEMS_SHOWN_MAX]
    if rest := checked.wrong[PROBLEMS_SHOWN_MAX:]:
        problems.append(f"and {len(rest)} more profiles differ")
    repeats = results.get("EVENT_STATUS_DUPLICATE", 0)
    if repeats != tally.repeats_count:
        problems.append(f"{repeats} events were called duplicates, not {tally.repeats_count}")
    if rejected := results.get("EVENT_STATUS_REJECTED", 0):
        problems.append(f"{rejected} events were rejected")
    if problems:
        raise BenchFailedError("; ".join(problems))
