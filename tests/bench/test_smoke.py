"""Benches run, at their small size, so that they cannot rot. Nothing here asserts a time."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LINES = (
    ("machine", r"\d+ cores of .+ grpcio \d"),
    ("load", r"load average .+ fsync"),
    ("commit", r"\w+"),
    ("parameters", r"shards=2 .*events=6000"),
    ("disk", r"at most \d+ MB in .+, freed afterwards"),
    ("traffic", r"6,000 events of \d+ bytes .+ % novel links"),
    ("rate", r"[\d,]+ events/s: 6,000 in "),
    ("ack", r"p50 \d+ ms, .+ max \d+ ms of 24 batches"),
    ("CPU", r"µs/event: gateway .+ merge-0 .+ shard-0 .+ shard-1 .+ client .+ ray "),
    ("written", r"bytes/event: .*shard-0 "),
    ("memory", r"peak anonymous MB: gateway "),
    ("stored", r"bytes/event on disk, for \d+ sent"),
    ("checksum", r"[0-9a-f]{16} of 50 profiles read back"),
)


@pytest.mark.ray
@pytest.mark.timeout(120)
def test_ingest_ends_with_every_figure_and_a_checked_result() -> None:
    """`python -m bench ingest --smoke` shows all it promises, and leaves no directory behind."""
    command = [sys.executable, "-m", "bench", "ingest", "--smoke"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert ended.returncode == 0, ended.stdout + ended.stderr
    printed = dict(line.split(maxsplit=1) for line in ended.stdout.splitlines())
    for label, pattern in LINES:
        assert re.search(pattern, printed[label]), f"{label} {printed[label]}"
    directory = re.search(r"in (\S+),", printed["disk"])
    assert directory is not None
    assert not Path(directory[1]).exists()
