"""`Verify`: has all parts checked in small slices, with pauses that leave others their share.

What is asked of whom is decided in `verification/verification.py`; here it is asked.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from unify_grpc._pb.unify.v1 import header_pb2, operations_service_pb2
from unify_grpc.service.errors import VerifyRunningError
from unify_grpc.verification.messages import decode_reply, encode
from unify_grpc.verification.verification import Ask, Verification, parts_of

if TYPE_CHECKING:
    from unify_grpc.service.backend import Backend
    from unify_grpc.service.calls import Call
    from unify_grpc.verification.verification import Finding, Report

WORK_MAX: Final = 600
"""Of one slice, about ten microseconds each; a single row or record may take more.

What is published waits for a slice.
"""
SHARE_MAX: Final = 0.1
"""Of one core's time that one gateway's verification takes; the rest is pauses."""
CALL_S: Final = 0.002
"""What a call costs besides the slice itself, on both sides together."""
ROUNDS: Final = 4
ROUND_PAUSE_S: Final = 1.0
"""Before it is asked again what parts disagreed about: pushes arrive meanwhile."""


class Verifier:
    """Verifies for one gateway, for one caller at a time; other gateways do so beside it."""

    def __init__(self, backend: Backend) -> None:
        """Takes how the parts are reached."""
        self._backend = backend
        self._is_running = False

    async def verify(self, call: Call) -> Any:
        """Answers a `VerifyRequest`.

        Raises:
            VerifyRunningError: another one is under way here.
            ShardUnavailableError: a part stays away.
        """
        if self._is_running:
            raise VerifyRunningError
        self._is_running = True
        try:
            report = await self._run()
        finally:
            self._is_running = False
        return operations_service_pb2.VerifyResponse(
            sound=not report.findings_count,
            findings=[self._finding_to_wire(each) for each in report.findings],
            findings_count=report.findings_count,
            records_checked_count=report.records_count,
            header=header_pb2.ReplyHeader(request_id=call.request_id),
        )

    async def _run(self) -> Report:
        parts = parts_of(self._backend.shard_map.shard_count)
        course = Verification(parts, work_max=WORK_MAX, rounds=ROUNDS).run()
        try:
            asked = next(course)
            while True:
                if isinstance(asked, Ask):
                    data, cost_s = await self._backend.audit(asked.part, encode(asked.request))
                    await asyncio.sleep((cost_s + CALL_S) * (1 / SHARE_MAX - 1))
                    asked = course.send(decode_reply(asked.request, data))
                else:
                    await asyncio.sleep(ROUND_PAUSE_S)
                    asked = course.send(None)
        except StopIteration as stop:
            report: Report = stop.value
            return report

    def _finding_to_wire(self, finding: Finding) -> Any:
        return operations_service_pb2.VerifyFinding(
            part=self._backend.part_name(finding.part),
            invariant=finding.invariant,
            description=finding.text,
        )
