"""What one seed stands for: the size of the world, its traffic, its rules and its faults."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Any

from tests.simulation.backup_plan import BackupPlan, draw_backup
from tests.simulation.hardware_plan import SOUND, HardwareFaults, draw_hardware
from tests.simulation.plan_spaces import widen

TYPES = ("user_id", "email", "w", "x")
"""The types of users' identifiers, by priority."""
ACCOUNT_TYPES = ("group_id", "domain")
SHAPES = ("mixed", "mixed", "hot", "chains", "stars", "alone")
WINDOW_S = 60
CLIENT_PATIENCE_STEPS = 120
NO_LIMIT = 100_000
DEDUPE_US = 30 * 86_400_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """Chances of what goes wrong, each per opportunity; 0 is never."""

    loss: float
    repeat: float
    delay: float
    """That a message is held back, by up to `delay_steps`."""
    delay_steps: int
    slow: float
    """The same chance for what goes to one shard, the slow one."""
    crash_at_point: float
    """That a node ends before a commit, after it, or between two sends."""
    crash: float
    """That a step ends some shard or the merge actor."""
    crash_gateway: float
    crash_at_start: float


CALM = Faults(
    loss=0,
    repeat=0,
    delay=0,
    delay_steps=0,
    slow=0,
    crash_at_point=0,
    crash=0,
    crash_gateway=0,
    crash_at_start=0,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Everything about a run that its seed decides before it starts."""

    seed: int
    shards: int
    slow_shard: int
    clients: int
    streaming: tuple[bool, ...]
    """Which clients pipeline batches on a stream; the others send one request at a time."""
    requests: int
    """Per client."""
    values: int
    """Of each type; few of them make many merges."""
    shape: str
    groups: float
    """Share of group calls."""
    careless: float
    """Share of message ids that are drawn from a few."""
    limited: bool
    """Whether limits and caps can be reached; without, order does not matter."""
    rules: tuple[dict[str, Any], ...]
    """Documents by version, from 1; the first is in force at the start."""
    faults: Faults
    steps: int
    """Of the phase with faults."""
    sweep_after_us: int | None
    """Age from which pending links are swept during the faults; None: only at starts."""
    readers: int
    small_bounds: bool
    """Whether lists spill, and rounds fill up, after a few entries already."""
    deletions: int
    """How many identifiers somebody asks to have deleted."""
    hardware: HardwareFaults = SOUND
    backup: BackupPlan | None = None
    """When somebody asks for a backup; None: nobody does."""
    space: int = 1
    """Its number, as control counts them."""
    further: tuple[Plan, ...] = ()
    """The same of each other space; what is not a space's own is the first one's."""
    moves_anchors: bool = False
    """Whether versions of the rules promote differently."""
    aliases: float = 0
    """Share of alias calls."""
    dedupe_us: int = DEDUPE_US
    """For how long messages are recognised, by their stamps."""
    replays: bool = False
    """Whether all input is sent again at the end."""

    @property
    def knows_for_ever(self) -> bool:
        """Whether no message ever takes effect again."""
        return self.dedupe_us == DEDUPE_US


def draw(seed: int) -> Plan:
    """Returns the plan of a seed."""
    return widen(draw_plain(seed))


def draw_plain(seed: int) -> Plan:
    """Returns the same without what `plan_spaces` draws: one space, whose rules promote alike."""
    rng = Random(f"plan {seed}")
    clients = rng.randint(1, 4)
    shards = rng.choice((1, 2, 2, 3, 3, 4))
    limited = rng.random() < 0.6
    hardware = draw_hardware(seed)
    return Plan(
        seed=seed,
        shards=shards,
        slow_shard=rng.randrange(shards),
        clients=clients,
        streaming=tuple(rng.random() < 0.4 for _ in range(clients)),
        requests=rng.randint(3, 9),
        values=rng.choice((2, 3, 3, 5, 8)),
        shape=rng.choice(SHAPES),
        groups=rng.choice((0, 0, 0.2)),
        careless=rng.choice((0, 0.1)),
        limited=limited,
        rules=tuple(_rules(rng, limited=limited) for _ in range(rng.choice((1, 1, 2, 3)))),
        faults=_faults(rng),
        steps=rng.choice((150, 300, 450)),
        sweep_after_us=rng.choice((None, None, 500, 3000)),
        readers=rng.choice((1, 2, 4)),
        small_bounds=rng.random() < 0.4,
        deletions=rng.choice((0, 0, 0, 2, 5, 10)),
        hardware=hardware,
        backup=draw_backup(seed, hardware),
    )


def _faults(rng: Random) -> Faults:
    if rng.random() < 0.1:
        return CALM
    return Faults(
        loss=rng.choice((0, 0.02, 0.1)),
        repeat=rng.choice((0, 0.05, 0.15)),
        delay=rng.choice((0, 0.05, 0.2)),
        delay_steps=rng.choice((30, 150, 400)),
        slow=rng.choice((0, 0.3, 0.7)),
        crash_at_point=rng.choice((0, 0.005, 0.03, 0.1)),
        crash=rng.choice((0, 0.003, 0.015)),
        crash_gateway=rng.choice((0, 0.002, 0.01)),
        crash_at_start=rng.choice((0, 0.01, 0.05)),
    )


def _rules(rng: Random, *, limited: bool) -> dict[str, Any]:
    """A document; all have the same promotion and differ in limits and caps only."""
    if not limited:
        limits: list[dict[str, Any]] = [{"limit": NO_LIMIT} for _ in TYPES]
        caps = {"identifiers": NO_LIMIT, "merges": NO_LIMIT}
        others = NO_LIMIT
    else:
        limits = [
            {"limit": rng.choice((1, 1, 2))},
            {"limit": rng.choice((1, 2, 5))},
            {"limit": rng.choice((1, 2)), "window": WINDOW_S},
            {"limit": rng.choice((2, 3, NO_LIMIT))},
        ]
        caps = {
            "identifiers": rng.choice((3, 6, NO_LIMIT)),
            "merges": rng.choice((1, 3, NO_LIMIT)),
        }
        others = rng.choice((2, 5))
    return {
        "identifiers": [
            {"type": type_, **limit} for type_, limit in zip(TYPES, limits, strict=True)
        ],
        "others": {"limit": others},
        "caps": caps,
    }
