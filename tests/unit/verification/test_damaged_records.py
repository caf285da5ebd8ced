"""However a record of events is damaged, that is found, and the verification comes to its end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.engine.auditing import MemoryView
from tests.unit.verification.stored import SHARDS, Stores, sound_stores
from unify_grpc.machines.append_run import APPEND_RECORD
from unify_grpc.machines.tables import DamagedError
from unify_grpc.verification.auditors import ShardAuditor
from unify_grpc.verification.shard_events import EventWalk
from unify_grpc.verification.verification import Ask, Finding, Pause, Verification

if TYPE_CHECKING:
    from unify_grpc.storage.memory import MemoryStore
    from unify_grpc.verification.views import CheckedRecord

HEAD_BITS = 8 * 60


class FlippedView(MemoryView):
    """A store with one bit of a record flipped."""

    def __init__(self, store: MemoryStore, number: int, bit: int, *, is_sealed: bool) -> None:
        """Takes which bit; unless the record is sealed, nothing says that it is not as written."""
        super().__init__(store)
        self._number = number
        self._is_sealed = is_sealed
        flipped = bytearray(store.record(number))
        flipped[bit // 8] ^= 1 << bit % 8
        self._flipped = bytes(flipped)

    def record(self, number: int) -> bytes | None:
        """Returns a record as it lies there."""
        return self._flipped if number == self._number else super().record(number)

    def checked_record(self, number: int) -> CheckedRecord | None:
        """Returns a record, if it is as it was written."""
        if number == self._number and self._is_sealed:
            raise DamagedError("a record")
        return super().checked_record(number)


def verify_alone(shard: int, view: MemoryView, *, rounds: int) -> list[Finding]:
    """Verifies a shard by itself, in small slices; returns what is found."""
    auditor = ShardAuditor(shard, SHARDS)
    course = Verification([shard], work_max=200, rounds=rounds).run()
    try:
        asked = next(course)
        while True:
            if isinstance(asked, Pause):
                asked = course.send(None)
            else:
                assert isinstance(asked, Ask)
                asked = course.send(auditor.reply(view, asked.request))
    except StopIteration as stop:
        findings: list[Finding] = stop.value.findings
        return findings


def linking_record(stores: Stores) -> tuple[int, int]:
    """Returns a shard, and a record of it whose events link something."""
    shard = stores.place("user_id", "u1").shard
    log = stores.shards[shard].log
    return shard, max(number for number in log if log[number][:1] == APPEND_RECORD)


@pytest.mark.parametrize(
    ("rounds", "is_sealed"),
    [(0, True), (2, True), (0, False)],
    ids=["stopped", "running", "written so"],
)
def test_every_flipped_bit_of_a_records_head_is_survived(rounds: int, *, is_sealed: bool) -> None:
    """No bit of a record's head breaks the verification off; its seal tells of each."""
    stores = sound_stores()
    shard, number = linking_record(stores)
    assert len(stores.shards[shard].record(number)) * 8 > HEAD_BITS
    for bit in range(HEAD_BITS):
        view = FlippedView(stores.shards[shard], number, bit, is_sealed=is_sealed)
        findings = verify_alone(shard, view, rounds=rounds)

        assert not is_sealed or "checksums" in {each.invariant for each in findings}


def test_a_walk_that_breaks_ends_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a walk itself stumbles over is found, and the others are walked all the same."""
    stores = sound_stores()
    place = stores.place("user_id", "u2")
    stores.change(place, event_count=9)

    def stumble(*_: object) -> None:
        raise ValueError("of no form that is known")

    monkeypatch.setattr(EventWalk, "walk", stumble)
    found = verify_alone(place.shard, MemoryView(stores.shards[place.shard]), rounds=0)

    assert {"formats", "event_lists"} <= {each.invariant for each in found}
