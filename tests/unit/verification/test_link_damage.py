"""Damage of links is found: pending, decided, remembered, and between users and accounts."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import msgspec
import pytest

from tests.unit.verification.stored import MERGE, push
from unify_grpc.machines import journal, rows
from unify_grpc.machines.history_rows import DROPS, HISTORY
from unify_grpc.machines.links import ClearPush
from unify_grpc.machines.rows import OutcomeRow

if TYPE_CHECKING:
    from tests.unit.verification.stored import Stores


def test_a_pending_mark_without_an_event_is_found(stores: Stores) -> None:
    """A mark stands for a link that is in the log."""
    for position in (999 << 16, (1 << 16) + 60_000, 3 << 16):
        planted = stores.copied()
        mark = planted.shards[0].rows[stores.first(stores.shards[0], rows.PENDING)]
        planted.shards[0].rows[rows.pending_key(position)] = mark

        invariants = {invariant for part, invariant in planted.found() if not part}
        assert invariants & {"event_lists", "links_decided_once"}, position


def test_a_pending_mark_of_another_event_is_found(stores: Stores) -> None:
    """A mark says whose event it is and when it was received."""
    key = stores.first(stores.shards[0], rows.PENDING)
    stores.shards[0].rows[key] = bytes(28)

    assert (0, "links_decided_once") in stores.found()


def test_a_decided_link_that_is_still_pending_is_found(stores: Stores) -> None:
    """What every shard has confirmed is cleared; its outcome stands in place of the mark."""
    shard = stores.shard_with(rows.OUTCOME)
    store = stores.shards[shard]
    key = stores.first(store, rows.OUTCOME)
    event = rows.position_in(key)
    anchor = stores.place("user_id", "u1").member
    both, instead = stores.copied(), stores.copied()
    mark = rows.pending_mark(anchor, 1)
    both.shards[shard].rows[rows.pending_key(event)] = mark
    instead.shards[shard].rows[rows.pending_key(event)] = mark
    del instead.shards[shard].rows[key]

    assert (shard, "links_decided_once") in both.found()
    assert any(
        "still pending" in each.text and each.part == shard for each in instead.verify().findings
    )


def test_a_lost_pending_mark_is_found(stores: Stores) -> None:
    """An event that links something is pending, decided, or was no news."""
    key = stores.first(stores.shards[0], rows.PENDING)
    del stores.shards[0].rows[key]

    assert (0, "known_links_are_so") in stores.found()


def test_an_outcome_that_differs_is_found(stores: Stores) -> None:
    """A shard keeps the outcome that was decided."""
    shard = stores.shard_with(rows.OUTCOME)
    store = stores.shards[shard]
    key = stores.first(store, rows.OUTCOME)
    stores.replace(store, key, rows.decode_outcome, outcome=1, drops=[(1, 1)])

    assert (shard, "links_decided_once") in stores.found()


def test_an_outcome_that_nobody_decided_is_found(stores: Stores) -> None:
    """A shard keeps no outcome of its own."""
    key = rows.outcome_key(rows.position_in(stores.first(stores.shards[0], rows.PENDING)))
    stores.shards[0].rows[key] = rows.encode(OutcomeRow(rows.FORMAT, 1, bytes(20), 1, []))

    assert (0, "links_decided_once") in stores.found()


def test_a_decision_that_is_not_kept_is_found(stores: Stores) -> None:
    """Every decision of the journal is kept under its link, once."""
    missing, other, extra = stores.copied(), stores.copied(), stores.copied()
    key = stores.first(stores.merge, journal.DECIDED)
    del missing.merge.rows[key]
    stores.replace(other.merge, key, journal.decode_decided, record=1)
    extra.merge.rows[key[:-1] + b"\xfe"] = extra.merge.rows[key]

    assert (MERGE, "links_decided_once") in missing.found()
    assert (MERGE, "links_decided_once") in other.found()
    assert (MERGE, "history") in extra.found()


def test_a_missing_journal_record_is_found(stores: Stores) -> None:
    """The journal is whole, and numbered without a gap."""
    del stores.merge.log[3]

    assert (MERGE, "whole_log") in stores.found()


def test_journal_rows_out_of_step_are_found(stores: Stores) -> None:
    """The row that says how far the journal is, and the counts, are the journal's own."""
    counts = stores.first(stores.merge, b"z")
    for key, value in (
        (journal.META, journal.encode((99, 1))),
        (journal.META, journal.encode((1, 1))),
        (counts, struct.pack("<BQQ", 1, 99, 1)),
        (counts, struct.pack("<BQQ", 1, 8, 99)),
    ):
        planted = stores.copied()
        planted.merge.rows[key] = value

        assert (MERGE, "counts") in planted.found()


def test_a_profile_parted_against_the_journal_is_found(stores: Stores) -> None:
    """What a decision brought together is on one profile for ever."""
    key = journal.MEMBER + stores.place("user_id", "u1").member
    other = stores.row(stores.place("user_id", "u2")).root
    stores.replace(stores.merge, key, journal.decode_member, root=other)

    assert (MERGE, "one_profile_per_member") in stores.found()


@pytest.mark.parametrize("table", [HISTORY, DROPS])
def test_places_in_the_journal_that_lead_nowhere_are_found(stores: Stores, table: bytes) -> None:
    """What points into the journal finds a decision there, and every decision is pointed to."""
    key = stores.first(stores.merge, table)
    missing, strange = stores.copied(), stores.copied()
    del missing.merge.rows[key]
    strange.merge.rows[key] += struct.pack(">QI", 999, 0)

    assert (MERGE, "history") in missing.found()
    assert (MERGE, "history") in strange.found()


def test_an_owed_mark_of_another_event_is_found(stores: Stores) -> None:
    """A mark of an owed side stands for an event with two sides."""
    shard = stores.shard_with(rows.OWED)
    store = stores.shards[shard]
    owed = store.rows[stores.first(store, rows.OWED)]
    store.rows[rows.owed_key(1 << 16)] = owed

    assert {invariant for part, invariant in stores.found() if part == shard} & {
        "owed_sides",
        "event_lists",
    }


def test_a_side_that_is_neither_stored_nor_owed_is_found(stores: Stores) -> None:
    """An event with two sides has both, or says which it owes."""
    shard = stores.shard_with(rows.OWED)
    store = stores.shards[shard]
    del store.rows[stores.first(store, rows.OWED)]

    assert (shard, "owed_sides") in stores.found()


def test_a_link_that_shows_on_one_side_only_is_found(stores: Stores) -> None:
    """A link between a user and an account shows on both sides, listed in its time."""
    users = stores.place("user_id", "u2")
    store = stores.shards[users.shard]
    keys = [key for key in store.rows if key.startswith(rows.LINK + users.member)]
    one_side = stores.copied()
    for key in keys:
        del one_side.shards[users.shard].rows[key]

    assert len(keys) == 3
    assert any(invariant == "account_links" for _, invariant in one_side.found())
    for key in keys:
        planted = stores.copied()
        del planted.shards[users.shard].rows[key]
        assert (users.shard, "account_links") in planted.found(), key[21:22]


def test_missing_activity_is_found(stores: Stores) -> None:
    """A space's activity names every record with events of the space, and no other."""
    key = stores.first(stores.shards[0], b"a")
    data = stores.shards[0].rows[key]
    for planted_data in (data[:-8], data[:5] + data[13:], data + struct.pack(">Q", 4)):
        planted = stores.copied()
        planted.shards[0].rows[key] = planted_data

        assert (0, "space_lists") in planted.found()


def test_missing_violations_are_found(stores: Stores) -> None:
    """What was refused, or left out of an event, is listed once, in the order it happened."""
    for shard, store in enumerate(stores.shards):
        for key in [each for each in store.rows if each[:1] == b"v"]:
            data = store.rows[key]
            entry_bytes = 29
            count = (len(data) - 5) // entry_bytes
            assert count
            for planted_data in (data[:-entry_bytes], data[:5] + data[5 + entry_bytes :], data * 1):
                planted = stores.copied()
                planted.shards[shard].rows[key] = planted_data
                found = (shard, "space_lists") in planted.found()
                assert found == (planted_data != data)
            doubled = stores.copied()
            doubled.shards[shard].rows[key] = data + data[-entry_bytes:]
            assert (shard, "space_lists") in doubled.found()


def test_a_mark_that_is_cleared_twice_is_sound(stores: Stores) -> None:
    """The merge actor clears marks again after a restart; what was left out is listed once."""
    shard, key, outcome = next(
        (shard, key, rows.decode_outcome(data))
        for shard, store in enumerate(stores.shards)
        for key, data in store.rows.items()
        if key[:1] == rows.OUTCOME and rows.decode_outcome(data).drops
    )
    clear = ClearPush(
        rows.position_in(key),
        outcome.outcome,
        outcome.root,
        outcome.seq,
        outcome.drops,
        outcome.rules_version,
    )
    push(stores, shard, clears=[clear])

    assert stores.verify().findings == []


def test_pushes_under_way_are_no_fault(stores: Stores) -> None:
    """Above what the journal has confirmed shards may be behind, and below they may not."""
    place = stores.place("user_id", "u1")
    root = stores.row(place).root
    assert root is not None
    seq = journal.decode_profile(stores.merge.rows[journal.PROFILE + root]).seq
    confirmed = stores.copied()
    for planted, record in ((stores, 1), (confirmed, stores.merge.next_number - 1)):
        planted.merge.rows[journal.META] = journal.encode(
            (journal.decode_meta(stores.merge.rows[journal.META])[0], record)
        )
        home = next(shard for shard in planted.shards if (rows.PROFILE + root) in shard.rows)
        stores.replace(home, rows.PROFILE + root, rows.decode_profile, seq=seq - 1)

    assert stores.verify().findings == []
    assert confirmed.verify().findings


def test_rules_that_nobody_made_are_found(stores: Stores) -> None:
    """The merge actor keeps to rules that control has, in the version that control has."""
    key = journal.rules_key(1)
    later, other = stores.copied(), stores.copied()
    stores.replace(later.merge, key, journal.decode_rules, version=7)
    stores.replace(
        other.merge, key, journal.decode_rules, document=msgspec.json.encode({"caps": {}})
    )

    assert (MERGE, "spaces") in later.found()
    assert (MERGE, "spaces") in other.found()
