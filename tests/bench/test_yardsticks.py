"""Yardsticks run beside the service, at the small size. Nothing here asserts a time."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from bench.components import Components, describe_partition, describe_traits
from bench.ledger import Name
from bench.postgres_server import find_programs

ROOT = Path(__file__).resolve().parents[2]
WITHOUT_POSTGRES = pytest.mark.skipif(
    find_programs() is None, reason="no PostgreSQL is installed: neither Debian's nor on PATH"
)
RATIO = r"service/{0}: rate median \S+ \(.+ to .+\), CPU median \S+ \(.+ to .+\) of 1 pairs"
RUNS = r"median [\d,]+ events/s \(.+ to .+\), CPU \S+ µs/event: gateway .+ bytes/event written"


@pytest.mark.ray
@pytest.mark.timeout(240)
@pytest.mark.parametrize(
    "name",
    [
        "naive",
        "ceiling",
        pytest.param("postgres", marks=WITHOUT_POSTGRES),
        pytest.param("postgres_bare", marks=WITHOUT_POSTGRES),
    ],
)
def test_a_yardstick_does_the_work_and_is_compared_with_the_service(name: str) -> None:
    """A smoke run checks both, prints rates, CPU and their ratio, and leaves no directory."""
    command = [sys.executable, "-m", "bench", "ingest", "--smoke", "--versus", name]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert ended.returncode == 0, ended.stdout + ended.stderr
    printed = dict(line.split(maxsplit=1) for line in ended.stdout.splitlines())
    assert re.search(RUNS, printed["service"])
    assert re.search(RUNS, printed[name])
    assert re.search(RATIO.format(name), printed["ratio"])
    directories = re.findall(r"^disk .+ in (\S+),", ended.stdout, flags=re.MULTILINE)
    assert len(directories) == 2
    assert not any(Path(each).exists() for each in directories)


def test_what_events_show_together_is_one_component() -> None:
    """Events join their identifiers through any chain, and count for the component."""
    one, two, three, four = (Name("user_id", text) for text in "abcd")
    sent = Components()
    for names in ((one, two), (three, four), (four,), (two, three)):
        sent.add(names)

    assert [count for _, count in sent.profiles()] == [4]
    assert {tuple(each) for each in sent.profiles()[0][0]} == {one, two, three, four}


def test_a_partition_is_told_from_one_with_an_identifier_elsewhere() -> None:
    """The checksum depends on who is where, and not on the order in which that is listed."""
    one, two, three = (("user_id", text) for text in "abc")
    same = [([one, two], 2), ([three], 1)]

    assert describe_partition(same) == describe_partition([([three], 1), ([two, one], 2)])
    assert describe_partition(same) != describe_partition([([one, three], 2), ([two], 1)])


def test_traits_are_told_from_others() -> None:
    """The checksum depends on every value and whose it is, and not on any order."""
    one, two = ("a", {"x": 1, "y": [2]}), ("b", {"x": 1})

    assert describe_traits([one, two]) == describe_traits([two, ("a", {"y": [2], "x": 1})])
    assert describe_traits([one, two]) != describe_traits([one, ("b", {"x": 2})])
    assert describe_traits([one, two]) != describe_traits([("b", one[1]), ("a", two[1])])
