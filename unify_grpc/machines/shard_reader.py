"""Answers questions about what one shard stores. Reads only, beside the writer."""

from __future__ import annotations

from heapq import heappop, heappush
from typing import TYPE_CHECKING

from unify_grpc.machines import rows
from unify_grpc.machines.append_run import batch_in
from unify_grpc.machines.batch import EVENT_TYPES, decode_body
from unify_grpc.machines.event_details import find_foundings, tell_events
from unify_grpc.machines.event_lists import chunk_times, unpack_chunk, unpack_tail
from unify_grpc.machines.link_questions import LinkQuestion, answer_link_question
from unify_grpc.machines.links import LookedUp
from unify_grpc.machines.list_questions import ListQuestion
from unify_grpc.machines.list_reader import ListReader
from unify_grpc.machines.pushed_rows import founding_of
from unify_grpc.machines.reads import (
    Answer,
    EventsAt,
    FoundingsOf,
    Gather,
    Gathered,
    ListEvents,
    Locate,
    Located,
    LookUpName,
    Question,
    Sent,
)
from unify_grpc.machines.rows import MemberRow
from unify_grpc.machines.stored_event import StoredEvent, load_event
from unify_grpc.placement.members import KEY_BYTES, member_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from unify_grpc.machines.readable_store import ReadableStore, RowView
    from unify_grpc.placement.slots import ShardMap

_CHUNKS_AT_ONCE = 256
_HOPS_MAX = 64


class ShardReader:
    """Reads for one shard."""

    def __init__(
        self, shard: int, shard_map: ShardMap, store: ReadableStore, incarnations: dict[bytes, int]
    ) -> None:
        self.shard = shard
        self.shard_map = shard_map
        self.store = store
        self.incarnations = incarnations
        """The shard machine's own, of names past their first life."""
        self._lists = ListReader(store, incarnations)

    def answer(self, questions: list[Question]) -> list[Answer]:
        """Answers questions in their order; each sees a state between two batches."""
        answers: list[Answer] = []
        for question in questions:
            if isinstance(question, ListEvents):
                answers.append(self._list_events(question))
            elif isinstance(question, ListQuestion):
                answers.append(self._lists.answer(question))
            elif isinstance(question, EventsAt):
                answers.append(tell_events(self.store, question.positions))
            elif isinstance(question, FoundingsOf):
                answers.append(find_foundings(self.store, question.space, question.members))
            else:
                with self.store.reading() as view:
                    if isinstance(question, Locate):
                        answers.append(self._locate(view, question))
                    elif isinstance(question, LookUpName):
                        answers.append(self._look_up(view, question.key))
                    elif isinstance(question, LinkQuestion):
                        answers.append(answer_link_question(view, question))
                    else:
                        answers.append(self._gather(view, question))
        return answers

    def _locate(self, view: RowView, question: Locate) -> Located:
        """Follows bindings as long as they lead to members of this shard."""
        member = question.key
        if len(member) == KEY_BYTES:
            member = member_of(member, self.incarnations.get(member, 0))
        for _ in range(_HOPS_MAX):
            row = _member_row(view, member)
            if row is None or row.space != question.space:
                return Located(None, None)
            if question.collection not in {None, row.collection}:
                return Located(None, None)
            if row.root is None:
                if not row.founded:
                    return Located(None, None)
                return Located(member, [member], 0, row.founding_stamp_us)
            if row.root == member:
                data = view.get(rows.PROFILE + member)
                assert data is not None, "a member is bound to a profile that is not at its home"
                profile = rows.decode_profile(data)
                return Located(
                    member, profile.members, profile.merges, profile.created_us, profile.hidden
                )
            if self.shard_map.shard_of(row.root) != self.shard:
                return Located(row.root, None)
            member = row.root
        message = "bindings lead in a circle"
        raise AssertionError(message)

    def _look_up(self, view: RowView, key: bytes) -> LookedUp:
        incarnation = self.incarnations.get(key, 0)
        row = _member_row(view, member_of(key, incarnation))
        return LookedUp(incarnation, founding_of(row) if row else None)

    def _gather(self, view: RowView, question: Gather) -> Gathered:
        row = _member_row(view, question.member)
        if row is None:
            return Gathered(question.member, "", "", 0, 0, "", [], 0, 0, None, None, b"")
        traits = view.get(rows.TRAITS + question.member) if question.with_traits else None
        return Gathered(
            question.member,
            row.type if row.founded or row.root is not None else "",
            row.value,
            row.joined_us,
            row.joined_source,
            row.joined_message_id,
            row.counts,
            row.first_us,
            row.last_us,
            self._sent(row.first_pos) if row.event_count else None,
            self._sent(row.last_pos) if row.event_count else None,
            traits[1:] if traits else b"",
        )

    def _sent(self, position: int) -> Sent:
        batch, at = batch_in(self.store.record(position >> 16)), position & 0xFFFF
        frame = batch.frame(at)
        return Sent(frame.stamp_us, frame.source, batch.body(at, frame).message_id)

    def _list_events(self, question: ListEvents) -> list[StoredEvent]:
        """Returns the first `limit` events that match, over all of the members."""
        found: list[StoredEvent] = []
        for member in question.members:
            found.extend(self._member_events(member, question))
            found.sort(key=lambda each: each.order, reverse=not question.ascending)
            del found[question.limit :]
        return found

    def _member_events(self, member: bytes, question: ListEvents) -> Iterator[StoredEvent]:
        """Yields a member's matching events in order, at most `limit` and ties of the last."""
        count = 0
        last_us: int | None = None
        for time_us, positions in self._times(member, question):
            if count >= question.limit and time_us != last_us:
                return
            last_us = time_us
            for position in positions:
                event = load_event(self.store, member, position)
                if self._matches(event, question):
                    count += 1
                    yield event

    def _times(self, member: bytes, question: ListEvents) -> Iterator[tuple[int, list[int]]]:
        """Yields (event time, log positions) in the order asked for.

        Parts of the list overlap in time, so a part is opened only when the next time to yield
        could lie in it.
        """
        parts = self._parts(member)
        sign = 1 if question.ascending else -1
        parts.sort(key=lambda part: part[0] if question.ascending else -part[1])
        waiting: list[tuple[int, int]] = []
        opened = 0
        while opened < len(parts) or waiting:
            while opened < len(parts):
                earliest, latest, times, positions = parts[opened]
                edge = earliest if question.ascending else latest
                if waiting and sign * edge > waiting[0][0]:
                    break
                opened += 1
                if not self._overlaps(earliest, latest, question):
                    continue
                if not times:
                    times, positions = self._open(member, positions[0])
                for time_us, position in zip(times, positions, strict=True):
                    if self._in_range(time_us, question):
                        heappush(waiting, (sign * time_us, position))
            if waiting:
                next_us = waiting[0][0]
                together = []
                while waiting and waiting[0][0] == next_us:
                    together.append(heappop(waiting)[1])
                yield sign * next_us, together

    def _parts(self, member: bytes) -> list[tuple[int, int, tuple[int, ...], tuple[int, ...]]]:
        """Returns (earliest, latest, times, positions); for a chunk no times and its number."""
        with self.store.reading() as view:
            row = _member_row(view, member)
        if row is None or not row.event_count:
            return []
        times, positions = unpack_tail(row)
        parts: list[tuple[int, int, tuple[int, ...], tuple[int, ...]]] = [
            (min(times), max(times), times, positions)
        ]
        for start in range(0, row.chunk_count, _CHUNKS_AT_ONCE):
            with self.store.reading() as view:
                for number in range(start, min(start + _CHUNKS_AT_ONCE, row.chunk_count)):
                    data = view.get(rows.chunk_key(member, number))
                    assert data is not None, "a part of an event list is missing"
                    parts.append((*chunk_times(data), (), (number,)))
        return parts

    def _open(self, member: bytes, number: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
        with self.store.reading() as view:
            data = view.get(rows.chunk_key(member, number))
        assert data is not None, "a part of an event list is missing"
        return unpack_chunk(data)

    @staticmethod
    def _overlaps(earliest: int, latest: int, question: ListEvents) -> bool:
        start, end = question.start_us, question.end_us
        return (start is None or latest > start) and (end is None or earliest < end)

    @staticmethod
    def _in_range(time_us: int, question: ListEvents) -> bool:
        start, end, after = question.start_us, question.end_us, question.after
        if (start is not None and time_us <= start) or (end is not None and time_us >= end):
            return False
        if after is None:
            return True
        return time_us >= after[0] if question.ascending else time_us <= after[0]

    @staticmethod
    def _matches(event: StoredEvent, question: ListEvents) -> bool:
        if question.types and event.type not in question.types:
            return False
        if question.after is not None:
            later = event.order > tuple(question.after)
            if event.order == tuple(question.after) or later != question.ascending:
                return False
        if question.include is None and not question.exclude:
            return True
        name = event_name(event)
        if name in question.exclude:
            return False
        return question.include is None or name in question.include


def event_name(event: StoredEvent) -> str:
    """Returns the name an event is listed under: its own, or that pages and screens share."""
    kind = EVENT_TYPES[event.type]
    if kind == "page":
        return "Page Viewed"
    if kind == "screen":
        return "Screen Viewed"
    return decode_body(event.body).name


def _member_row(view: RowView, member: bytes) -> MemberRow | None:
    data = view.get(rows.MEMBER + member)
    return None if data is None else MemberRow.unpack(data)
