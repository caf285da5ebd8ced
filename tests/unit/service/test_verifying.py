"""`Verify` at a gateway: it paces itself by what slices cost, and asks again after pauses."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from tests.engine.auditing import MemoryAudit
from tests.unit.verification.stored import MERGE, SHARDS, Stores, sound_stores
from unify_grpc.service import verifying
from unify_grpc.service.calls import Call
from unify_grpc.service.errors import ShardUnavailableError, VerifyRunningError
from unify_grpc.service.verifying import Verifier
from unify_grpc.verification.auditors import ControlAuditor, MergeAuditor, ShardAuditor
from unify_grpc.verification.claims import CONTROL

if TYPE_CHECKING:
    from unify_grpc.placement.slots import ShardMap
    from unify_grpc.verification.auditors import Auditor

COST_S = 0.01


class AuditedBackend:
    """What of a `Backend` verifying needs."""

    shard_map: ShardMap = SHARDS

    def __init__(self, stores: Stores) -> None:
        self._parts: dict[int, tuple[Auditor, MemoryAudit]] = {
            CONTROL: (ControlAuditor(), MemoryAudit(stores.control)),
            MERGE: (MergeAuditor(SHARDS), MemoryAudit(stores.merge)),
            **{
                number: (ShardAuditor(number, SHARDS), MemoryAudit(store))
                for number, store in enumerate(stores.shards)
            },
        }
        self.away: set[int] = set()
        self.calls_count = 0

    def part_name(self, part: int) -> str:
        """Names a part."""
        return f"part {part}"

    async def audit(self, part: int, request: bytes) -> tuple[bytes, float]:
        """Answers a request."""
        self.calls_count += 1
        if part in self.away:
            raise ShardUnavailableError(actor=str(part))
        auditor, store = self._parts[part]
        return auditor.answer(store, request), COST_S


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses that were made; none takes time."""
    made: list[float] = []
    real = asyncio.sleep

    async def note(pause_s: float) -> None:
        made.append(pause_s)
        await real(0)

    monkeypatch.setattr(asyncio, "sleep", note)
    return made


def verifier(backend: Any) -> Verifier:
    """Returns a verifier over a backend in process."""
    return Verifier(backend)


async def test_a_sound_service_is_told_so(pauses: list[float]) -> None:
    """The answer says that everything holds, how much was read, and which call it answers."""
    backend = AuditedBackend(sound_stores())
    answer = await verifier(backend).verify(Call("Verify", "call-1"))

    assert answer.sound
    assert not answer.findings
    assert answer.records_checked_count == sound_stores().verify().records_count
    assert "call-1" == answer.header.request_id
    # A tenth of a core at most: after each slice a pause of nine times what it cost.
    assert len(pauses) == backend.calls_count
    assert all(pause_s >= 9 * COST_S for pause_s in pauses)


async def test_findings_name_their_part(pauses: list[float]) -> None:
    """What does not hold is told with the name of the part, after it was asked about again."""
    stores = sound_stores()
    place = stores.place("user_id", "u1")
    stores.change(place, joined_us=1)
    answer = await verifier(AuditedBackend(stores)).verify(Call("Verify", "call"))

    assert not answer.sound
    assert answer.findings_count == len(answer.findings) > 0
    assert (f"part {place.shard}", "profiles_equal_everywhere") in {
        (each.part, each.invariant) for each in answer.findings
    }
    assert verifying.ROUNDS == pauses.count(verifying.ROUND_PAUSE_S)


async def test_a_part_that_stays_away_is_told(pauses: list[float]) -> None:
    """Nothing is said about stores that could not all be checked."""
    backend = AuditedBackend(sound_stores())
    backend.away = {1}

    with pytest.raises(ShardUnavailableError):
        await verifier(backend).verify(Call("Verify", "call"))
    assert pauses


async def test_a_second_verification_is_refused_at_once(pauses: list[float]) -> None:
    """Several callers do not take several shares, and none waits without being told."""
    one = verifier(AuditedBackend(sound_stores()))
    first = asyncio.create_task(one.verify(Call("Verify", "first")))
    await asyncio.sleep(0)
    with pytest.raises(VerifyRunningError):
        await one.verify(Call("Verify", "second"))

    assert (await first).sound
    assert pauses


async def test_after_one_that_failed_there_can_be_another(pauses: list[float]) -> None:
    """A verification that broke off is under way no more."""
    backend = AuditedBackend(sound_stores())
    one = verifier(backend)
    backend.away = {1}
    with pytest.raises(ShardUnavailableError):
        await one.verify(Call("Verify", "first"))
    backend.away = set()

    assert (await one.verify(Call("Verify", "second"))).sound
    assert pauses
