"""Walks through the merge actor's journal: each decision, and the rows that follow from it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

import msgspec

from unify_grpc.identity.outcomes import Outcome
from unify_grpc.machines import deletions, journal
from unify_grpc.machines.deleting import AGE_RECORD, DELETE_RECORD
from unify_grpc.machines.history_rows import (
    DROPS,
    PLACES_MAX,
    Place,
    head_key,
    part_key,
    repeats_key,
    unpack_head,
    unpack_places,
)
from unify_grpc.machines.links import Void
from unify_grpc.machines.merge_machine import (
    MACHINE_VERSION,
    ROUND_RECORD,
    RULES_RECORD,
    VOID_RECORD,
)
from unify_grpc.placement.members import KEY_BYTES
from unify_grpc.verification.claims import DecidedClaim, digest_of
from unify_grpc.verification.findings import Invariant, record_name
from unify_grpc.verification.merge_state import confirmed_seq, find_member
from unify_grpc.verification.records import check_record

if TYPE_CHECKING:
    from unify_grpc.machines.journal import Decision, Round
    from unify_grpc.verification.slices import Slice
    from unify_grpc.verification.views import CheckedRecord

_NUMBER_BYTES: Final = 8
_SKIPPED_PER_WORK: Final = 1 << 12
"""Bytes of a row that are passed over for the work of one unit."""
_decode_voids = msgspec.msgpack.Decoder(list[Void]).decode
_decode_rules = msgspec.msgpack.Decoder(tuple[int, int, bytes]).decode
_encode = msgspec.msgpack.Encoder().encode


class _State(msgspec.Struct, array_like=True):
    """How far the walk is."""

    number: int = 1
    at: int = 0
    """Among the decisions of the record."""
    seq: int = 0
    """Of the last decision before."""


class _Founded(msgspec.Struct, array_like=True, frozen=True):
    """What of a profile's row its founding decided; how the row begins."""

    format: int
    space: int
    collection: int
    seq: int
    created_us: int
    order: int


_decode_founded = msgspec.msgpack.Decoder(_Founded).decode
_decode_state = msgspec.msgpack.Decoder(_State).decode


class JournalWalk:
    """Goes through the records in their order, some decisions of one at a time."""

    name = "journal"

    def walk(self, slice_: Slice, cursor: bytes) -> bytes | None:
        """Goes on behind a decision."""
        state = _decode_state(cursor) if cursor else _State()
        while state.number <= slice_.last:
            before = state.number
            check_record(slice_, before, MACHINE_VERSION, state, _check)
            if state.number == before and not state.at:
                state.number += 1
            if slice_.is_full:
                return _encode(state)
        slice_.tallies["seq"] = state.seq
        return None

    def again(self, slice_: Slice, key: bytes) -> None:
        """Makes the claim of one decision once more."""
        number, at = (
            int.from_bytes(key[:_NUMBER_BYTES], "big"),
            int.from_bytes(key[_NUMBER_BYTES:], "big"),
        )
        record = slice_.view.checked_record(number)
        if record is not None:
            slice_.turn_to(key, _decision_name)
            _claim(slice_, journal.decode_round(bytes(record.payload[1:])).decisions[at])


def _check(slice_: Slice, number: int, record: CheckedRecord, state: _State) -> None:
    """Checks a record, or goes on with its decisions; moves the state on only if it is not done."""
    kind, body = bytes(record.payload[:1]), bytes(record.payload[1:])
    if kind == ROUND_RECORD:
        _check_round(slice_, number, journal.decode_round(body), state)
    elif kind == AGE_RECORD:
        _check_seq(slice_, number, deletions.decode_ageing(body).seq, state)
    elif kind == DELETE_RECORD:
        deletion = deletions.decode_deletion(body)
        _check_seq(slice_, number, deletion.seq, state)
        kept = slice_.view.get(deletions.DELETION + deletion.command.request_id)
        if kept is None or deletions.decode_row(kept).record != number:
            slice_.find(Invariant.HISTORY, f"journal record {number}: the answer to it is not kept")
    elif kind == VOID_RECORD:
        _decode_voids(body)
    elif kind == RULES_RECORD:
        space, version, document = _decode_rules(body)
        data = slice_.view.get(journal.rules_key(space))
        row = None if data is None else journal.decode_rules(data)
        if (
            row is None
            or row.version < version
            or (row.version == version and row.document != document)
        ):
            slice_.find(Invariant.SPACES, f"{slice_.name} adopts rules that are not kept")
    else:
        slice_.find(Invariant.FORMATS, f"journal record {number} is of no known kind")


def _check_round(slice_: Slice, number: int, round_: Round, state: _State) -> None:
    if not state.at and not (round_.decisions and round_.confirmed < number):
        text = f"journal record {number} has no decision, or confirms what is to come"
        slice_.find(Invariant.HISTORY, text)
    # Counted when it is opened for the first time.
    slice_.records -= 1 if state.at else 0
    slice_.work += len(round_.decisions) // 16
    for at in range(state.at, len(round_.decisions)):
        decision = round_.decisions[at]
        key = number.to_bytes(_NUMBER_BYTES, "big") + at.to_bytes(2, "big")
        slice_.turn_to(key, _decision_name)
        state.at = at + 1
        slice_.work += 2
        _check_seq(slice_, number, decision.seq, state)
        slice_.tallies["logged"] += 1
        slice_.tallies["merged"] += decision.outcome == Outcome.MERGED
        slice_.attempt(partial(_check_decision, slice_, Place(number, at), decision))
        if slice_.is_full and at + 1 < len(round_.decisions):
            return
    state.number, state.at = number + 1, 0


def _decision_name(key: bytes) -> str:
    number, at = key[:_NUMBER_BYTES], key[_NUMBER_BYTES:]
    return f"decision {int.from_bytes(at, 'big')} of {record_name(number)}"


def _check_seq(slice_: Slice, number: int, seq: int, state: _State) -> None:
    if seq <= state.seq:
        text = f"journal record {number}: decision {seq} comes after {state.seq}"
        slice_.find(Invariant.HISTORY, text)
    state.seq = max(seq, state.seq)


def _check_decision(slice_: Slice, place: Place, decision: Decision) -> None:
    """Checks what follows from a decision in the tables, and has its shard agree."""
    name = f"decision {decision.seq}"
    data = slice_.view.get(journal.decided_key(decision.shard, decision.position))
    row = None if data is None else journal.decode_decided(data)
    if row is None or (row.record, row.outcome, row.root, row.drops) != (
        place.record,
        decision.outcome,
        decision.root,
        decision.drops,
    ):
        what = "is not kept" if row is None else "is kept as another, or was decided twice"
        slice_.find(Invariant.LINKS_DECIDED, f"{name} {what}")
    if decision.outcome == Outcome.CREATED:
        newest = slice_.view.get(journal.newest_stamp_key(decision.space)) or b""
        if int.from_bytes(newest, "big") < decision.created_us:
            slice_.find(Invariant.HISTORY, f"{name} is newer than the newest of its space")
    _check_founded(slice_, name, decision)
    _check_kept(slice_, name, decision)
    _check_places(slice_, name, place, decision)
    _claim(slice_, decision)


def _claim(slice_: Slice, decision: Decision) -> None:
    """Has the shard of a link agree with how it was decided."""
    slice_.claim(
        decision.shard,
        DecidedClaim(
            decision.position,
            decision.seq <= confirmed_seq(slice_),
            digest_of(
                decision.outcome,
                decision.root,
                decision.seq,
                decision.drops,
                decision.rules_version,
            ),
            digest_of(
                decision.space,
                decision.time_us,
                decision.stamp_us,
                decision.source,
                decision.message_id,
                [member[:KEY_BYTES] for member, _, _ in decision.ids],
            ),
        ),
    )


def _check_founded(slice_: Slice, name: str, decision: Decision) -> None:
    """Checks that a profile which lives is as old as the decision says that links begin with.

    That never changes, and tells which of two profiles goes on when they merge.
    """
    adopted = (decision.ids[index][0] for index, _ in decision.adopted)
    if decision.outcome != Outcome.CREATED and decision.root not in adopted:
        return
    data = slice_.view.get(journal.PROFILE + decision.root)
    if data is None:
        return
    slice_.work += len(data) // _SKIPPED_PER_WORK
    row = _decode_founded(data)
    if (row.created_us, row.order) != (decision.created_us, decision.order):
        slice_.find(Invariant.ONE_PROFILE, f"{name} founded its profile at another moment")


def _check_kept(slice_: Slice, name: str, decision: Decision) -> None:
    """Checks that what a decision brought together is together: nothing parts it again."""
    members = [decision.root, *(decision.ids[index][0] for index in decision.kept)]
    members += decision.absorbed
    roots = set()
    for member in members:
        bound = find_member(slice_, member)
        roots.add(None if bound is None else bound.root)
    if len(roots) != 1 or None in roots:
        slice_.find(Invariant.ONE_PROFILE, f"{name} joined what is not on one profile")
    for absorbed in decision.absorbed:
        if slice_.view.get(journal.PROFILE + absorbed) is not None:
            slice_.find(Invariant.ONE_PROFILE, f"{name} absorbed a profile that lives")


def _check_places(slice_: Slice, name: str, place: Place, decision: Decision) -> None:
    """Checks that a decision is found by its profile, and by what it left out."""
    if _is_in_history(slice_, decision.root, place):
        slice_.tallies["found"] += 1
    elif decision.absorbed or decision.adopted or decision.outcome == Outcome.CREATED:
        slice_.find(Invariant.HISTORY, f"{name} is not in the history of its profile")
    elif len(decision.kept) > 1 and not _is_among_newest(slice_, repeats_key(decision.root), place):
        slice_.find(Invariant.HISTORY, f"{name} is not among the newest of its profile")
    if decision.drops:
        dropped = {decision.ids[0][0], *(decision.ids[index][0] for index, _ in decision.drops)}
        for member in dropped:
            if not _is_among_newest(slice_, DROPS + member, place):
                text = f"{name} is not found by what it left out"
                slice_.find(Invariant.HISTORY, text)


def _is_in_history(slice_: Slice, root: bytes, place: Place) -> bool:
    """Looks for a place in a profile's history, which is in order."""
    data = slice_.view.get(head_key(root))
    if data is None:
        return False
    head = unpack_head(data)
    if head.places and head.places[0] <= place:
        return place in head.places
    low, high = 0, head.parts_count
    while low < high:
        middle = (low + high) // 2
        part = slice_.view.get(part_key(root, middle))
        places = unpack_places(part) if part is not None else []
        if not places or places[-1] < place:
            low = middle + 1
        elif places[0] > place:
            high = middle
        else:
            return place in places
    return False


def _is_among_newest(slice_: Slice, key: bytes, place: Place) -> bool:
    """Looks for a place in a list that forgets its oldest; what it forgot counts as found."""
    data = slice_.view.get(key)
    places = unpack_places(data) if data is not None else []
    return place in places or (len(places) == PLACES_MAX and place < places[0])
