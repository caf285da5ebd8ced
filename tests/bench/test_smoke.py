"""Benches run, at their small size, so that they cannot rot. Nothing here asserts a time."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from bench.wrk import is_installed

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

COLD = (
    *MACHINE,
    ("parameters", r"shards=2 .*events=6000"),
    ("traffic", r"6,000 events of \d+ bytes .+ [23]\d\.\d\d % novel links \(\d\d+ merges\)"),
    *INGEST[6:],
)
GROWTH = (
    *MACHINE,
    ("parameters", r"shards=2 .*slices=3 events=2000"),
    ("slice 3", r"[\d,]+ events/s, .+ µs/event, p50 .+ p99 .+ max .+ written, .+ MB: gateway "),
    ("traffic", r"6,000 events of \d+ bytes .+ % novel links"),
    ("first CPU", r"µs/event: gateway .+ merge-0 .+ shard-0 "),
    ("last rate", r"[\d,]+ events/s: 2,000 in "),
    ("growth", r"last slice against the first: CPU .+, rate .+ bytes/event written in all"),
    INGEST[-1],
)
UNARY = (
    *MACHINE,
    ("parameters", r"shards=2 .*single=100 streams=20 events=1000 "),
    ("one rate", r"[\d,]+ events/s: 100 in "),
    ("one ack", r"p50 \d+\.\d ms, .+ max \d+\.\d ms of 100 calls"),
    ("one CPU", r"µs/event: gateway .+ merge-0 .+ shard-0 "),
    ("many rate", r"[\d,]+ events/s: 1,000 in "),
    ("many ack", r"p50 \d+\.\d ms, .+ max \d+\.\d ms of \d+ calls"),
    ("many CPU", r"µs/event: gateway .+ merge-0 .+ shard-0 "),
    INGEST[-1],
)
READ = (
    *MACHINE,
    ("parameters", r"shards=2 .*reads=200 callers=10 reads_many=500 events=4000 "),
    ("idle", r"p50 \d+\.\d ms, .+ p99 .+ max .+ of 200 reads, [\d,]+ reads/s"),
    ("many", r"p50 \d+\.\d ms, .+ p99 .+ max .+ of 500 reads, [\d,]+ reads/s"),
    ("many CPU", r"µs/read: gateway .+ shard-0 .+ client "),
    ("peak rate", r"[\d,]+ events/s: 4,000 in "),
    ("half rate", r"[\d,]+ events/s: 4,000 in "),
    ("beside", r"p50 \d+\.\d ms, .+ p99 .+ max .+ reads/s, 2 callers"),
    ("read", r"[0-9a-f]{16}, [0-9a-f]{16} of traits with one, many callers"),
    INGEST[-1],
)
HTTP = (
    *MACHINE,
    ("parameters", r"shards=2 .*single=400 events=2000 call=20 reads=200 "),
    ("single rate", r"[\d,]+ events/s: 400 in "),
    ("single ack", r"p50 \d+\.\d ms, .+ max \d+\.\d ms of 400 calls"),
    ("single CPU", r"µs/event: gateway .+ merge-0 .+ shard-0 .+ client "),
    ("single empty", r"[\d,]+ a second, p50 \d+\.\d ms, .+ max "),
    ("batch rate", r"[\d,]+ events/s: 2,000 in "),
    ("batch ack", r"of 100 calls"),
    ("batch empty", r"[\d,]+ a second, p50 \d+\.\d ms, .+ max "),
    ("one read", r"[\d,]+ reads/s, p50 \d+\.\d ms, .+ p99 .+ of 20"),
    ("many read", r"[\d,]+ reads/s, p50 \d+\.\d ms, .+ p99 .+ of 200"),
    ("many empty", r"[\d,]+ a second, p50 "),
    INGEST[-1],
)
FLOOD = (
    *MACHINE,
    ("parameters", r"shards=2 .*pairs=1 calls=100 limit=150 "),
    ("alone", r"p50 \d+\.\d ms, .+ p99 .+ of 1 times 100 calls"),
    ("beside", r"p50 \d+\.\d ms, .+ p99 .+ of 1 times 100 calls"),
    ("ratio", r"beside/alone: p99 median \S+ \(.+ to .+\) of 1 pairs"),
    ("refused", r"[\d,]+ calls of the flood, [\d,]+ a second"),
    INGEST[-1],
)
MERGE_STORM = (
    *MACHINE,
    ("parameters", r"shards=2 clusters=40 members=12 "),
    ("traffic", r"880 events of \d+ bytes after 960; .+ 100.00 % novel links \(880 merges\)"),
    ("chains rate", r"[\d,]+ events/s: 440 in "),
    ("stars CPU", r"µs/event: gateway .+ merge-0 .+ shard-0 "),
    ("stars rate", r"[\d,]+ events/s: 440 in "),
    ("merged", r"880 profiles by [\d,]+ decided links"),
    INGEST[-1],
)
BIG_MERGE = (
    *MACHINE,
    ("parameters", r"shards=2 decades=3 merges=3 "),
    ("traffic", r"12 events of \d+ bytes after 8,880; .+ 100.00 % novel links \(12 merges\)"),
    ("CPU", r"µs/event: gateway .+ merge-0 .+ shard-0 "),
    ("10", r"events each: p50 \d+\.\d ms, .+ max .+ of 3 merges"),
    ("1,000", r"events each: p50 \d+\.\d ms, .+ max .+ of 3 merges"),
    ("ratio", r"medians, largest profiles to smallest: \d+\.\d\d"),
    ("checksum", r"[0-9a-f]{16} of 24 profiles read back"),
)
HOT_KEY = (
    *MACHINE,
    ("parameters", r"shards=2 .*events=6000 .*hot=100"),
    *INGEST[5:-1],
    ("checksum", r"[0-9a-f]{16} of 51 profiles read back"),
)
MEMORY = (
    *MACHINE,
    ("parameters", r"shards=2 slices=2 events=2000 "),
    ("slice 2", r"[\d,]+ events/s, .+ MB: gateway "),
    ("traffic", r"4,000 events of \d+ bytes"),
    ("profiles", r"[\d,]{5,} of [\d,]+ events"),
    ("empty", r"\d+ MB without Ray's own .+: gateway .+ merge-0 .+ shard-1 .+ ray "),
    ("loaded", r"\d+ MB without Ray's own .+: gateway .+ merge-0 .+ shard-1 .+ ray "),
    ("grown", r"-?\d+ MB without Ray's own .+: gateway .+ merge-0 .+ shard-1 .+ ray "),
    INGEST[-1],
)
RECOVERY = (
    *MACHINE,
    ("parameters", r"shards=1 load=1000 kills=2 events=1000"),
    ("traffic", r"2,000 events of \d+ bytes .+ % novel links"),
    ("shard", r"[\d,]{5,} profiles, [\d,]+ identifiers, [\d,]+ events, \d+ MB"),
    ("kill 2", r"serving after [\d,]+ ms: append [\d,]+, read [\d,]+; .+ of \d+ records"),
    ("serving", r"median [\d,]+ ms after the kill, [\d,]+ to [\d,]+ in 2 kills"),
    ("of which", r"restart .+, opening .+, replay .+, first answer .+ ms, .+ tail of .+ MB"),
    ("checksum", r"[0-9a-f]{16} of 50 profiles read back"),
)

WITHOUT_WRK = pytest.mark.skipif(not is_installed(), reason="not run: wrk is not installed")


@pytest.mark.ray
@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("scenario", "lines"),
    [
        ("ingest", INGEST),
        ("delete", DELETE),
        ("recovery", RECOVERY),
        ("cold", COLD),
        ("growth", GROWTH),
        ("unary", UNARY),
        ("read", READ),
        pytest.param("http", HTTP, marks=WITHOUT_WRK),
        pytest.param("flood", FLOOD, marks=WITHOUT_WRK),
        ("hot_key", HOT_KEY),
        ("memory", MEMORY),
        ("merge_storm", MERGE_STORM),
        ("big_merge", BIG_MERGE),
    ],
)
def test_a_scenario_ends_with_every_figure_and_a_checked_result(
    scenario: str, lines: tuple[tuple[str, str], ...]
) -> None:
    """A smoke run shows all that the scenario promises, and leaves no directory behind."""
    command = [sys.executable, "-m", "bench", scenario, "--smoke"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert ended.returncode == 0, ended.stdout + ended.stderr
    for label, pattern in lines:
        assert re.search(rf"^{label} .*{pattern}", ended.stdout, re.MULTILINE), label
    directory = re.search(r"^disk .* in (\S+),", ended.stdout, re.MULTILINE)
    assert directory is not None
    assert not Path(directory[1]).exists()
