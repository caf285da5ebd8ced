"""What `unify verify` checks of stores holds of those of a simulated world too."""

from __future__ import annotations

from contextlib import AbstractContextManager
from random import Random
from typing import TYPE_CHECKING, Final
from unittest.mock import patch

from tests.engine.auditing import MemoryAudit, verify
from tests.simulation.violation import require
from tests.simulation.world import World
from unify_grpc.verification import shard_members
from unify_grpc.verification.auditors import MergeAuditor, ShardAuditor
from unify_grpc.verification.claims import MERGE
from unify_grpc.verification.messages import decode_reply, encode
from unify_grpc.verification.verification import Ask, Verification

if TYPE_CHECKING:
    from tests.simulation.plan import Plan
    from unify_grpc.verification.auditors import Auditor
    from unify_grpc.verification.verification import Report

WORLDS_EACH: Final = 10
"""One world in so many is verified at rest: false alarms would show in any."""


def check_verified(world: World) -> None:
    """Nothing is found in a world at rest, whose stores may have ended and started many times.

    But where messages take effect again, after a window that is shorter than the service's.
    """
    if world.plan.seed % WORLDS_EACH or not world.plan.knows_for_ever:
        return
    stores = [shard.store for shard in world.shards]
    with _window(world):
        report = verify(world.shard_map, stores, world.merge.store)
    require_sound(report)


def _window(world: World) -> AbstractContextManager[object]:
    """Has messages count once within the dedupe window of a world, which is a short one."""
    return patch.object(shard_members, "REPEATED_WITHIN_US", world.plan.dedupe_us)


def require_sound(report: Report) -> None:
    """Breaks off with what was found."""
    told = [f"{each.part} {each.invariant} {each.text}" for each in report.findings[:5]]
    require(not report.findings_count, f"verify finds {report.findings_count} faults: {told}")


class VerifiedWorld(World):
    """A world in which one verification after another goes on beside everything else.

    It asks each part at another moment, as it does of a running service, and nothing is asked
    again: what parts claim of one another has to be judged rightly at the first time.
    """

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        self._chance = Random(f"verification {plan.seed}")
        self.verified_count = 0
        self._begin()

    def _begin(self) -> None:
        parts = [MERGE, *range(len(self.shards))]
        work_max = self._chance.choice((3, 10, 40, 1000))
        self._course = Verification(parts, work_max=work_max, rounds=0).run()
        self._asked = next(self._course)

    def _pass_time(self) -> None:
        super()._pass_time()
        for _ in range(self._chance.choice((0, 0, 1, 1, 5))):
            self._go_on()

    def _go_on(self) -> None:
        """Has one part answer, as its store is now, be it up or not."""
        asked = self._asked
        assert isinstance(asked, Ask), "nothing is asked again"
        auditor: Auditor = MergeAuditor(self.shard_map)
        store = self.merge.store
        if asked.part != MERGE:
            auditor, store = ShardAuditor(asked.part, self.shard_map), self.shards[asked.part].store
        with _window(self):
            answer = auditor.answer(MemoryAudit(store), encode(asked.request))
        try:
            self._asked = self._course.send(decode_reply(asked.request, answer))
        except StopIteration as stop:
            require_sound(stop.value)
            self.verified_count += 1
            self._begin()
