"""What every scenario does: says what it depends on, starts everything, measures part by part."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Final

from bench.client_process import ClientProcess
from bench.conversation import Sent
from bench.ledger import Tally
from bench.machine import describe_commit, describe_load, describe_machine
from bench.processes import CLIENT, directory_bytes
from bench.report import Measured, print_line
from bench.service import BenchFailedError, BoundedDirectory, Service
from bench.watch import Watch
from bench.yardsticks import SERVICE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from bench.conversation import Answered, Checked, Deleted, Order
    from bench.yardsticks import Subject

DISK_BYTES_PER_EVENT_MAX: Final = 3_000
"""Unless a scenario knows better."""
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
        self._build()
        self._client.send(self.address)
        self._parts_sent += 1
        parts = self._service.tree.parts()
        measuring = (f"{part}={number}" for number, part in parts.items())
        print("measuring:", *measuring, file=sys.stderr)

    def measure(self, *, events_per_s: int = 0, readers: int = 0) -> Measured:
        """Sends the next part; what each process used counts from its start to its end.

        Args:
            events_per_s: at which rate; 0: as fast as answers come.
            readers: callers that read traits meanwhile.
        """
        self._build()
        tally = self.built.tallies[self._parts_sent]
        part = self._client.order.parts[self._parts_sent]

        def send() -> Sent:
            if part.is_http:
                return self._client.send_http(self._service.http_address)
            return self._client.send(self.address, events_per_s=events_per_s, readers=readers)

        measured = self._measure(send, tally, is_unary=part.is_unary or part.is_http)
        self._parts_sent += 1
        return measured

    def send_to_nobody(self, address: str) -> Answered:
        """Sends the next part to a handler that does nothing; it is still the next one."""
        self._build()
        return self._client.send_to_nobody(address)

    def read(self, *, callers: int, count: int) -> Measured:
        """Has traits read by callers at once, so often in all: an event is a read."""

        def read() -> Sent:
            reads = self._client.read(self.address, callers=callers, count=count)
            return Sent(reads.seconds, reads.answers_ms, {}, reads)

        return self._measure(read, Tally(events_count=count // callers * callers), is_unary=True)

    def read_http(self, *, callers: int, count: int) -> Measured:
        """Has traits read over HTTP by callers at once, so often in all: an event is a read."""

        def read() -> Sent:
            read = self._client.read_http(
                self._service.http_address, callers=callers, count=count, is_empty=False
            )
            return Sent(read.seconds, read.answers_ms, {}, calls_count=read.calls_count)

        return self._measure(read, Tally(events_count=count), is_unary=True)

    def read_nothing_http(self, address: str, *, callers: int, count: int) -> Answered:
        """Has a handler that does nothing asked for the same."""
        return self._client.read_http(address, callers=callers, count=count, is_empty=True)

    def _measure(self, act: Callable[[], Sent], tally: Tally, *, is_unary: bool) -> Measured:
        service, watch = self._service, self._watch
        watch.memory_bytes_max.clear()
        stored_bytes = directory_bytes(service.data_dir)
        before = service.sample()
        sent = act()
        after = service.sample()
        stored_bytes = directory_bytes(service.data_dir) - stored_bytes
        watch.note_memory()
        return Measured(
            events_count=tally.events_count,
            is_unary=is_unary,
            payload_bytes=tally.bytes_count,
            sent=sent,
            usages={
                part: usage.since(before[part]) for part, usage in after.items() if part in before
            },
            memory_bytes_max=dict(watch.memory_bytes_max),
            stored_bytes=stored_bytes,
        )

    def _build(self) -> None:
        """Has the next part built, unless it was beforehand."""
        if len(self.built.tallies) == self._parts_sent:
            self.built = self.built.plus(self._client.build(self.address))

    def memory_bytes(self) -> dict[str, int]:
        """Returns the anonymous memory of each part of the service now."""
        usages = self._service.sample()
        return {part: usage.anonymous_bytes for part, usage in usages.items() if part != CLIENT}

    def delete(self) -> Deleted:
        """Deletes the next identifier, as the order has it."""
        return self._client.delete(self.address)

    def check(self) -> Checked:
        """Reads profiles back; the service has to be alive afterwards."""
        checked = self._service.check(self._client, self.address)
        self._service.check_alive()
        return checked


@contextmanager
def started(
    title: str,
    order: Order,
    values: Mapping[str, int],
    *,
    log_level: str = "warning",
    disk_bytes_per_event_max: int = DISK_BYTES_PER_EVENT_MAX,
    subject: Subject = SERVICE,
    settings: Mapping[str, str] | None = None,
) -> Iterator[Run]:
    """Prints what the figures depend on and runs a service; nothing is left of it afterwards.

    Args:
        title: the scenario's name, and what it is about.
        order: what the sending process will be asked to do.
        values: the scenario's parameters.
        log_level: the service's.
        disk_bytes_per_event_max: bounds the disk, with what an empty service needs.
        subject: the service, or what it is compared with.
        settings: of the service, as `UNIFY_*`; for the service alone.
    """
    launch = partial(Service, settings=settings) if settings else subject.launch
    events = sum(part.events_max for part in order.parts)
    disk_bytes_max = DISK_BYTES_MIN + disk_bytes_per_event_max * events + subject.disk_bytes
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
            launch(directory.path, shards=values["shards"], log_level=log_level) as service,
        ):
            watch = Watch(service, directory.path, disk_bytes_max)
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
