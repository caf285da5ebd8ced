"""What is killed follows from the seed, and leaves nothing out; victims are told apart."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from typing import TYPE_CHECKING

from tests.chaos.journal import Journal, Ran, alone, report
from tests.chaos.kills import Target, plan
from tests.chaos.victims import Victim, tree_of, victims_of

if TYPE_CHECKING:
    from pathlib import Path


def test_a_seed_gives_one_plan() -> None:
    """The same seed gives the same kills, another one others."""
    assert plan(3, 20) == plan(3, 20)
    assert plan(3, 20) != plan(4, 20)


def test_every_target_comes_twice() -> None:
    """Where there is room each target is killed twice or more."""
    count = 2 * len(Target) + 3
    counts = Counter(each.target for each in plan(1, count))

    assert set(Target) == set(counts)
    assert min(counts.values()) >= 2
    assert count == counts.total()


def test_only_the_process_that_was_meant_is_killed() -> None:
    """A process is killed once; another one of its number, and one that ended, are left alone."""
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    victim = next(each for each in tree_of(os.getpid()) if each.number == child.pid)
    other = Victim(victim.number, victim.born + 1)

    assert not other.is_alive
    assert not other.kill()
    assert child.poll() is None
    assert victim.kill()
    assert -9 == child.wait()
    assert not victim.kill()
    assert child.stdin is not None
    child.stdin.close()


def test_nobody_else_is_a_victim() -> None:
    """Of a process that has started no part of a service there is nobody to kill but itself."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as alone:
        found = {target: victims_of(alone.pid, target) for target in Target}
        alone.kill()

    assert [alone.pid] == [each.number for each in found[Target.SERVICE]]
    for target in {*Target} - {Target.SERVICE, Target.EVERYTHING}:
        assert [] == found[target]


def ran(seed: int, *killed: str) -> Ran:
    """An episode."""
    return Ran(
        seed=seed,
        commit="abc",
        sources="def",
        killed=list(killed),
        recoveries_s={"shard": [1.5, 2.5]},
        counts={"acked": 10},
        findings=[],
        took_s=60.0,
    )


def test_runs_go_on_where_they_stopped(tmp_path: Path) -> None:
    """What was run is counted over all runs, its seeds are not run again, and a torn line is no
    episode.
    """
    with alone(tmp_path) as journal:
        first = journal.next_seed()
        journal.add(ran(first, "shard", "shard as it starts"))
    with (tmp_path / "episodes.jsonl").open("ab") as file:
        file.write(b'{"seed": 1, "comm')
    with alone(tmp_path) as journal:
        assert 2 == journal.kills_count
        assert first < journal.next_seed()
        journal.add(ran(journal.next_seed(), "gcs"))

    found = Journal(tmp_path)
    assert 3 == found.kills_count
    text = report(found.ran)
    assert "| shard | 2 | 1 | 2.5 s, 2.5 s |" in text
    assert "3 kills in 2 episodes" in text
    assert "20 acked" in text
