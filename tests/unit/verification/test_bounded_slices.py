"""What a slice looks up again and again is read once, and counted as work."""

from __future__ import annotations

from unittest.mock import patch

from tests.engine.auditing import MemoryView
from tests.unit.verification.stored import SHARDS
from unify_grpc.machines import journal, rows
from unify_grpc.machines.entry_lists import append_entries
from unify_grpc.machines.tables import Working
from unify_grpc.machines.violations import VIOLATIONS, ViolationList
from unify_grpc.storage.memory import MemoryStore
from unify_grpc.verification.claims import MirrorClaim
from unify_grpc.verification.merge_state import find_profile
from unify_grpc.verification.shard_judge import ShardJudge
from unify_grpc.verification.shard_tables import ENTRY_BYTES
from unify_grpc.verification.slices import Slice
from unify_grpc.verification.space_list_course import Course

MEMBER = bytes(20)
ENOUGH = 600


def test_what_owes_its_other_side_is_read_once_in_a_slice() -> None:
    """However many links are judged, the marks are looked through once, and that is counted."""
    store = MemoryStore()
    store.rows.update({rows.owed_key(each): MEMBER for each in range(80)})
    slice_ = Slice(MemoryView(store), 0, ENOUGH)
    claim = MirrorClaim(MEMBER, MEMBER, 1, is_account=False)
    with patch.object(slice_.view, "list_rows", wraps=slice_.view.list_rows) as listing:
        verdicts = [ShardJudge(SHARDS).judge(slice_, claim) for _ in range(5)]

    assert [None] * 5 == verdicts
    assert 1 == listing.call_count
    assert 10 == slice_.work


def test_violations_met_before_are_read_once_in_a_slice() -> None:
    """However many marks are cleared again, the list is read once, and that is counted."""
    store = MemoryStore()
    working = Working(store)
    packed = b"".join(each.to_bytes(ENTRY_BYTES[VIOLATIONS], "little") for each in range(800))
    append_entries(working, VIOLATIONS, 1, ENTRY_BYTES[VIOLATIONS], packed)
    store.publish(working.changes, 0)
    known = ViolationList(store.get, 1)
    slice_ = Slice(MemoryView(store), 0, ENOUGH)
    course = Course(slice_, {f"{VIOLATIONS.decode()}1": 800})
    for index in range(9):
        course.decided(1, [known[index]])

    assert [] == slice_.found
    assert 100 == slice_.work


def test_a_large_profile_is_counted_as_work() -> None:
    """Opening a profile costs what its members cost."""
    store = MemoryStore()
    members = [(bytes([each]) * 20, "t", 1, 1, False) for each in range(64)]
    profile = journal.ProfileRow(journal.FORMAT, 1, 0, 1, 1, 1, 0, members)
    store.rows[journal.PROFILE + MEMBER] = journal.encode(profile)
    slice_ = Slice(MemoryView(store), 0, ENOUGH)

    assert 64 == len(find_profile(slice_, MEMBER).since) == len(find_profile(slice_, MEMBER).since)
    assert 4 == slice_.work
