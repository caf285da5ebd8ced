"""A row that cannot be read stops what needs it, and nothing else."""

from __future__ import annotations

import pytest

from tests.unit.machines.frames import frame, key, link, member
from tests.unit.machines.one_merge import OneMerge
from tests.unit.machines.one_shard import OneShard, outcomes
from tests.unit.machines.test_pushing import binding, profile
from unify_grpc.identity.outcomes import Outcome
from unify_grpc.machines import journal, rows
from unify_grpc.machines.links import LookedUp, Push
from unify_grpc.machines.merge_messages import Answer, LookUp
from unify_grpc.machines.space_counts import COUNTS
from unify_grpc.machines.tables import DamagedError
from unify_grpc.storage.memory import MemoryStore


class DamagedStore(MemoryStore):
    """A store of which some values are damaged."""

    def __init__(self) -> None:
        super().__init__()
        self.damaged: set[bytes] = set()
        """Keys of rows."""

    def get(self, key: bytes) -> bytes | None:
        """Returns a row that is whole."""
        if key in self.damaged:
            raise DamagedError(key.hex())
        return super().get(key)


def damaged_shard(*names: str) -> OneShard:
    """A shard with an event under each identifier, whose rows are damaged then."""
    store = DamagedStore()
    shard = OneShard(store)
    for number, name in enumerate(names, 1):
        shard.append(frame(name, message_id=f"first-{number}"), call=number)
    store.damaged = {rows.MEMBER + member(name) for name in names}
    return shard


def test_an_event_under_a_damaged_row_changes_nothing() -> None:
    """A batch that has to add to it cannot be decided; another one is stored."""
    shard = damaged_shard("user_id:bad")
    before = dict(shard.store.rows)
    with pytest.raises(DamagedError):
        shard.append(frame("user_id:good"), frame("user_id:bad", message_id="m2"), call=8)

    assert before == shard.store.rows
    assert ["CREATED"] == outcomes(shard.append(frame("user_id:good"), call=9))


def test_a_push_reaches_all_rows_that_are_whole() -> None:
    """What travels with a row that meets a damaged one is applied, in the replay too."""
    shard = damaged_shard("user_id:bad")
    shard.push(
        Push(
            profiles=[
                profile("user_id:bad", "user_id:bad", "email:x@1"),
                profile("user_id:good", "user_id:good", "email:y@1"),
            ],
            bindings=[binding("user_id:bad", "user_id:bad"), binding("email:z", "user_id:good")],
        )
    )

    assert shard.store.get(rows.PROFILE + member("user_id:bad")) is None
    assert shard.store.get(rows.PROFILE + member("user_id:good")) is not None
    assert member("user_id:good") == shard.row("email:z").root
    number = shard.store.next_number - 1
    again = shard.machine.replay(number, shard.store.record(number))
    assert again == {name: shard.store.rows[name] for name in again}


def test_damaged_counts_keep_nothing_from_being_stored() -> None:
    """Whoever asks for them is told; events and links need no counts."""
    shard = damaged_shard()
    shard.append(frame("user_id:first"), call=1)
    (counts,) = (each for each in shard.store.rows if each[:1] == COUNTS)
    assert isinstance(shard.store, DamagedStore)
    shard.store.damaged = {counts}
    shard.push(
        Push(
            profiles=[profile("user_id:good", "user_id:good", "email:y@1")],
            bindings=[binding("email:y", "user_id:good")],
        )
    )

    assert ["CREATED"] == outcomes(shard.append(frame("user_id:other"), call=2))
    assert member("user_id:good") == shard.row("email:y").root


def test_a_look_up_says_which_row_is_damaged() -> None:
    """Of the other identifiers it says what is known."""
    shard = damaged_shard("user_id:bad")
    shard.append(frame("user_id:good"), call=9)

    found = shard.look_up("user_id:bad", "user_id:good")
    assert [True, False] == [each.is_damaged for each in found]
    assert found[1].founding is not None


def test_a_sweep_leaves_out_what_needs_a_damaged_row() -> None:
    """The links of others are listed all the same."""
    shard = damaged_shard()
    shard.append(
        frame("user_id:bad", "email:b"),
        frame("user_id:good", "email:g", message_id="m2"),
    )
    assert isinstance(shard.store, DamagedStore)
    shard.store.damaged = {rows.MEMBER + member("user_id:bad")}

    assert [member("user_id:good")] == [each.anchor for each in shard.pending()]


def damaged_merge() -> tuple[OneMerge, DamagedStore]:
    """A merge machine on a store that can be damaged."""
    store = DamagedStore()
    merge = OneMerge(store)
    merge.adopt({"identifiers": []})
    return merge, store


def told(merge: OneMerge) -> dict[int, str]:
    """Takes the answers: position to outcome."""
    return {
        each.position: Outcome(each.outcome).name
        for answer in merge.take(Answer)
        for each in answer.decided
    }


def test_a_link_whose_look_up_meets_damage_stays_pending() -> None:
    """It is answered so at once, is not in the journal, and the others of its round are decided."""
    merge, _ = damaged_merge()
    merge.link(link("user_id:a", "email:bad@1", position=1), request=1)
    merge.link(link("user_id:b", "email:good@1", position=2), request=2)
    while asked := merge.take(LookUp):
        for each in asked:
            found = [LookedUp(0, None, is_damaged=name == key("email:bad@1")) for name in each.keys]
            merge.execute(
                merge.machine.looked_up(each.round, each.shard, found, merge.store.next_number)
            )
    assert "PENDING" == told(merge)[1]
    merge.finish()

    assert [2] == [decision.position for decision in merge.decisions()]
    assert merge.machine.is_idle


def test_a_link_that_meets_a_damaged_row_of_the_journal_stays_pending() -> None:
    """Those before and after it in the same call are decided, in their order and once."""
    merge, store = damaged_merge()
    merge.decide(link("user_id:old", "email:old@1", position=1))
    store.damaged = {journal.PROFILE + member("user_id:old")}
    answers = merge.decide(
        link("user_id:a", "email:a@1", position=2),
        link("user_id:new", "email:old@1", position=3),
        link("user_id:b", "email:b@1", position=4),
    )

    assert ["CREATED", "PENDING", "CREATED"] == [Outcome(each.outcome).name for each in answers]
    assert [1, 2, 4] == [decision.position for decision in merge.decisions()]
    assert [1, 2, 3] == [decision.seq for decision in merge.decisions()]
    store.damaged = set()
    merge.link(link("user_id:new", "email:old@1", position=3), request=None)
    merge.finish()
    assert [1, 2, 4, 3] == [decision.position for decision in merge.decisions()]
