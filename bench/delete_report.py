"""Prints what slices of traffic before and after deletions have in common, and what not."""

from __future__ import annotations

from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

from bench.processes import NOTHING
from bench.report import in_order, percentile, print_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from bench.conversation import Deleted
    from bench.ledger import Tally
    from bench.report import Measured


class Slice(NamedTuple):
    """Traffic of which all is as it was but for what was deleted in between."""

    measured: Measured
    tally: Tally
    decided_count: int
    """Links decided by the service."""

    @property
    def expected_count(self) -> int:
        """Links that the service cannot know yet, or has to refuse again."""
        return self.tally.novel_count + self.tally.refused_count

    @property
    def linking_count(self) -> int:
        """Events with several identifiers: links that are known, and those that are not."""
        return sum(events for count, events in self.tally.by_identifiers.items() if count > 1)


class Pair(NamedTuple):
    """A deletion between two slices."""

    before: Slice
    deleted: Deleted
    after: Slice


def print_pairs(pairs: Sequence[Pair]) -> None:
    """Prints rates, CPU and decisions before and after, their ratios, and what deleting took."""
    before, after = [pair.before for pair in pairs], [pair.after for pair in pairs]
    rates = [median(each.measured.events_per_s for each in side) for side in (before, after)]
    print_line(
        "rate",
        f"events/s before {rates[0]:,.0f}, after {rates[1]:,.0f}, "
        f"medians of {len(pairs)} slices each",
    )
    print_line("CPU", _cpu(before, after))
    print_line("ratio", f"after/before: {_ratios(zip(before, after, strict=True))}")
    # The same look at neighbours with nothing deleted between them: what a ratio is worth.
    neighbours = [(first.after, second.before) for first, second in pairwise(pairs)]
    if neighbours:
        print_line("control", f"later/earlier, none deleted between: {_ratios(neighbours)}")
    print_line(
        "decided",
        f"links a slice before {_spread(each.decided_count for each in before)}, "
        f"after {_spread(each.decided_count for each in after)}; the ledger expects "
        f"{_spread(each.expected_count for each in before)} and "
        f"{_spread(each.expected_count for each in after)} "
        f"of {_spread(each.linking_count for each in before)} with several identifiers",
    )
    took_ms = sorted(pair.deleted.took_ms for pair in pairs)
    sizes = [pair.deleted.identifiers_count for pair in pairs]
    print_line(
        "deletion",
        f"p50 {percentile(took_ms, 50):.1f} ms, max {took_ms[-1]:.1f} ms of {len(pairs)}, "
        f"each of one identifier from a profile of {min(sizes)} to {max(sizes)}",
    )


def _cpu(before: Sequence[Slice], after: Sequence[Slice]) -> str:
    """Describes what an event cost each part, over all slices before and over all after."""
    parts = in_order({part for each in before for part in each.measured.usages})
    medians = [median(each.measured.cpu_us for each in side) for side in (before, after)]
    costs = ", ".join(
        f"{part} {_part_cpu(before, part):.1f} / {_part_cpu(after, part):.1f}" for part in parts
    )
    return f"µs/event before {medians[0]:.1f}, after {medians[1]:.1f}: {costs}"


def _part_cpu(slices: Sequence[Slice], part: str) -> float:
    used = sum(each.measured.usages.get(part, NOTHING).cpu_us for each in slices)
    return used / sum(each.measured.events_count for each in slices)


def _ratios(neighbours: Iterable[tuple[Slice, Slice]]) -> str:
    """Describes by how much the later of two slices differs from the earlier one."""
    measured = [(earlier.measured, later.measured) for earlier, later in neighbours]
    rates = [later.events_per_s / earlier.events_per_s for earlier, later in measured]
    costs = [later.cpu_us / earlier.cpu_us for earlier, later in measured]
    return ", ".join(
        f"{name} median {median(each):.3f} ({min(each):.3f} to {max(each):.3f})"
        for name, each in (("rate", rates), ("CPU", costs))
    )


def _spread(counts: Iterable[int]) -> str:
    ordered = sorted(counts)
    return f"{median(ordered):,.0f} ({ordered[0]:,} to {ordered[-1]:,})"
