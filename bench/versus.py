"""Runs the service and a yardstick by turns, and prints by how much they differ."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING, Final

from bench.report import in_order, print_line
from bench.yardsticks import SERVICE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bench.report import Measured
    from bench.yardsticks import Subject

PAIRS: Final = 5
PAIRS_SMOKE: Final = 1


def compare(yardstick: Subject, pairs: int, run: Callable[[Subject], Measured]) -> None:
    """Runs pairs, prints every run, and at the end the medians and their ratio.

    Who is first changes from pair to pair, so that a machine that gets slower favours nobody.

    Args:
        yardstick: what the service is compared with.
        pairs: how many.
        run: runs the scenario once, prints it and returns what was measured.
    """
    measured: dict[str, list[Measured]] = {SERVICE.name: [], yardstick.name: []}
    for number in range(pairs):
        turns = (SERVICE, yardstick) if number % 2 == 0 else (yardstick, SERVICE)
        for subject in turns:
            print_line("pair", f"{number + 1} of {pairs}: {subject.name}, {subject.text}")
            measured[subject.name].append(run(subject))
    for name, runs in measured.items():
        print_line(name, describe_runs(runs))
    ours, theirs = measured[SERVICE.name], measured[yardstick.name]
    rates = [a.events_per_s / b.events_per_s for a, b in zip(ours, theirs, strict=True)]
    costs = [a.cpu_us / b.cpu_us for a, b in zip(ours, theirs, strict=True)]
    print_line(
        "ratio",
        f"service/{yardstick.name}: rate {_spread(rates)}, CPU {_spread(costs)} of {pairs} pairs",
    )


def describe_runs(runs: Sequence[Measured]) -> str:
    """Returns the medians of a subject's runs: rate, CPU by process, bytes written."""
    rates = [each.events_per_s for each in runs]
    parts = in_order({part for each in runs for part in each.usages})
    by_part = ", ".join(
        f"{part} {median([_cpu_us(each, part) for each in runs]):.1f}" for part in parts
    )
    written = median(
        [
            sum(use.written_bytes for use in each.usages.values()) / each.events_count
            for each in runs
        ]
    )
    return (
        f"median {median(rates):,.0f} events/s ({min(rates):,.0f} to {max(rates):,.0f}), "
        f"CPU {median([each.cpu_us for each in runs]):.1f} µs/event: {by_part}; "
        f"{written:,.0f} bytes/event written"
    )


def _cpu_us(measured: Measured, part: str) -> float:
    usage = measured.usages.get(part)
    return usage.cpu_us / measured.events_count if usage else 0.0


def _spread(ratios: Sequence[float]) -> str:
    return f"median {median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
