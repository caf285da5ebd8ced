"""Damage of events and of their lists is found, each kind by itself."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from unify_grpc.machines import rows
from unify_grpc.machines.event_lists import bucket_count, bucket_of, unpack_chunk, unpack_tail
from unify_grpc.machines.trait_rows import decode_traits, encode_traits
from unify_grpc.placement.members import member_of

if TYPE_CHECKING:
    from tests.unit.verification.stored import Place, Stores


def positions(stores: Stores, place: Place) -> list[int]:
    """Returns where the newest events of a member lie."""
    return list(unpack_tail(stores.row(place))[1])


def list_at(stores: Stores, place: Place, listed: list[int]) -> None:
    """Has a member's tail list other positions."""
    stores.change(place, tail_positions=struct.pack(f"<{len(listed)}Q", *listed))


def test_a_missing_log_record_is_found(stores: Stores) -> None:
    """A log is whole from its first record to its last."""
    del stores.shards[0].log[3]

    assert (0, "whole_log") in stores.found()


def test_a_record_of_no_known_kind_is_found(stores: Stores) -> None:
    """A record that nobody can replay is no record."""
    stores.shards[1].append(b"?")

    assert (1, "formats") in stores.found()


def test_an_event_that_is_listed_twice_is_found(stores: Stores) -> None:
    """A list names each event once."""
    place = stores.place("user_id", "u1")
    listed = positions(stores, place)
    list_at(stores, place, [listed[0], listed[0], *listed[2:]])

    assert (place.shard, "event_lists") in stores.found()


def test_an_event_under_another_anchor_is_found(stores: Stores) -> None:
    """What a list names lies under that very anchor."""
    place, other = stores.place("user_id", "u1"), stores.place("anonymous_id", "long")
    listed = positions(stores, place)
    list_at(stores, place, [*listed[:-1], positions(stores, other)[-1]])

    assert (place.shard, "event_lists") in stores.found()


def test_a_list_entry_that_leads_to_no_record_is_found(stores: Stores) -> None:
    """What a list names is in the log."""
    place = stores.place("anonymous_id", "alone")
    listed = positions(stores, place)
    list_at(stores, place, [*listed[:-1], 999 << 16])
    stores.change(place, last_pos=999 << 16)

    assert (place.shard, "event_lists") in stores.found()


def test_an_event_that_is_on_no_list_is_found(stores: Stores) -> None:
    """Every stored event is listed, and the finding says which is not."""
    place = stores.place("anonymous_id", "alone")
    position = positions(stores, place)[0]
    for key in (rows.MEMBER + place.member, stores.first(stores.shards[place.shard], b"i")):
        del stores.shards[place.shard].rows[key]

    findings = [each for each in stores.verify().findings if each.invariant == "event_lists"]

    assert any(
        f"{position >> 16}.{position & 0xFFFF} is listed 0" in each.text for each in findings
    )


def test_a_message_that_took_effect_twice_is_found(stores: Stores) -> None:
    """Within a dedupe window a message is stored once under its anchor, whatever a record says."""
    place = stores.place("anonymous_id", "alone")
    position = positions(stores, place)[0]
    shard = stores.shards[place.shard]
    record = shard.record(position >> 16)
    number = shard.append(record)
    again, row = (number << 16) + (position & 0xFFFF), stores.row(place)
    stores.change(
        place,
        tail_times=row.tail_times * 2,
        tail_positions=struct.pack("<2Q", position, again),
        tail_fingerprints=row.tail_fingerprints * 2,
        event_count=2,
        counts=[2 * each for each in row.counts],
        last_pos=again,
    )

    assert (place.shard, "one_effect_per_message") in stores.found()


def test_a_wrong_count_of_events_is_found(stores: Stores) -> None:
    """A member counts the events that it lists."""
    place = stores.place("user_id", "u2")
    stores.change(place, event_count=9)

    assert (place.shard, "event_lists") in stores.found()


def test_a_wrong_first_time_is_found(stores: Stores) -> None:
    """A member's first and last times are those of its events."""
    place = stores.place("user_id", "u2")
    stores.change(place, first_us=1)

    assert (place.shard, "event_lists") in stores.found()


def test_a_wrong_first_or_last_time_of_a_long_list_is_found(stores: Stores) -> None:
    """So are those of a member whose list has full parts."""
    place = stores.place("anonymous_id", "long")
    for fields in ({"first_us": 1}, {"last_us": 1 << 60}):
        planted = stores.copied()
        planted.change(place, **fields)

        assert (place.shard, "event_lists") in planted.found(), fields


def test_a_missing_part_of_a_list_is_found(stores: Stores) -> None:
    """The full parts of a long list are all there."""
    place = stores.place("anonymous_id", "long")
    for number in range(stores.row(place).chunk_count):
        planted = stores.copied()
        del planted.shards[place.shard].rows[rows.chunk_key(place.member, number)]

        assert (place.shard, "event_lists") in planted.found()


def test_a_part_of_no_list_is_found(stores: Stores) -> None:
    """There are no more parts than a list has."""
    place = stores.place("anonymous_id", "long")
    shard = stores.shards[place.shard]
    shard.rows[rows.chunk_key(place.member, 9)] = shard.rows[rows.chunk_key(place.member, 0)]

    assert (place.shard, "event_lists") in stores.found()


def test_a_message_that_its_bucket_does_not_know_is_found(stores: Stores) -> None:
    """Whatever a full part lists is found by its message id."""
    place = stores.place("anonymous_id", "long")
    shard, row = stores.shards[place.shard], stores.row(place)
    position = unpack_chunk(shard.rows[rows.chunk_key(place.member, 0)])[1][0]
    entry = struct.pack("<Q", position)
    key = next(
        key
        for number in range(bucket_count(row))
        if entry in shard.rows[key := rows.dedupe_key(place.member, number)]
    )
    at = shard.rows[key].index(entry) - 8
    shard.rows[key] = shard.rows[key][:at] + shard.rows[key][at + 16 :]

    assert (place.shard, "event_lists") in stores.found()


def test_a_fingerprint_in_the_wrong_bucket_is_found(stores: Stores) -> None:
    """A bucket holds what belongs to it, and nothing twice."""
    place = stores.place("anonymous_id", "long")
    shard, row = stores.shards[place.shard], stores.row(place)
    key = rows.dedupe_key(place.member, 0)
    twice, strange = stores.copied(), stores.copied()
    twice.shards[place.shard].rows[key] += shard.rows[key][:16]
    mark = next(
        mark
        for each in range(1000)
        if bucket_of(mark := each.to_bytes(8, "little"), bucket_count(row))
    )
    strange.shards[place.shard].rows[key] += mark + shard.rows[key][8:16]

    assert (place.shard, "event_lists") in twice.found()
    assert (place.shard, "event_lists") in strange.found()


def test_a_trait_that_no_event_set_is_found(stores: Stores) -> None:
    """A member shows the last-written of what its events set: no more, no less, nothing else."""
    place = stores.place("user_id", "u1")
    key = rows.TRAITS + place.member
    cells = decode_traits(stores.shards[place.shard].rows[key])
    name = next(iter(cells))
    plants = [
        {**cells, "strange": cells[name]},
        {each: cell for each, cell in cells.items() if each != name},
        {**cells, name: cells[name]._replace(value_json=b'"other"')},
    ]
    for planted_cells in plants:
        planted = stores.copied()
        planted.shards[place.shard].rows[key] = encode_traits(planted_cells)

        assert (place.shard, "traits") in planted.found()


def test_traits_of_nobody_are_found(stores: Stores) -> None:
    """Traits belong to a member that has events."""
    place = stores.place("user_id", "u1")
    shard = stores.shards[place.shard]
    shard.rows[rows.TRAITS + member_of(place.member[:16], 7)] = shard.rows[
        rows.TRAITS + place.member
    ]

    assert (place.shard, "traits") in stores.found()


def test_a_member_of_another_shard_is_found(stores: Stores) -> None:
    """Everything lies at the shard that owns its key."""
    place = stores.place("anonymous_id", "alone")
    other = (place.shard + 1) % len(stores.shards)
    key = rows.MEMBER + place.member
    stores.shards[other].rows[key] = stores.shards[place.shard].rows[key]

    assert (other, "at_home") in stores.found()


def test_an_unreadable_row_is_a_finding(stores: Stores) -> None:
    """A row of another format is told, and everything else is still checked."""
    place, other = stores.place("user_id", "u1"), stores.place("user_id", "u2")
    stores.shards[place.shard].rows[rows.MEMBER + place.member] = b"\xff" * 400
    stores.change(other, event_count=9)

    assert {(place.shard, "formats"), (other.shard, "event_lists")} <= stores.found()


def test_a_row_of_no_table_is_found(stores: Stores) -> None:
    """A store has no rows but those of its tables."""
    stores.shards[0].rows[b"?what"] = b""
    stores.merge.rows[b"?what"] = b""
    stores.control.rows[b"?what"] = b""

    assert {(0, "formats"), (-1, "formats"), (-2, "formats")} <= stores.found()


def test_findings_hold_no_values(stores: Stores) -> None:
    """Whatever is damaged, no identifier, trait or message id is told of it."""
    for store in (*stores.shards, stores.merge):
        for key in list(store.rows):
            store.rows[key] = store.rows[key][:-1] + bytes((store.rows[key][-1] ^ 1,))

    told = " ".join(each.text for each in stores.verify().findings)

    assert "cannot be read" in told
    for value in ("example.com", "alone", "u1", "null", "Seen", "refused!"):
        assert value not in told
        assert value.encode().hex() not in told
