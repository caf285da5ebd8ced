"""Answers questions about a space as a whole from what one shard stores. Reads only.

Every answer is bounded, in what it returns and in what it looks at: one that looked at enough ends
early and says where to go on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from unify_grpc.machines import rows
from unify_grpc.machines.activity import ActivityList
from unify_grpc.machines.append_run import batch_in, duplicates_in
from unify_grpc.machines.batch import FLAG_ACCOUNT_SIDE, FLAG_COUNTERPART, FLAG_REFUSED
from unify_grpc.machines.found_by import (
    prefix_key,
    prefix_member,
    prefix_start,
    trait_member,
    trait_start,
)
from unify_grpc.machines.list_questions import (
    NEWEST,
    ActiveMembers,
    Counted,
    CountSpaces,
    FindByPrefix,
    FindByTrait,
    FoundMembers,
    ListActive,
    ListAnswer,
    ListQuestion,
    ListSpaceViolations,
    TailedEvent,
    TailedEvents,
    TailSpace,
)
from unify_grpc.machines.lives import member_holding
from unify_grpc.machines.rows import MemberRow
from unify_grpc.machines.space_counts import COUNTS, SpaceCounts, unpack_counts
from unify_grpc.machines.stored_event import load_event
from unify_grpc.machines.violation_reader import read_violations

if TYPE_CHECKING:
    from collections.abc import Iterator

    from unify_grpc.machines.batch import Frame
    from unify_grpc.machines.readable_store import ReadableStore

EVENTS_LOOKED_MAX: Final = 10_000
"""Looked at for one answer; a record is looked at whole, so it may be some more."""
TAIL_BYTES_MAX: Final = 1 << 20
"""Of bodies in one answer; the last may go beyond it."""
_ROWS_AT_ONCE = 64
_OTHER_SIDE = FLAG_ACCOUNT_SIDE | FLAG_COUNTERPART
_SPACES_MAX = 1 << 20


class _Met(NamedTuple):
    """An event as the log is gone through."""

    position: int
    frame: Frame
    key: bytes


class ListReader:
    """Reads lists of spaces for one shard."""

    def __init__(self, store: ReadableStore, incarnations: dict[bytes, int]) -> None:
        """Takes the shard machine's own names past their first life."""
        self._store = store
        self._incarnations = incarnations

    def answer(self, question: ListQuestion) -> ListAnswer:
        """Answers one question."""
        match question:
            case ListActive():
                return self._list_active(question)
            case TailSpace():
                return self._tail(question)
            case ListSpaceViolations():
                return read_violations(self._store, self._incarnations, question)
            case FindByPrefix():
                return self._find_by_prefix(question)
            case FindByTrait():
                return self._find_by_trait(question)
            case CountSpaces():
                return self._count()

    # -- by time ----------------------------------------------------------------------------

    def _list_active(self, question: ListActive) -> ActiveMembers:
        """Goes backwards through the space's records.

        An event stands for its member if it is the last one stored under it.
        """
        records = ActivityList(self._get, question.space)
        at, before = len(records) - 1, question.before
        if before != NEWEST:
            at = records.index_from((before >> 16) + 1) - 1
        found: list[tuple[int, int, bytes]] = []
        seen: set[bytes] = set()
        newest_us = looked = next_ = 0
        while at >= 0:
            if looked >= EVENTS_LOOKED_MAX:
                return ActiveMembers(found, next_, newest_us)
            met = self._met(records[at], question.space)
            looked += len(met)
            met.reverse()
            if met and not newest_us:
                newest_us = met[0].frame.stamp_us
            if before != NEWEST:
                met = [each for each in met if each.position < before]
            for each in self._last_of_members(met, question.collection, seen):
                found.append(each)
                if len(found) == question.limit:
                    return ActiveMembers(found, each[1], newest_us)
            next_ = records[at] << 16
            at -= 1
        return ActiveMembers(found, 0, newest_us)

    def _last_of_members(
        self, met: list[_Met], collection: int, seen: set[bytes]
    ) -> Iterator[tuple[int, int, bytes]]:
        """Yields (stamp, position, member) of events that are the last of a member on a profile."""
        candidates = []
        for each in met:
            if each.frame.flags & FLAG_ACCOUNT_SIDE == collection and each.key not in seen:
                candidates.append(each)
                if each.key not in self._incarnations:
                    seen.add(each.key)
        for start in range(0, len(candidates), _ROWS_AT_ONCE):
            found = []
            with self._store.reading() as view:
                for each in candidates[start : start + _ROWS_AT_ONCE]:
                    held = member_holding(view, self._incarnations, each.key, each.position)
                    if held is None:
                        continue
                    member, row = held
                    if row.last_pos == each.position and (row.founded or row.root is not None):
                        found.append((each.frame.stamp_us, each.position, member))
            yield from found

    def _tail(self, question: TailSpace) -> TailedEvents:
        records = ActivityList(self._get, question.space)
        if question.start == NEWEST:
            end = (records[len(records) - 1] + 1) << 16 if len(records) else 0
            return TailedEvents([], end, is_end=True)
        at = records.index_from(question.start >> 16)
        events: list[TailedEvent] = []
        looked = size = 0
        next_ = question.start
        while at < len(records):
            for each in self._met(records[at], question.space):
                if each.position < question.start:
                    continue
                looked += 1
                if self._is_wanted(each, question):
                    events.append(self._tailed(each))
                    size += len(events[-1].event.body)
                next_ = each.position + 1
                if len(events) == question.limit or size >= TAIL_BYTES_MAX:
                    return TailedEvents(events, next_, is_end=False)
            next_ = max(next_, (records[at] + 1) << 16)
            at += 1
            if looked >= EVENTS_LOOKED_MAX:
                return TailedEvents(events, next_, is_end=at == len(records))
        return TailedEvents(events, next_, is_end=True)

    @staticmethod
    def _is_wanted(met: _Met, question: TailSpace) -> bool:
        """Whether an event is asked for; of one with two sides, only the user's comes."""
        frame = met.frame
        if frame.flags & _OTHER_SIDE == _OTHER_SIDE:
            return False
        return (not question.types or frame.type in question.types) and (
            not question.sources or frame.source in question.sources
        )

    def _tailed(self, met: _Met) -> TailedEvent:
        with self._store.reading() as view:
            held = member_holding(view, self._incarnations, met.key, met.position)
            is_pending = view.get(rows.pending_key(met.position)) is not None
        assert held is not None, "a stored event has a member"
        event = load_event(self._store, held[0], met.position)
        return TailedEvent(met.position, is_pending, event)

    def _met(self, number: int, space: int) -> list[_Met]:
        """Returns the events of a space that a record stored, in its order."""
        record = self._store.record(number)
        batch, repeated = batch_in(record), duplicates_in(record)
        met = []
        for at in range(len(batch.offsets)):
            frame = batch.frame(at)
            if frame.space == space and at not in repeated and not frame.flags & FLAG_REFUSED:
                met.append(_Met((number << 16) + at, frame, batch.keys(at, 1)[0]))
        return met

    # -- by what is known of them ---------------------------------------------------------------

    def _find_by_prefix(self, question: FindByPrefix) -> FoundMembers:
        space, side, type_ = question.space, question.collection, question.identifier_type
        start = prefix_start(space, side, type_, question.beginning)
        with self._store.reading() as view:
            after = b""
            if question.after:
                data = view.get(rows.MEMBER + question.after)
                if data is not None:
                    value = MemberRow.unpack(data).value
                    after = prefix_key(space, side, type_, value, question.after)
            listed = view.list_rows(start, after=after, limit=question.limit)
        found = [(key, prefix_member(data)) for key, data in listed]
        return FoundMembers(found, is_end=len(found) < question.limit)

    def _find_by_trait(self, question: FindByTrait) -> FoundMembers:
        start = trait_start(question.space, question.collection, question.name, question.text)
        after = start + question.after if question.after else b""
        with self._store.reading() as view:
            listed = view.list_rows(start, after=after, limit=question.limit)
        found = [(trait_member(key), trait_member(key)) for key, _ in listed]
        return FoundMembers(found, is_end=len(found) < question.limit)

    def _count(self) -> Counted:
        with self._store.reading() as view:
            listed = view.list_rows(COUNTS, limit=_SPACES_MAX)
        total = SpaceCounts()
        for _, data in listed:
            total = total.plus(unpack_counts(data))
        return Counted(*total)

    def _get(self, key: bytes) -> bytes | None:
        with self._store.reading() as view:
            return view.get(key)
