"""Reads a shard's violations of a space, the newest first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from unify_grpc.identity.outcomes import DropReason
from unify_grpc.machines import rows
from unify_grpc.machines.append_run import batch_in
from unify_grpc.machines.list_questions import NEWEST, FoundViolation, FoundViolations
from unify_grpc.machines.lives import member_holding
from unify_grpc.machines.noted_drops import FINGERPRINT_BYTES
from unify_grpc.machines.refusals import refusal_in
from unify_grpc.machines.stored_event import load_event
from unify_grpc.machines.violations import (
    REFUSED,
    Entry,
    ViolationList,
    hash_type,
    promotion_drops,
)

if TYPE_CHECKING:
    from unify_grpc.machines.batch import Batch
    from unify_grpc.machines.list_questions import ListSpaceViolations
    from unify_grpc.machines.readable_store import ReadableStore

ENTRIES_LOOKED_MAX: Final = 20_000
"""Looked at for one answer."""
_OF_PROMOTION = (int(DropReason.BLOCKED), int(DropReason.INVALID_VALUE))


def read_violations(
    store: ReadableStore, incarnations: dict[bytes, int], question: ListSpaceViolations
) -> FoundViolations:
    """Answers one question: filters entries, and reads the log for what is shown."""
    return _ViolationReading(store, incarnations, question).run()


class _ViolationReading:
    """One question on its way."""

    def __init__(
        self, store: ReadableStore, incarnations: dict[bytes, int], question: ListSpaceViolations
    ) -> None:
        self._store = store
        self._incarnations = incarnations
        self._question = question
        self._kinds = frozenset(question.kinds)
        self._type_hash = hash_type(question.identifier_type) if question.identifier_type else b""
        self._fingerprints = frozenset(question.fingerprints)

    def run(self) -> FoundViolations:
        """Goes backwards; an event's entries stand side by side and are shown once."""
        question = self._question
        listed = ViolationList(self._get, question.space)
        at = len(listed) if question.before == NEWEST else min(question.before, len(listed))
        lowest = max(0, at - ENTRIES_LOOKED_MAX)
        found: list[FoundViolation] = []
        shown = -1
        while at > lowest:
            entry = listed[at - 1]
            if entry.position != shown:
                if len(found) == question.limit:
                    break
                if self._matches(entry) and (violation := self._read(at - 1, entry)) is not None:
                    found.append(violation)
                    shown = entry.position
            at -= 1
        return FoundViolations(found, at)

    def _matches(self, entry: Entry) -> bool:
        """Whether an entry agrees with all filters, as far as an entry tells."""
        question = self._question
        if self._kinds and entry.kind not in self._kinds:
            return False
        if question.start_us is not None and entry.stamp_us < question.start_us:
            return False
        if question.end_us is not None and entry.stamp_us >= question.end_us:
            return False
        if not self._type_hash and not self._fingerprints:
            return True
        if entry.kind & REFUSED:
            return False
        return (not self._type_hash or entry.type_hash == self._type_hash) and (
            not self._fingerprints or entry.fingerprint in self._fingerprints
        )

    def _read(self, at: int, entry: Entry) -> FoundViolation | None:
        """Returns what an entry is about; None if it is shown elsewhere, or only looked right."""
        batch, index = batch_in(self._store.record(entry.position >> 16)), entry.position & 0xFFFF
        frame = batch.frame(index)
        version = next((each for space, each in batch.rules if space == frame.space), 0)
        common = (at, frame.stamp_us, frame.time_us, frame.source)
        if not frame.key_count:
            refused = refusal_in(batch, index, frame)
            if self._names_other_types({drop.type for drop in refused.drops}):
                return None
            return FoundViolation(*common, version, None, refused)
        outcome = self._outcome(entry.position)
        decided = self._decided_entries(batch, index, entry, outcome)
        if entry.kind in _OF_PROMOTION:
            # What its link left out came later in the list, and was shown with all of the event.
            if any(self._matches(each) for each in decided):
                return None
        elif outcome is not None and outcome.rules_version:
            version = outcome.rules_version
        dropped = {drop.type for drop in promotion_drops(batch, index, frame)}
        ids = batch.identifiers(index)
        dropped |= {ids[drop].type for drop, _ in (outcome.drops if outcome else ())}
        if self._names_other_types(dropped):
            return None
        event = load_event(self._store, self._member(batch, entry.position), entry.position)
        return FoundViolation(*common, version, event, None)

    def _names_other_types(self, dropped: set[str]) -> bool:
        """Whether the type that is asked for is none of these: only its hash was the same."""
        wanted = self._question.identifier_type
        return bool(wanted) and wanted not in dropped

    def _decided_entries(
        self, batch: Batch, index: int, entry: Entry, outcome: rows.OutcomeRow | None
    ) -> list[Entry]:
        if outcome is None or not outcome.drops:
            return []
        ids = batch.identifiers(index)
        return [
            Entry(
                entry.position,
                entry.stamp_us,
                reason,
                hash_type(ids[drop].type),
                ids[drop].key[:FINGERPRINT_BYTES],
            )
            for drop, reason in outcome.drops
        ]

    def _outcome(self, position: int) -> rows.OutcomeRow | None:
        data = self._get(rows.outcome_key(position))
        return None if data is None else rows.decode_outcome(data)

    def _member(self, batch: Batch, position: int) -> bytes:
        """Returns the member that an event is stored under."""
        key = batch.keys(position & 0xFFFF, 1)[0]
        with self._store.reading() as view:
            held = member_holding(view, self._incarnations, key, position)
        assert held is not None, "a stored event has a member"
        return held[0]

    def _get(self, key: bytes) -> bytes | None:
        with self._store.reading() as view:
            return view.get(key)
