"""Makes a schedule that broke a promise smaller, as long as it breaks the same one.

First fewer events, then fewer faults, then a smaller world, then fewer steps; and over again, as
each makes room for the others. What is left out is never drawn anew: the run is recorded, and the
rest of the recording is repeated (`taped_world`). When it is at an end the world heals.
"""

from __future__ import annotations

import json
import re
import traceback
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import MISSING, dataclass, fields, is_dataclass, replace
from time import monotonic
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from tests.simulation.plan import CALM, draw
from tests.simulation.run import ScheduleFailed, go_through, relevant, run_seed
from tests.simulation.tape import Recording, Step
from tests.simulation.taped_world import EventKey, TapedWorld
from tests.simulation.violation import Violation
from tests.simulation.world import Parts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.simulation.plan import Plan
    from tests.simulation.world import World

T = TypeVar("T")
Supply = Parts | None | Callable[[int], AbstractContextManager[Parts]]
"""The parts of a world, or what gives them for one run of a seed."""
SECONDS_MAX = 20.0
TRACE_LINES_MAX = 80
ROUNDS_MAX = 4
_INNERMOST = re.compile(r"\([^()]*\)|\[[^][]*\]|\{[^{}]*\}|(?<!\w)'[^']*'|(?<!\w)\"[^\"]*\"")
_NAME = re.compile(r"\b\w*\d\w*\b|\b[0-9a-f]{8,}\b|\b[a-z]*careless\b")
_SMALLER = ("values", "readers", "deletions")
"""Numbers of a plan that may be smaller by themselves. Others say how the rest was drawn."""


class Case(NamedTuple):
    """A schedule: all that a run follows from, but the code."""

    plan: Plan
    events: tuple[EventKey, ...]
    recording: Recording


@dataclass(slots=True)
class Run:
    """What became of a case."""

    world: TapedWorld
    error: Exception | None


@dataclass(slots=True)
class Budget:
    """What minimising may still cost."""

    ends_at: float
    """Of the monotonic clock."""
    runs: int

    @property
    def is_spent(self) -> bool:
        """Whether it has to end here."""
        return self.runs <= 0 or monotonic() >= self.ends_at


@dataclass(slots=True, kw_only=True)
class Minimised:
    """The smallest case found."""

    case: Case
    run: Run
    runs: int
    """That it took."""
    before: Case
    is_complete: bool
    """Whether nothing more could be left out; else time was up."""

    @property
    def steps(self) -> int:
        """Returns how many recorded steps are left."""
        return _steps(self.case)

    def __str__(self) -> str:
        """The text of a failure: what is left of the plan, of its events and of its steps."""
        world, error, plan = self.run.world, self.run.error, self.case.plan
        trace = world.trace
        if len(trace) > TRACE_LINES_MAX:
            trace = relevant(trace, str(error))
        left = f"{len(self.case.events)} of {len(self.before.events)} events"
        left += f" and {self.steps} of {_steps(self.before)} steps"
        cut = "" if self.is_complete else ", and time was up"
        command = f"python -m tests.simulation --start {plan.seed} --seeds 1"
        lines = [
            f"seed {plan.seed}, minimised to {left} in {self.runs} runs{cut}",
            told_plan(plan),
            *trace,
            f"{type(error).__name__}: {error}",
            f"repeat all of it with: {command}",
            f"and this with: {command} --minimise",
        ]
        return "\n".join(lines)


def run_case(case: Case, parts: Supply) -> Run:
    """Runs what is left of a schedule, and all checks."""
    plan = replace(case.plan, steps=len(case.recording.faulty))
    return _run(plan, parts, case.recording, case.events)


def record(plan: Plan, parts: Supply = None) -> tuple[Case, Run]:
    """Runs the schedule of a plan, and writes it down."""
    run = _run(plan, parts)
    return Case(plan, tuple(run.world.sent_events), run.world.tape.recording), run


def minimise(
    plan: Plan,
    parts: Supply = None,
    *,
    seconds: float = SECONDS_MAX,
    runs: int = 100_000,
) -> Minimised | None:
    """Returns the smallest schedule found that breaks the promise which a plan's breaks.

    Args:
        plan: of the schedule.
        parts: that its world is built from, or what gives them for one run.
        seconds: bounds the time it takes; how far it comes then depends on the machine.
        runs: bounds it too, and gives the same result everywhere.

    Returns:
        None: the schedule breaks no promise.
    """
    case, run = record(plan, parts)
    if run.error is None:
        return None
    search = _Search(case, run, parts, Budget(monotonic() + seconds, runs))
    search.run()
    return Minimised(
        case=search.case,
        run=search.found,
        runs=runs - search.budget.runs,
        before=case,
        is_complete=not search.budget.is_spent,
    )


def run_or_tell(seed: int) -> World:
    """Runs the schedule of a seed; an `AssertionError` with the smallest found if it fails."""
    try:
        return run_seed(seed)
    except ScheduleFailed as failed:
        raise AssertionError(minimise(draw(seed)) or failed) from failed


def kind_of(error: Exception | None) -> str:
    """Names what was broken, without the names and numbers of this run; "" for nothing."""
    if error is None:
        return ""
    if not isinstance(error, Violation):
        frame = traceback.extract_tb(error.__traceback__)[-1]
        return f"{type(error).__name__} in {frame.name}"
    text, before = str(error), ""
    while text != before:
        before, text = text, _INNERMOST.sub("", text)
    return " ".join(_NAME.sub("#", text).split())


def told_plan(plan: Plan) -> str:
    """Returns what of a plan is not off: its numbers in a line, each version of rules in one."""
    versions = [
        f"rules {number}: {json.dumps(document)}" for number, document in enumerate(plan.rules, 1)
    ]
    return "\n".join(("plan: " + _told_fields(plan), *versions))


def shrink(items: tuple[T, ...], holds: Callable[[tuple[T, ...]], bool]) -> tuple[T, ...]:
    """Leaves out items, many and then few at a time, as long as what is left holds."""
    size = len(items)
    while size >= 1:
        at = 0
        while at < len(items):
            fewer = items[:at] + items[at + size :]
            if holds(fewer):
                items = fewer
            else:
                at += size
        size //= 2
    return items


class _Search:
    """The smallest case so far, and how a smaller one is looked for."""

    def __init__(self, case: Case, found: Run, parts: Supply, budget: Budget) -> None:
        self.case, self.found, self.parts, self.budget = case, found, parts, budget
        self.kind = kind_of(found.error)

    def run(self) -> None:
        """Leaves out what can be left out, until a round finds nothing more."""
        for number in range(ROUNDS_MAX):
            before = self.case
            self._fewer_requests()
            if number:
                self._fewer_events()
            self._fewer_faults()
            self._smaller_world()
            self._fewer_steps()
            self._calmer_steps()
            if self.budget.is_spent or (number and self.case == before):
                return

    def _holds(self, case: Case) -> bool:
        """Whether a smaller case breaks the same promise; then it is the smallest."""
        if self.budget.is_spent:
            return False
        self.budget.runs -= 1
        try:
            run = run_case(case, self.parts)
        except Exception:  # noqa: BLE001  a world that cannot even be set up shows nothing
            return False
        if kind_of(run.error) != self.kind:
            return False
        self.case, self.found = case, run
        return True

    def _fewer_requests(self) -> None:
        requests = tuple(dict.fromkeys((client, at) for client, at, _ in self.case.events))

        def holds(kept: tuple[tuple[int, int], ...]) -> bool:
            wanted = set(kept)
            events = tuple(each for each in self.case.events if each[:2] in wanted)
            return self._holds(self.case._replace(events=events))

        shrink(requests, holds)

    def _fewer_events(self) -> None:
        shrink(self.case.events, lambda events: self._holds(self.case._replace(events=events)))

    def _fewer_faults(self) -> None:
        """Takes faults away, where the plan has some: all of a sort, or each kind of them."""
        for name, calm in _calm(self.case.plan).items():
            if not is_dataclass(calm) or self._try_plan({name: calm}):
                continue
            for each in fields(calm):
                less = {each.name: getattr(calm, each.name)}
                self._try_plan({name: replace(getattr(self.case.plan, name), **less)})

    def _smaller_world(self) -> None:
        plan = self.case.plan
        clients = 1 + max((client for client, *_ in self.case.events), default=0)
        for fewer in range(clients, plan.clients):
            if self._try_plan({"clients": fewer}):
                break
        for fewer in range(1, plan.shards):
            if self._try_plan({"shards": fewer, "slow_shard": min(plan.slow_shard, fewer - 1)}):
                break
        for name, calm in _calm(plan).items():
            if not is_dataclass(calm):
                self._try_plan({name: calm})
        for less in list(_offs(self.case.plan)):
            self._try_plan(less)

    def _try_plan(self, change: dict[str, Any]) -> bool:
        plan = replace(self.case.plan, **change)
        return plan != self.case.plan and self._holds(self.case._replace(plan=plan))

    def _fewer_steps(self) -> None:
        recording = self.case.recording
        steps = (
            *((False, step) for step in recording.faulty),
            *((True, step) for step in recording.healing),
        )
        shrink(steps, lambda kept: self._holds(self.case._replace(recording=_recorded(kept))))

    def _calmer_steps(self) -> None:
        """Takes single faults away: a message that is lost, a node that ends."""
        happened = tuple(
            (number, site, at)
            for number, step in enumerate(_all_steps(self.case.recording))
            for site, draws in step.draws.items()
            for at, draw in enumerate(draws)
            if draw is True
        )
        before = self.case

        def holds(kept: tuple[tuple[int, str, int], ...]) -> bool:
            recording = _only(before.recording, set(kept))
            return self._holds(before._replace(recording=recording))

        shrink(happened, holds)


def _run(plan: Plan, parts: Supply, *rest: Any) -> Run:
    supplied = parts(plan.seed) if callable(parts) else nullcontext(parts)
    with supplied as present:
        world = TapedWorld(plan, present, *rest)
        try:
            go_through(world)
        except Exception as error:  # noqa: BLE001  a broken machine raises anything
            return Run(world, error)
    return Run(world, None)


def _told_fields(plan: Any) -> str:
    told = []
    for each in fields(plan):
        value = getattr(plan, each.name)
        if is_dataclass(value):
            told.append(f"{each.name}=({_told_fields(value)})")
        elif (value or each.name == "seed") and each.name != "rules":
            told.append(f"{each.name}={value}")
    return " ".join(told)


def _calm(plan: Plan) -> dict[str, Any]:
    """Returns what those fields of a plan are where nothing is special that say so."""
    told = {each.name: each.default for each in fields(plan) if each.default is not MISSING}
    return {"faults": CALM, **told}


def _offs(plan: Plan) -> Iterator[dict[str, Any]]:
    """Yields changes that each take one thing away from a plan, and leave it sound."""
    for name in _SMALLER:
        yield from ({name: fewer} for fewer in (0, 1) if fewer < getattr(plan, name))
    yield {"small_bounds": False}
    yield {"sweep_after_us": None}
    yield {"streaming": (False,) * len(plan.streaming)}
    yield {"rules": plan.rules[:1]}


def _steps(case: Case) -> int:
    return len(case.recording.faulty) + len(case.recording.healing)


def _all_steps(recording: Recording) -> list[Step]:
    return [*recording.faulty, *recording.healing]


def _recorded(steps: tuple[tuple[bool, Step], ...]) -> Recording:
    return Recording(
        [step for is_healing, step in steps if not is_healing],
        [step for is_healing, step in steps if is_healing],
    )


def _only(recording: Recording, kept: set[tuple[int, str, int]]) -> Recording:
    """Returns a recording in which nothing happens but what is kept."""
    steps = [
        Step(
            {
                site: [
                    draw if draw is not True else (number, site, at) in kept
                    for at, draw in enumerate(draws)
                ]
                for site, draws in step.draws.items()
            },
            step.delivered,
        )
        for number, step in enumerate(_all_steps(recording))
    ]
    healed_at = len(recording.faulty)
    return Recording(steps[:healed_at], steps[healed_at:])
