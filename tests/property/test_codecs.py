"""Whatever is packed is read back the same."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.property.fields import drops, i64, keys, marks, members, pairs, texts, u8, u32, u64
from unify_grpc.machines import journal, rows
from unify_grpc.machines.batch import (
    EVENT_TYPES,
    FLAG_COUNTERPART,
    Batch,
    Body,
    Frame,
    decode_body,
    encode_body,
    pack_batch,
    pack_frame,
    pack_strings,
    unpack_strings,
)
from unify_grpc.machines.links import (
    AgePush,
    Append,
    BindingPush,
    ClearPush,
    Decided,
    Founding,
    LookedUp,
    MemoryPush,
    NamePush,
    PendingLink,
    ProfilePush,
    Push,
    Void,
    decoder,
    encode,
)
from unify_grpc.machines.owed_sides import OwedSide
from unify_grpc.placement.members import (
    INCARNATION_MAX,
    PREFIXES,
    incarnation_of,
    member_of,
    member_of_segment_id,
    segment_id_of,
)
from unify_grpc.storage.errors import StorageCorruptError
from unify_grpc.storage.records import seal, unseal, version_of


@st.composite
def member_rows(draw: st.DrawFn) -> rows.MemberRow:
    """A member row with every field drawn."""
    row = rows.MemberRow(draw(u32), draw(st.integers(0, 1)))
    row.founded = draw(st.booleans())
    row.root = draw(st.none() | members)
    for name in ("type", "value", "joined_message_id"):
        setattr(row, name, draw(texts))
    for name in ("founding_stamp_us", "founding_us", "joined_us", "first_us", "last_us"):
        setattr(row, name, draw(i64))
    for name in (
        "founding_stream",
        "founding_pos",
        "seq",
        "memory_epoch",
        "first_pos",
        "last_pos",
    ):
        setattr(row, name, draw(u64))
    row.joined_source, row.event_count, row.chunk_count = draw(u32), draw(u32), draw(u32)
    types = len(EVENT_TYPES)
    row.counts = draw(st.lists(u32, min_size=types, max_size=types))
    row.partners = b"".join(draw(st.lists(marks, max_size=5)))
    tail = draw(st.lists(st.tuples(marks, marks, marks), max_size=5))
    row.tail_times = b"".join(each[0] for each in tail)
    row.tail_positions = b"".join(each[1] for each in tail)
    row.tail_fingerprints = b"".join(each[2] for each in tail)
    return row


def fields_of(row: rows.MemberRow) -> dict[str, Any]:
    """Returns all fields of a member row."""
    return {name: getattr(row, name) for name in rows.MemberRow.__slots__ if name != "dirty"}


@given(member_rows())
def test_a_member_row_is_read_back_as_packed(row: rows.MemberRow) -> None:
    """Every field of a member row survives, and packing again gives the same bytes."""
    data = row.pack()

    assert fields_of(row) == fields_of(rows.MemberRow.unpack(data))
    assert data == rows.MemberRow.unpack(data).pack()


def test_a_member_row_of_another_format_is_refused() -> None:
    """A row whose format byte is not known is not guessed at."""
    data = rows.MemberRow(1, 0).pack()

    with pytest.raises(ValueError, match="format 9"):
        rows.MemberRow.unpack(b"\x09" + data[1:])


founding = st.builds(Founding, i64, u64, i64, u32, texts)
link_ids = st.lists(st.tuples(keys, texts, texts), min_size=1, max_size=4)
named_drops = st.lists(st.tuples(texts, texts, u8), max_size=2)
pending_links = st.builds(
    PendingLink,
    shard=u8,
    position=u64,
    index=st.integers(-1, 2**16),
    space=u32,
    collection=st.integers(0, 1),
    rules_version=u32,
    time_us=i64,
    stamp_us=i64,
    stream=u64,
    source=u32,
    message_id=texts,
    anchor=members,
    founding=st.none() | founding,
    ids=link_ids,
)
profile_pushes = st.builds(
    ProfilePush,
    *(members, u64, u32, st.integers(0, 1), i64, u32),
    st.lists(members, max_size=4),
    st.lists(members, max_size=2),
)
binding_pushes = st.builds(
    BindingPush,
    *(members, members, u64, u32, st.integers(0, 1), texts, texts, i64, u32, texts),
    st.booleans(),
    u64,
)
memory_pushes = st.builds(MemoryPush, members, u64, st.lists(marks, max_size=4))
age_pushes = st.builds(AgePush, members, u32, st.integers(0, 1), u64)
name_pushes = st.builds(NamePush, keys, u32)
clear_pushes = st.builds(ClearPush, u64, u8, members, u64, drops)
decisions = st.builds(
    journal.Decision,
    seq=u64,
    shard=u8,
    position=u64,
    space=u32,
    collection=st.integers(0, 1),
    rules_version=u32,
    time_us=i64,
    stamp_us=i64,
    source=u32,
    message_id=texts,
    ids=st.lists(st.tuples(members, texts, texts), min_size=1, max_size=4),
    outcome=st.integers(1, 3),
    root=members,
    created_us=i64,
    order=u64,
    merges=u32,
    kept=st.lists(u8, max_size=4),
    drops=drops,
    absorbed=st.lists(members, max_size=3),
    adopted=st.lists(st.tuples(u8, founding), max_size=3),
    is_remembered=st.booleans(),
)

owed_sides = st.builds(
    OwedSide,
    *(st.integers(-1, 2**16), u64, members, u32, i64, st.booleans(), st.binary(max_size=20)),
)

STRUCTS: dict[type, st.SearchStrategy[Any]] = {
    OwedSide: owed_sides,
    Founding: founding,
    PendingLink: pending_links,
    Append: st.builds(
        Append,
        st.dictionaries(u32, u32, max_size=2),
        st.binary(max_size=8),
        st.binary(max_size=40),
        st.lists(pending_links, max_size=2),
        st.dictionaries(st.integers(0, 2**16 - 1), named_drops, max_size=2),
        st.lists(owed_sides, max_size=2),
        st.dictionaries(st.integers(0, 2**16 - 1), u32, max_size=2),
    ),
    LookedUp: st.builds(LookedUp, u32, st.none() | founding),
    Push: st.builds(
        Push,
        st.lists(profile_pushes, max_size=2),
        st.lists(binding_pushes, max_size=2),
        st.lists(memory_pushes, max_size=2),
        st.lists(clear_pushes, max_size=2),
        st.lists(age_pushes, max_size=2),
        st.lists(name_pushes, max_size=2),
    ),
    Void: st.builds(Void, members, members, u64, founding),
    Decided: st.builds(Decided, u8, u64, u8, members, drops),
    rows.ProfileRow: st.builds(
        rows.ProfileRow,
        *(u8, u32, u64, i64, u32),
        st.lists(members, max_size=4),
        st.lists(members, max_size=2),
    ),
    rows.OutcomeRow: st.builds(rows.OutcomeRow, u8, u8, members, u64, drops),
    rows.SpaceRow: st.builds(rows.SpaceRow, u8, u32, u64),
    journal.Round: st.builds(journal.Round, u8, u64, st.lists(decisions, max_size=2)),
    journal.MemberRow: st.builds(
        journal.MemberRow, u8, members, texts, texts, i64, u32, texts, st.booleans(), u64
    ),
    journal.ProfileRow: st.builds(
        journal.ProfileRow,
        *(u8, u32, st.integers(0, 1), u64, i64, u64, u32),
        st.lists(st.tuples(members, texts, i64, u64, st.booleans()), max_size=3),
    ),
    journal.DecidedRow: st.builds(journal.DecidedRow, u8, u64, u8, members, drops),
    journal.RulesRow: st.builds(journal.RulesRow, u8, u32, st.binary(max_size=40)),
}


@pytest.mark.parametrize("type_", STRUCTS, ids=lambda each: f"{each.__module__}.{each.__name__}")
def test_what_machines_tell_and_keep_is_read_back_as_packed(type_: type) -> None:
    """Every message and row of msgpack survives, and packing again gives the same bytes."""

    @given(STRUCTS[type_])
    def check(value: Any) -> None:
        data = encode(value)

        assert value == decoder(type_).decode(data)
        assert data == encode(decoder(type_).decode(data))

    check()


def test_every_struct_of_links_and_journal_is_tried() -> None:
    """A message or row that is added is added above too, alone or as a part of another."""
    parts = {
        *(ProfilePush, BindingPush, MemoryPush, ClearPush, AgePush, NamePush),
        journal.Decision,
    }
    defined = {
        each
        for module in (journal, rows, __import__("unify_grpc.machines.links", fromlist=["links"]))
        for each in vars(module).values()
        if isinstance(each, type) and issubclass(each, msgspec.Struct)
    }

    assert defined == parts | set(STRUCTS)


bodies = st.builds(
    Body,
    message_id=texts,
    name=texts,
    traits=st.binary(max_size=40),
    properties=st.binary(max_size=40),
    context=st.binary(max_size=40),
    external_ids=st.binary(max_size=40),
    user_id=st.none() | texts,
    anonymous_id=st.none() | texts,
    group_id=st.none() | texts,
    previous_id=st.none() | texts,
    client_time_us=st.none() | i64,
    sent_at_us=st.none() | i64,
)


@given(bodies)
def test_a_body_is_read_back_as_packed(body: Body) -> None:
    """What a caller sent survives."""
    assert body == decode_body(encode_body(body))


@given(st.lists(pairs, max_size=5), st.binary(max_size=9))
def test_strings_are_read_back_from_anywhere(strings: list[tuple[str, str]], before: bytes) -> None:
    """Types and values survive, wherever in a record they start."""
    data = before + pack_strings(strings) + b"after"

    assert strings == unpack_strings(data, len(before), len(strings))


@st.composite
def frames(draw: st.DrawFn) -> tuple[Frame, list[bytes], list[tuple[str, str]], Body]:
    """The parts of a frame; with `FLAG_COUNTERPART` one key and pair more than the count says."""
    flags = draw(st.integers(0, 31))
    count = draw(st.integers(1, 4))
    total = count + (1 if flags & FLAG_COUNTERPART else 0)
    strings = draw(st.lists(pairs, min_size=total, max_size=total))
    frame = Frame(
        draw(st.integers(0, len(EVENT_TYPES) - 1)),
        flags,
        count,
        draw(u32),
        draw(u32),
        len(pack_strings(strings)),
        draw(i64),
        draw(i64),
        draw(u64),
        draw(marks),
    )
    return frame, draw(st.lists(keys, min_size=total, max_size=total)), strings, draw(bodies)


@given(
    st.binary(min_size=16, max_size=16),
    st.lists(st.tuples(u32, u32), max_size=3),
    st.lists(frames(), max_size=4),
    st.binary(max_size=9),
)
def test_a_batch_is_read_back_from_anywhere(
    call_id: bytes,
    rules: list[tuple[int, int]],
    parts: list[tuple[Frame, list[bytes], list[tuple[str, str]], Body]],
    before: bytes,
) -> None:
    """Header, frames, keys, strings and bodies survive, wherever in a record the batch starts."""
    packed = [
        pack_frame(
            type_=frame.type,
            flags=frame.flags,
            space=frame.space,
            source=frame.source,
            time_us=frame.time_us,
            stamp_us=frame.stamp_us,
            stream=frame.stream,
            mark=frame.mark,
            keys=frame_keys,
            strings=pack_strings(strings),
            body=encode_body(body),
        )
        for frame, frame_keys, strings, body in parts
    ]
    batch = Batch(before + pack_batch(call_id, rules, packed), len(before))

    assert call_id == batch.call_id
    assert rules == batch.rules
    assert len(parts) == len(batch.offsets)
    for index, (frame, frame_keys, strings, body) in enumerate(parts):
        assert frame == batch.frame(index)
        assert frame_keys == batch.keys(index, len(frame_keys))
        own = list(zip(frame_keys, strings, strict=True))[: frame.key_count]
        assert own == [(each.key, (each.type, each.value)) for each in batch.identifiers(index)]
        assert strings[0] == batch.anchor_strings(index, frame)
        assert body == batch.body(index, frame)


@given(st.sampled_from(sorted(PREFIXES)), keys, st.integers(0, INCARNATION_MAX))
def test_a_segment_id_names_one_member(collection: str, key: bytes, incarnation: int) -> None:
    """A member's segment_id leads back to it, and a member to its key and incarnation."""
    member = member_of(key, incarnation)

    assert (collection, member) == member_of_segment_id(segment_id_of(collection, member))
    assert (key, incarnation) == (member[:16], incarnation_of(member))


@given(members, members)
def test_segment_ids_sort_as_their_members(one: bytes, other: bytes) -> None:
    """Of two profiles with equal stamps, the smaller segment_id is the smaller member."""
    assert (one < other) == (segment_id_of("users", one) < segment_id_of("users", other))


@given(st.text(max_size=40))
def test_no_text_breaks_the_reading_of_a_segment_id(text: str) -> None:
    """Any text is either a segment_id that is written the same again, or none."""
    for candidate in (text, "use_" + text, "acc_" + text[:27].rjust(27, "0")):
        named = member_of_segment_id(candidate)
        assert named is None or candidate == segment_id_of(*named)


@given(st.binary(max_size=100), u8)
def test_a_sealed_record_is_opened_as_it_was(payload: bytes, version: int) -> None:
    """Payload and version survive their envelope."""
    assert payload == unseal(seal(payload, version), "it")
    assert version == version_of(seal(payload, version))


@given(st.binary(max_size=100), st.data())
def test_a_flipped_bit_is_noticed(payload: bytes, data: st.DataObject) -> None:
    """No single flipped bit of format, checksum or payload goes unnoticed."""
    sealed = bytearray(seal(payload, 3))
    bit = data.draw(st.integers(0, 8 * len(sealed) - 1).filter(lambda each: each // 8 != 1))
    sealed[bit // 8] ^= 1 << bit % 8

    with pytest.raises(StorageCorruptError, match="the record"):
        unseal(bytes(sealed), "the record")


@given(st.binary(max_size=100), st.data())
def test_a_record_cut_short_is_noticed(payload: bytes, data: st.DataObject) -> None:
    """No prefix of a sealed record passes for a record."""
    sealed = seal(payload)
    cut = data.draw(st.integers(0, len(sealed) - 1))

    with pytest.raises(StorageCorruptError):
        unseal(sealed[:cut], "the record")
