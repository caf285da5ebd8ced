"""Processes that run schedules beside each other, a chunk of seeds at a time.

A worker is `python -m tests.simulation --work`: it reads chunks from its standard input, a line
each, and writes what became of them to its standard output. It ends with its input, hence with
whoever started it, however that ended.
"""

from __future__ import annotations

import subprocess
import sys
from contextlib import ExitStack, contextmanager
from selectors import EVENT_READ, DefaultSelector
from signal import ITIMER_PROF, ITIMER_REAL, SIGALRM, SIGPROF, setitimer, signal
from time import process_time
from typing import IO, TYPE_CHECKING

import msgspec

from tests.simulation.kept import pack
from tests.simulation.minimising import SECONDS_MAX, minimise
from tests.simulation.plan import draw
from tests.simulation.run import ScheduleFailed, run_seed
from tests.simulation.versions import ROOT
from tests.simulation.violation import Violation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from tests.simulation.minimising import Supply
    from tests.simulation.world import World

MINIMISED_MAX = 3
"""Of a worker's failures; where much is broken the rest is told by its first line."""


SCHEDULE_S_MAX = 120
"""Of a CPU, however busy the machine; a schedule takes milliseconds."""
WAITING_S_MAX = 900
"""Of the clock: one that waits for a thread takes no time of a CPU."""


class EndlessError(Violation):
    """A schedule does not come to its end."""


class Chunk(msgspec.Struct, frozen=True):
    """Seeds that follow one another."""

    first: int
    count: int


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """A seed whose schedule broke a promise."""

    seed: int
    violation: str
    """What was broken, in a line."""
    text: str
    """All that is told of it."""
    kept: str
    """The smallest schedule found, as `kept` writes it down; "" if none was looked for."""


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a chunk."""

    first: int
    count: int
    failures: list[Failure]
    cpu_s: float


class Minimiser:
    """Makes failures smaller, the first few of them."""

    def __init__(self, commit: str, parts: Supply = None) -> None:
        self.commit = commit
        self.parts = parts
        self.remaining = MINIMISED_MAX

    def tell(self, failed: ScheduleFailed) -> Failure:
        """Returns what is to be told of a schedule that failed."""
        first_line = f"{type(failed.error).__name__}: {failed.error}".splitlines()[0]
        text, kept = str(failed), ""
        if self.remaining > 0 and not isinstance(failed.error, EndlessError):
            self.remaining -= 1
            found = minimise(draw(failed.seed), self.parts, seconds=SECONDS_MAX)
            if found is not None:
                text, kept = str(found), pack(found, self.commit).decode()
        return Failure(seed=failed.seed, violation=first_line, text=text, kept=kept)


def run_chunk(chunk: Chunk, run: Callable[[int], World], minimiser: Minimiser) -> Done:
    """Runs the schedules of a chunk."""
    began, failures = process_time(), []
    for seed in range(chunk.first, chunk.first + chunk.count):
        try:
            run(seed)
        except ScheduleFailed as failed:
            failures.append(minimiser.tell(failed))
    cpu_s = round(process_time() - began, 3)
    return Done(first=chunk.first, count=chunk.count, failures=failures, cpu_s=cpu_s)


def work(commit: str, run: Callable[[int], World] = run_seed, parts: Supply = None) -> None:
    """Does a worker's work until its input ends."""
    minimiser = Minimiser(commit, parts)

    def run_bounded(seed: int) -> World:
        with bounded(SCHEDULE_S_MAX, WAITING_S_MAX):
            return run(seed)

    for line in sys.stdin:
        done = run_chunk(msgspec.json.decode(line, type=Chunk), run_bounded, minimiser)
        sys.stdout.write(msgspec.json.encode(done).decode() + "\n")
        sys.stdout.flush()


@contextmanager
def bounded(cpu_s: float, waiting_s: float) -> Iterator[None]:
    """Breaks off what runs or waits in the main thread after so much time; `EndlessError`."""

    def break_off(number: int, _: object) -> None:
        bound = f"{cpu_s} s of a CPU" if number == SIGPROF else f"{waiting_s} s of the clock"
        raise EndlessError(f"does not end in {bound}")

    before = {number: signal(number, break_off) for number in (SIGPROF, SIGALRM)}
    setitimer(ITIMER_PROF, cpu_s)
    setitimer(ITIMER_REAL, waiting_s)
    try:
        yield
    finally:
        setitimer(ITIMER_PROF, 0)
        setitimer(ITIMER_REAL, 0)
        for number, handler in before.items():
            signal(number, handler)


class Worker:
    """A process that runs chunks, and which of them it has."""

    def __init__(self, arguments: Iterable[str]) -> None:
        # Sessions of their own: an interrupt from the keyboard is for whoever started them.
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.simulation", "--work", *arguments],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.chunk: Chunk | None = None

    def give(self, chunk: Chunk) -> None:
        """Has it run a chunk, when it has none."""
        assert self.chunk is None
        self.chunk = chunk
        stream = self._stream(self.process.stdin)
        stream.write(msgspec.json.encode(chunk).decode() + "\n")
        stream.flush()

    def take(self) -> Done:
        """Waits for what became of its chunk; `RuntimeError` if it ended instead."""
        line = self._stream(self.process.stdout).readline()
        if not line:
            raise RuntimeError(f"a worker ended with {self.process.wait()} in {self.chunk}")
        self.chunk = None
        return msgspec.json.decode(line, type=Done)

    def end(self) -> None:
        """Ends it, whatever it does."""
        self.process.kill()
        for stream in (self.process.stdin, self.process.stdout):
            self._stream(stream).close()
        self.process.wait()

    @staticmethod
    def _stream(stream: IO[str] | None) -> IO[str]:
        assert stream is not None
        return stream


class Workers:
    """Several workers, each of which has a chunk for as long as there are any."""

    def __init__(self, workers: list[Worker]) -> None:
        self.workers = workers

    def run(self, chunks: Iterator[Chunk]) -> Iterator[Done]:
        """Yields what became of chunks as it comes; those that were begun come to their end."""
        selector = DefaultSelector()
        for worker in self.workers:
            stream = worker.process.stdout
            assert stream is not None
            selector.register(stream, EVENT_READ, worker)
            self._give(worker, chunks)
        while any(worker.chunk for worker in self.workers):
            for key, _ in selector.select():
                worker = key.data
                done = worker.take()
                self._give(worker, chunks)
                yield done
        selector.close()

    @staticmethod
    def _give(worker: Worker, chunks: Iterator[Chunk]) -> None:
        chunk = next(chunks, None)
        if chunk is not None:
            worker.give(chunk)


@contextmanager
def started(count: int, arguments: Iterable[str] = ()) -> Iterator[Workers]:
    """Starts workers; they end with the block."""
    with ExitStack() as stack:
        workers = []
        for _ in range(count):
            worker = Worker(arguments)
            stack.callback(worker.end)
            workers.append(worker)
        yield Workers(workers)


def run_beside(
    first: int, count: int, *, chunk: int, workers: int = 2, arguments: Iterable[str] = ()
) -> list[Failure]:
    """Runs seeds in several processes; returns those that failed, in order."""
    ends = first + count
    chunks = (Chunk(at, min(chunk, ends - at)) for at in range(first, ends, chunk))
    with started(workers, arguments) as pool:
        failures = [failure for done in pool.run(chunks) for failure in done.failures]
    return sorted(failures, key=lambda each: each.seed)
