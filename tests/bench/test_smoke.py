"""Benches run, at their small size, so that they cannot rot. Nothing here asserts a time."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MACHINE = (
    ("machine", r"\d+ cores of .+ grpcio \d"),
    ("load", r"load average .+ fsync"),
    ("commit", r"\w+"),
    ("disk", r"at most \d+ MB in .+, freed afterwards"),
)
INGEST = (
    *MACHINE,
    ("parameters", r"shards=2 .*events=6000"),
    ("traffic", r"6,000 events of \d+ bytes .+ % novel links"),
    ("rate", r"[\d,]+ events/s: 6,000 in "),
    ("ack", r"p50 \d+ ms, .+ max \d+ ms of 24 batches"),
    ("CPU", r"µs/event: gateway .+ merge-0 .+ shard-0 .+ shard-1 .+ client .+ ray "),
    ("written", r"bytes/event: .*shard-0 "),
    ("memory", r"peak anonymous MB: gateway "),
    ("stored", r"bytes/event on disk, for \d+ sent"),
    ("checksum", r"[0-9a-f]{16} of 50 profiles read back"),
)
DELETE = (
    *MACHINE,
    ("parameters", r"shards=2 warm_up=500 pairs=5 events=1000"),
    ("known", r"[5-9]\d\d combinations after the warm-up"),
    ("traffic", r"10,000 events of \d+ bytes .+ % novel links"),
    ("rate", r"before [\d,]+, after [\d,]+, medians of 5 slices"),
    ("CPU", r"µs/event before .+, after .+: gateway .+ / .+ merge-0 .+ / .+ shard-1 .+ client "),
    ("ratio", r"after/before: rate median \S+ \(.+ to .+\), CPU median \S+ \(.+ to .+\)"),
    ("control", r"none deleted between: rate median \S+ .+ CPU median "),
    ("decided", r"before \d+ \(\d+ to \d+\), after \d+ \(.+ expects \d+ .+ with several ident"),
    ("deletion", r"p50 \S+ ms, max \S+ ms of 5, each of one identifier from a profile of "),
    ("checksum", r"[0-9a-f]{16} of 65 profiles read back: 5 before and after their deletion"),
)

RECOVERY = (
    *MACHINE,
    ("parameters", r"shards=1 load=1000 kills=2 events=1000"),
    ("traffic", r"2,000 events of \d+ bytes .+ % novel links"),
    ("shard", r"[\d,]{5,} profiles, [\d,]+ identifiers, [\d,]+ events, \d+ MB"),
    ("kill", r"2 +serving after [\d,]+ ms: append [\d,]+, read [\d,]+; .+ of \d+ records"),
    ("serving", r"median [\d,]+ ms after the kill, [\d,]+ to [\d,]+ in 2 kills"),
    ("of", r"which +restart .+, opening .+, replay .+, first answer .+ ms, .+ tail of .+ MB"),
    ("checksum", r"[0-9a-f]{16} of 50 profiles read back"),
)


@pytest.mark.ray
@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("scenario", "lines"), [("ingest", INGEST), ("delete", DELETE), ("recovery", RECOVERY)]
)
def test_a_scenario_ends_with_every_figure_and_a_checked_result(
    scenario: str, lines: tuple[tuple[str, str], ...]
) -> None:
    """A smoke run shows all that the scenario promises, and leaves no directory behind."""
    command = [sys.executable, "-m", "bench", scenario, "--smoke"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert ended.returncode == 0, ended.stdout + ended.stderr
    printed = dict(line.split(maxsplit=1) for line in ended.stdout.splitlines())
    for label, pattern in lines:
        assert re.search(pattern, printed[label]), f"{label} {printed[label]}"
    directory = re.search(r"in (\S+),", printed["disk"])
    assert directory is not None
    assert not Path(directory[1]).exists()
