from __future__ import annotations

import signal
import subprocess
import sys
from itertools import islice
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from tests.integration.waiting import eventually
from tests.simulation import fresh, versions
from tests.simulation.fresh import FIRST_FRESH, ON_LMDB, SIMULATED, Ask, Journal, Ran
from tests.simulation.kept import failed_once
from tests.simulation.mutants import MUTANTS
from tests.simulation.run import run_seed
from tests.simulation.workers import Chunk, Done, Failure, Minimiser, run_beside, run_chunk

pytestmark = pytest.mark.simulation

ENDLESS = """
from tests.simulation import workers
from tests.simulation.world import World

def run_for_ever(world):
    while True:
        world.note("again")

World.run = run_for_ever
workers.SCHEDULE_S_MAX = 0.2
workers.work("abc")
"""
WAITING = """
from threading import Event

from tests.simulation import workers
from tests.simulation.world import World

World.run = lambda world: Event().wait()
workers.WAITING_S_MAX = 0.2
workers.work("abc")
"""


def ran(first: int, count: int, *, stores: str = SIMULATED, protocol: str = "p") -> Ran:
    """Returns a chunk that was run."""
    return Ran(
        first=FIRST_FRESH + first,
        count=count,
        stores=stores,
        commit="c",
        protocol=protocol,
        around="a",
        failed=[],
        cpu_s=1,
    )


def start(state: Path, *arguments: str) -> subprocess.Popen[str]:
    """Starts a run on fresh seeds in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "tests.simulation", "--fresh", "--state", str(state), *arguments],
        cwd=versions.ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )


def seeds(journal: Journal) -> list[int]:
    """Returns the seeds that were counted."""
    return sorted(
        seed - FIRST_FRESH
        for each in journal.ran
        for seed in range(each.first, each.first + each.count)
    )


def test_fresh_seeds_are_those_never_run(tmp_path: Path) -> None:
    """Gaps that interrupted runs left come first; each kind of stores has seeds of its own."""
    tmp_path.joinpath("chunks.jsonl").write_bytes(
        b"".join(msgspec.json.encode(each) + b"\n" for each in (ran(0, 10), ran(25, 5)))
    )
    journal = Journal(tmp_path)

    found = [
        (each.first - FIRST_FRESH, each.count) for each in islice(journal.fresh(SIMULATED, 10), 4)
    ]
    assert [(10, 10), (20, 5), (30, 10), (40, 10)] == found
    assert Chunk(FIRST_FRESH, 10) == next(journal.fresh(ON_LMDB, 10))


def test_a_torn_line_counts_for_nothing(tmp_path: Path) -> None:
    """A run that was killed while it wrote loses that chunk only, and the next goes on."""
    first, second = (msgspec.json.encode(each) + b"\n" for each in (ran(0, 10), ran(10, 10)))
    tmp_path.joinpath("chunks.jsonl").write_bytes(first + second[:-9])
    with fresh.alone(tmp_path) as journal:
        assert 10 == journal.count()
        journal.add(ran(10, 3))

    assert [*range(13)] == seeds(Journal(tmp_path))


def test_what_was_mended_is_not_open(tmp_path: Path) -> None:
    """A violation stays counted; it is open until its seed is among those that all tests run."""
    failed = [failed_once()[0], FIRST_FRESH]
    with fresh.alone(tmp_path) as journal:
        journal.add(replace(ran(0, 50, protocol="earlier"), failed=failed))

    assert "| earlier, on c | 50 | 0 | 0.0 | 2 | 1 |" in fresh.report(tmp_path)


def test_counts_are_kept_by_version(tmp_path: Path) -> None:
    """The report has a line for each version of what decides, and says which is the present one."""
    present = versions.present().protocol
    with fresh.alone(tmp_path) as journal:
        journal.add(ran(0, 1000, protocol="earlier"))
        journal.add(ran(1000, 200, protocol=present))
        journal.add(ran(0, 34, protocol=present, stores=ON_LMDB))
    report = fresh.report(tmp_path)

    assert "| earlier, on c | 1,000 | 0 | 0.0 | 0 | 0 |" in report
    assert any(", present | 234 | 34 | 0.0 | 0 | 0 |" in line for line in report)
    assert (
        "1,234 schedules on fresh seeds in all, 234 of them on the present protocol" in report[-1]
    )


def test_a_journal_has_one_writer(tmp_path: Path) -> None:
    """A second run would take the same seeds."""
    with fresh.alone(tmp_path), pytest.raises(BlockingIOError), fresh.alone(tmp_path):
        pass


def test_a_run_goes_on_where_the_last_one_ended(tmp_path: Path) -> None:
    """Two runs of so many in all have run the seeds one after another, each once."""
    for until in (6, 10):
        fresh.run_fresh(Ask(state=tmp_path, until=until, chunk=2))

    assert [*range(10)] == seeds(Journal(tmp_path))


@pytest.mark.timeout(120)
@pytest.mark.parametrize("ends_by", [signal.SIGINT, signal.SIGKILL])
def test_no_seed_is_lost_or_counted_twice_by_an_interrupt(
    tmp_path: Path, ends_by: signal.Signals
) -> None:
    """Interrupted or killed in the middle of chunks, a run is continued by the next."""
    process = start(tmp_path, "--chunk", "3")
    path = tmp_path / "chunks.jsonl"
    eventually(lambda: path.exists() and path.read_bytes().count(b"\n") > 2, "chunks are counted")
    process.send_signal(ends_by)
    process.communicate()
    assert process.returncode == (0 if ends_by == signal.SIGINT else -signal.SIGKILL)
    counted = Journal(tmp_path).count()
    fresh.run_fresh(Ask(state=tmp_path, until=counted + 9, chunk=3))

    assert [*range(counted + 9)] == seeds(Journal(tmp_path))


def test_workers_end_with_their_input() -> None:
    """A worker whose starter is gone does not stay behind."""
    worker = subprocess.Popen(
        [sys.executable, "-m", "tests.simulation", "--work"],
        cwd=versions.ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    out, _ = worker.communicate(b'{"first": 7, "count": 2}\n')

    assert worker.returncode == 0
    done = msgspec.json.decode(out, type=Done)
    assert (7, 2, []) == (done.first, done.count, done.failures)


def test_a_failure_is_told_minimised_and_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What failed is written down with its commit, and how to run it again and to keep it."""
    mutant = next(each for each in MUTANTS if each.name == "no_dedupe")
    with mutant.applied() as parts:
        chunk = Chunk(mutant.seed, 1)
        done = run_chunk(chunk, lambda seed: run_seed(seed, parts), Minimiser("abc", parts))
    with fresh.alone(tmp_path) as journal:
        fresh.note(journal, versions.Version("abc", "p", "a"), SIMULATED, done)

    (failure,) = done.failures
    assert failure.violation.startswith("Violation: ")
    assert "minimised to 1 of" in failure.text
    assert f"{mutant.seed}  abc  {failure.violation}\n" == (
        tmp_path.joinpath("failures", "seeds.txt").read_text()
    )
    told = capsys.readouterr().out
    assert f"--replay {tmp_path / 'failures' / f'{mutant.seed}.json'}" in told
    assert "tests/simulation/kept" in told
    assert [[mutant.seed]] == [each.failed for each in Journal(tmp_path).ran]


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    ("program", "bound"), [(ENDLESS, "0.2 s of a CPU"), (WAITING, "0.2 s of the clock")]
)
def test_a_schedule_that_never_ends_is_a_failure(program: str, bound: str) -> None:
    """A worker breaks off one that runs or waits for ever, and tells its seed."""
    worker = subprocess.run(
        [sys.executable, "-c", program],
        cwd=versions.ROOT,
        input='{"first": 7, "count": 1}\n',
        capture_output=True,
        text=True,
        check=True,
    )
    (failure,) = msgspec.json.decode(worker.stdout, type=Done).failures

    assert (7, "") == (failure.seed, failure.kept)
    assert f"does not end in {bound}" in failure.violation


def test_of_many_failures_a_few_are_minimised() -> None:
    """Where much is broken the rest is told as it is, so that counting goes on."""
    mutant = next(each for each in MUTANTS if each.name == "never_cleared")
    minimiser = Minimiser("abc", mutant.parts)
    minimiser.remaining = 1
    with mutant.applied() as parts:
        chunk = Chunk(mutant.seed, 3)
        done = run_chunk(chunk, lambda seed: run_seed(seed, parts), minimiser)
    texts = [failure.text for failure in done.failures]

    assert 1 == sum("minimised to" in text for text in texts)
    assert len(texts) > 1


def test_seeds_run_beside_each_other_are_all_run() -> None:
    """Several processes run a range together, and say what failed; here nothing does."""
    nothing: list[Failure] = []
    assert nothing == run_beside(40, 5, chunk=2)


def test_the_protocol_is_named_by_its_sources() -> None:
    """The name of what decides changes with any of its files, and is found again in history."""
    name = versions.name_of(versions.PROTOCOL)

    assert name == versions.present().protocol
    assert name != versions.name_of(versions.PROTOCOL[:2])
    changed = versions.last_change(name)
    assert changed is None or versions.protocol_of(changed) == name
