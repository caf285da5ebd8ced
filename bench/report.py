"""Prints what a scenario measured, one line a subject."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.processes import CLIENT, GATEWAY, RAY

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from bench.conversation import Sent
    from bench.ledger import Tally
    from bench.processes import Usage

_LABEL_CHARS = 15


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What was measured between two moments."""

    events_count: int
    payload_bytes: int
    """Of the serialised events."""
    sent: Sent
    usages: Mapping[str, Usage]
    """By part of the service, and of the client."""
    memory_bytes_max: Mapping[str, int]
    stored_bytes: int
    """By which the data directory grew."""
    is_unary: bool = False
    """Whether each batch was a call of its own."""

    @property
    def events_per_s(self) -> float:
        """The rate, from the first batch sent to the last answer."""
        return self.events_count / self.sent.seconds

    @property
    def cpu_us(self) -> float:
        """An event's, of all parts together."""
        return sum(usage.cpu_us for usage in self.usages.values()) / self.events_count


def print_line(label: str, text: str) -> None:
    """Prints a subject and what there is to say about it, at once."""
    print(f"{label:<{_LABEL_CHARS}}{text}", flush=True)


def print_traffic(tally: Tally, warm_up: Tally, results: Mapping[str, int]) -> None:
    """Prints what was measured, by the generator's own account, and what the service said of it.

    Args:
        tally: of what was measured.
        warm_up: of what was sent before.
        results: as in `Sent`.
    """
    count = tally.events_count
    shares = ", ".join(
        f"{each}: {100 * events / count:.0f} %"
        for each, events in sorted(tally.by_identifiers.items())
    )
    print_line(
        "traffic",
        f"{count:,} events of {tally.bytes_count / count:.0f} bytes after "
        f"{warm_up.events_count:,}; identifiers an event {shares}; "
        f"{100 * tally.novel_count / count:.2f} % novel links ({tally.merges_count:,} merges), "
        f"{100 * tally.refused_count / count:.2f} % refused links, "
        f"{100 * tally.late_count / count:.1f} % late, "
        f"{100 * tally.repeats_count / count:.1f} % repeated",
    )
    if results:
        said = ", ".join(f"{name}: {number:,}" for name, number in sorted(results.items()))
        print_line("results", said)


def print_measured(measured: Measured, name: str = "") -> None:
    """Prints throughput, latency, and what each part used for it.

    Args:
        measured: what to print.
        name: of what was measured, where a scenario measures several things.
    """
    prefix = f"{name} " if name else ""
    count, seconds = measured.events_count, measured.sent.seconds
    answers = sorted(measured.sent.answers_ms)
    calls_count = measured.sent.calls_count or len(answers)
    rate = f"{measured.events_per_s:,.0f} events/s: {count:,} in {seconds:.2f} s"
    print_line(f"{prefix}rate", rate)
    print_line(
        f"{prefix}ack",
        f"{describe_times(answers, '{:.0f}')} of {calls_count:,} batches"
        if not measured.is_unary
        else f"{describe_times(answers, '{:.1f}')} of {calls_count:,} calls",
    )
    cpu = {part: usage.cpu_us / count for part, usage in measured.usages.items()}
    costs = describe_parts(cpu, "{:.1f}")
    print_line(f"{prefix}CPU", f"{measured.cpu_us:.1f} µs/event: {costs}")
    written = {
        part: usage.written_bytes / count
        for part, usage in measured.usages.items()
        if usage.written_bytes
    }
    print_line(
        f"{prefix}written",
        f"{sum(written.values()):,.0f} bytes/event: {describe_parts(written, '{:,.0f}')}",
    )
    memory = {part: size / 2**20 for part, size in measured.memory_bytes_max.items()}
    print_line(f"{prefix}memory", f"peak anonymous MB: {describe_parts(memory, '{:.0f}')}")
    payload = measured.payload_bytes / count
    print_line(
        f"{prefix}stored",
        f"{measured.stored_bytes / count:,.0f} bytes/event on disk, for {payload:.0f} sent",
    )


def describe_times(ordered_ms: list[float], form: str) -> str:
    """Returns percentiles and the maximum of an ordered, non-empty list of milliseconds."""
    shown = [f"p{each} {form.format(percentile(ordered_ms, each))} ms" for each in (50, 90, 99)]
    return ", ".join([*shown, f"max {form.format(ordered_ms[-1])} ms"])


def percentile(ordered: list[float], percent: float) -> float:
    """Returns the value that `percent` of an ordered, non-empty list do not exceed."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def in_order(parts: Iterable[str]) -> list[str]:
    """Returns parts along the way of an event, the client last but for Ray."""
    last = {CLIENT: 2, RAY: 3}
    return sorted(parts, key=lambda part: (0 if part == GATEWAY else last.get(part, 1), part))


def describe_parts(values: Mapping[str, float], form: str) -> str:
    """Returns each part with its value, formatted."""
    return ", ".join(f"{part} {form.format(values[part])}" for part in in_order(values))
