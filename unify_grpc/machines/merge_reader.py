"""Explains links out of the merge actor's journal. Reads only, beside the writer.

Rows are read in short whiles, for the writer's publishing waits meanwhile; the journal, which
never changes, outside of them. What may change is read first and at one moment: which profiles
the two belong to, and where their histories end. Histories of absorbed profiles grow no more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from unify_grpc.identity.outcomes import Outcome
from unify_grpc.machines import journal
from unify_grpc.machines.formats import checked_decoder
from unify_grpc.machines.history_rows import (
    DROPS,
    Head,
    Place,
    head_key,
    part_key,
    repeats_key,
    unpack_head,
    unpack_places,
)
from unify_grpc.machines.link_path import shortest_path
from unify_grpc.machines.merge_reads import (
    DecidedLink,
    DroppedIdentifier,
    LinksExplained,
    PathStep,
    ProfileChange,
)
from unify_grpc.placement.members import KEY_BYTES, member_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from unify_grpc.machines.journal import Decision
    from unify_grpc.machines.merge_reads import ExplainLinks
    from unify_grpc.machines.readable_store import ReadableStore, RowView

PATH_STEPS_MAX: Final = 1000
DROPS_MAX: Final = 25
CHANGES_READ_MAX: Final = 20_000
"""Of both profiles, oldest profile first. Only where a space lifted its caps are there more."""
REPEATS_READ_MAX: Final = 1000
"""The newest decisions that changed nothing, which can make a path shorter."""
DROPS_READ_MAX: Final = 2000
"""The newest decisions that are looked through for drops."""
ROWS_AT_ONCE: Final = 256
"""Read in one while."""


class _Round(msgspec.Struct, array_like=True, frozen=True):
    """A journaled round whose decisions are opened one by one."""

    format: int
    confirmed: int
    decisions: list[msgspec.Raw]


_decode_round = checked_decoder(_Round, journal.FORMAT)
_decode_decision = msgspec.msgpack.Decoder(journal.Decision).decode


class _Side(NamedTuple):
    """One of the two that are asked about."""

    member: bytes
    root: bytes | None
    members: set[bytes]
    """Of its profile, hidden ones too."""
    head: Head | None


class MergeReader:
    """Reads for one merge actor."""

    def __init__(self, store: ReadableStore) -> None:
        self.store = store

    def explain(self, question: ExplainLinks) -> LinksExplained:
        """Says which links join two identifiers, or which drops kept them apart."""
        with self.store.reading() as view:
            first = _side(view, question.space, question.first)
            second = _side(view, question.space, question.second)
        is_joined = first.member == second.member or (
            first.root is not None and first.root == second.root
        )
        sides = [first] if is_joined else [first, second]
        changes = [each for side in sides for each in self._changes(side)]
        return LinksExplained(
            first.member,
            second.member,
            first.root,
            second.root,
            self._path(first, second, changes) if is_joined else [],
            [] if is_joined else self._drops(first, second),
            _profile_changes(changes),
        )

    # -- what happened to a profile -----------------------------------------------------------

    def _changes(self, side: _Side) -> list[Decision]:
        """Returns the decisions that made a profile, and those that it absorbed."""
        changes: list[Decision] = []
        waiting = [] if side.root is None else [(side.root, side.head)]
        while waiting and len(changes) < CHANGES_READ_MAX:
            root, head = waiting.pop()
            for decision in self._read(self._places(root, head)):
                changes.append(decision)
                waiting.extend((each, self._head(each)) for each in decision.absorbed)
        return changes[:CHANGES_READ_MAX]

    def _head(self, root: bytes) -> Head | None:
        with self.store.reading() as view:
            return _head(view, root)

    def _places(self, root: bytes, head: Head | None) -> list[Place]:
        """Returns where all of a profile's own history stands, the oldest first."""
        if head is None:
            return []
        places: list[Place] = []
        keys = [part_key(root, number) for number in range(head.parts_count)]
        for data in self._rows(keys):
            places.extend(unpack_places(data))
        return places + head.places

    def _path(self, first: _Side, second: _Side, changes: list[Decision]) -> list[PathStep]:
        """Returns a shortest path; empty if it lies beyond what is read."""
        roots = dict.fromkeys(each.root for each in changes)
        found = {
            place
            for data in self._rows([repeats_key(root) for root in roots])
            for place in unpack_places(data)
        }
        repeats = self._read(sorted(found)[-REPEATS_READ_MAX:])
        hops = shortest_path([*changes, *repeats], first.member, second.member) or []
        return [
            PathStep(
                hop.decision.ids[hop.from_index][1:],
                hop.decision.ids[hop.to_index][1:],
                _link_of(hop.decision),
            )
            for hop in hops[:PATH_STEPS_MAX]
        ]

    # -- what kept two profiles apart ---------------------------------------------------------

    def _drops(self, first: _Side, second: _Side) -> list[DroppedIdentifier]:
        """Returns what was left out of events that carried identifiers of both, newest first."""
        keys = [DROPS + member for member in sorted(first.members | second.members)]
        found = {place for data in self._rows(keys) for place in unpack_places(data)}
        drops: list[DroppedIdentifier] = []
        for decision in self._read(sorted(found, reverse=True)[:DROPS_READ_MAX]):
            carried = {member for member, _, _ in decision.ids}
            if carried.isdisjoint(first.members) or carried.isdisjoint(second.members):
                continue
            for index, reason in decision.drops:
                member, type_, value = decision.ids[index]
                if member in first.members or member in second.members:
                    drops.append(DroppedIdentifier(type_, value, reason, _link_of(decision)))
                    if len(drops) == DROPS_MAX:
                        return drops
        return drops

    # -- rows and records -----------------------------------------------------------------------

    def _rows(self, keys: list[bytes]) -> Iterator[bytes]:
        """Yields the rows that are there, in the order of their keys."""
        for start in range(0, len(keys), ROWS_AT_ONCE):
            with self.store.reading() as view:
                found = [view.get(key) for key in keys[start : start + ROWS_AT_ONCE]]
            yield from (data for data in found if data is not None)

    def _read(self, places: Iterable[Place]) -> Iterator[Decision]:
        """Yields decisions; neighbours in one record open it once."""
        opened, decisions = 0, list[msgspec.Raw]()
        for place in places:
            if place.record != opened:
                opened = place.record
                decisions = _decode_round(self.store.record(opened)[1:]).decisions
            yield _decode_decision(decisions[place.at])


def _side(view: RowView, space: int, name: bytes) -> _Side:
    member = name
    if len(member) == KEY_BYTES:
        life = view.get(journal.NAME + member)
        member = member_of(member, int.from_bytes(life or b"", "big"))
    bound = view.get(journal.MEMBER + member)
    if bound is None:
        return _Side(member, None, {member}, None)
    root = journal.decode_member(bound).root
    data = view.get(journal.PROFILE + root)
    assert data is not None, "a member is bound to a profile without a row"
    profile = journal.decode_profile(data)
    assert profile.space == space, "a member was asked about in another space"
    return _Side(member, root, {each[0] for each in profile.members}, _head(view, root))


def _head(view: RowView, root: bytes) -> Head | None:
    """Returns where a history ends; None for a profile that no decision was made on."""
    data = view.get(head_key(root))
    return unpack_head(data) if data is not None else None


def _profile_changes(decisions: list[Decision]) -> list[ProfileChange]:
    """Returns what decisions did to profiles, in their order; each member joins only once."""
    changes: list[ProfileChange] = []
    seen: set[bytes] = set()
    for decision in sorted(decisions, key=lambda each: each.seq):
        adopted = [(decision.ids[index][0], founding) for index, founding in decision.adopted]
        seen.update(member for member, _ in adopted)
        kept = [decision.ids[index][0] for index in decision.kept]
        joined = [member for member in kept if member not in seen]
        seen.update(joined)
        changes.append(
            ProfileChange(
                decision.root,
                _link_of(decision),
                decision.outcome == Outcome.CREATED,
                decision.absorbed,
                adopted,
                joined,
            )
        )
    return changes


def _link_of(decision: Decision) -> DecidedLink:
    return DecidedLink(
        decision.shard,
        decision.position,
        decision.seq,
        decision.time_us,
        decision.stamp_us,
        decision.source,
        decision.message_id,
        decision.rules_version,
        decision.outcome,
    )
