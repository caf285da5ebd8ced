"""What each kind of part checks of itself, and how it answers."""

from __future__ import annotations

import struct
from abc import ABC, abstractmethod
from functools import partial
from typing import TYPE_CHECKING, Final, Protocol

from unify_grpc.machines import control_records, deletions, history_rows, journal, rows
from unify_grpc.machines.activity import ACTIVITY
from unify_grpc.machines.audit_trail import ENTRY, OF_SPACE
from unify_grpc.machines.found_by import BY_PREFIX, BY_TRAIT
from unify_grpc.machines.link_counts import COUNTS as LINK_COUNTS
from unify_grpc.machines.link_counts import read_counts
from unify_grpc.machines.space_counts import COUNTS, unpack_counts
from unify_grpc.machines.tables import DamagedError
from unify_grpc.machines.violations import VIOLATIONS
from unify_grpc.verification import control_checks, merge_tables, shard_event_parts
from unify_grpc.verification.control_checks import ControlJudge, ControlLogWalk, UniqueWalk
from unify_grpc.verification.findings import Found, Invariant
from unify_grpc.verification.judging import Doubted, Verdict
from unify_grpc.verification.merge_journal import JournalWalk
from unify_grpc.verification.merge_judge import MergeJudge
from unify_grpc.verification.merge_tables import MergeTableChecks
from unify_grpc.verification.messages import (
    Again,
    Begin,
    Begun,
    Conclude,
    Concluded,
    Doubt,
    Further,
    Judge,
    Judged,
    Walk,
    Walked,
    decode_request,
    encode,
)
from unify_grpc.verification.shard_account_links import AccountLinkChecks
from unify_grpc.verification.shard_events import EventWalk, UnlistedWalk
from unify_grpc.verification.shard_judge import ShardJudge
from unify_grpc.verification.shard_log import LogWalk
from unify_grpc.verification.shard_members import MemberChecks
from unify_grpc.verification.shard_tables import TableChecks, list_check
from unify_grpc.verification.slices import Slice, StrangerWalk, TableWalk

if TYPE_CHECKING:
    from collections.abc import Sequence

    from unify_grpc.placement.slots import ShardMap
    from unify_grpc.verification.claims import Claim
    from unify_grpc.verification.messages import Reply, Request
    from unify_grpc.verification.slices import CheckRow, Walking
    from unify_grpc.verification.views import AuditedStore, StoreView

_SPACES_MAX: Final = 1 << 20


class Judging(Protocol):
    """Judges what others claim of a part."""

    def judge(self, slice_: Slice, claim: Claim) -> Verdict:
        """Says whether a claim holds; raises what reading raises."""


class Auditor(ABC):
    """Checks one part; keeps nothing between two requests."""

    def __init__(
        self, walks: Sequence[Walking], further: Sequence[Walking], judge: Judging
    ) -> None:
        """Takes the walks, those that are only taken to locate what is wrong, and the judge."""
        self._walks = {walk.name: walk for walk in [*walks, *further]}
        self._first = [walk.name for walk in walks]
        self._judge = judge

    def answer(self, store: AuditedStore, data: bytes) -> bytes:
        """Answers a packed request, on the store as it is at one moment."""
        with store.auditing() as view:
            return encode(self.reply(view, decode_request(data)))

    def reply(self, view: StoreView, request: Request) -> Reply:
        """Answers a request."""
        match request:
            case Begin():
                return Begun(view.number, self._counts_if_read(view), self._first)
            case Walk():
                return self._walk(view, request)
            case Again():
                return self._again(view, request)
            case Judge():
                return self._judged(view, request)
            case Conclude():
                return self._conclude(view, request)

    def _walk(self, view: StoreView, request: Walk) -> Walked:
        """Goes on with walks; what breaks one ends that one, and is found."""
        slice_ = Slice(view, request.last, request.work_max)
        walks, cursor = list(request.walks), request.cursor
        while walks and not slice_.is_full:
            slice_.walk = walks[0]
            try:
                following = self._walks[walks[0]].walk(slice_, cursor)
            except DamagedError:
                text = f"{walks[0]}: the store's file cannot be read to the end"
                slice_.find(Invariant.STRUCTURE, text)
                following = None
            except Exception as error:  # noqa: BLE001 - what breaks a walk is the finding
                text = f"{walks[0]}: it ends at {slice_.name}: {type(error).__name__}"
                slice_.find(Invariant.FORMATS, text)
                following = None
            if following is None:
                del walks[0]
            cursor = following or b""
        return _walked(slice_, walks, cursor)

    def _again(self, view: StoreView, request: Again) -> Walked:
        """Makes the claims of rows once more, as far as it gets."""
        slice_ = Slice(view, request.last, request.work_max)
        slice_.walk, done = request.walk, 0
        for key in request.keys:
            slice_.attempt(partial(self._walks[request.walk].again, slice_, key))
            slice_.work += 1
            done += 1
            if slice_.is_full:
                break
        return _walked(slice_, [], b"", done)

    def _counts_if_read(self, view: StoreView) -> dict[str, int]:
        """Returns what the part counts; nothing where that is damaged, which a walk tells."""
        try:
            return self._counts(view)
        except (DamagedError, ValueError, struct.error):
            return {}

    def _judged(self, view: StoreView, request: Judge) -> Judged:
        """Judges claims, as far as it gets."""
        slice_ = Slice(view, view.number, request.work_max)
        doubts: list[Doubt] = []
        further: list[Further] = []
        done = 0
        for index, claim in enumerate(request.claims):
            if done and slice_.is_full:
                break
            slice_.work += 1
            done += 1
            verdict: Verdict = None
            try:
                verdict = self._judge.judge(slice_, claim)
            except DamagedError:
                continue  # told by the walk over what is damaged
            except Exception as error:  # noqa: BLE001 - a row that breaks its reader is the doubt
                text = f"{type(claim).__name__} meets a row that cannot be read: "
                verdict = Doubted(Invariant.FORMATS, text + type(error).__name__)
            if isinstance(verdict, Doubted):
                doubts.append(Doubt(index, verdict.invariant.value, verdict.text))
            elif verdict is not None:
                further.append(Further(index, *verdict))
        return Judged(doubts, further, done)

    @abstractmethod
    def _counts(self, view: StoreView) -> dict[str, int]:
        """Returns what the part counts, as it says itself."""

    @abstractmethod
    def _conclude(self, view: StoreView, request: Conclude) -> Concluded:
        """Compares what was counted with what the walks came to."""


class ShardAuditor(Auditor):
    """Checks a shard."""

    def __init__(self, shard: int, shard_map: ShardMap) -> None:
        """Takes the shard's number, and which shard owns what."""
        members, tables = MemberChecks(shard, shard_map), TableChecks(shard, shard_map)
        links = AccountLinkChecks(shard, shard_map)
        checks: dict[bytes, CheckRow] = {
            rows.MEMBER: members.check,
            rows.CHUNK: shard_event_parts.check_chunk,
            rows.DEDUPE: shard_event_parts.check_bucket,
            rows.TRAITS: tables.check_traits,
            rows.PROFILE: tables.check_profile,
            rows.PENDING: tables.check_pending,
            rows.OUTCOME: tables.check_outcome,
            rows.OWED: tables.check_owed,
            rows.NAME: tables.check_name,
            rows.SPACE: tables.check_space,
            rows.LINK: links.check,
            COUNTS: tables.check_counts,
            BY_PREFIX: tables.check_prefix,
            BY_TRAIT: tables.check_by_trait,
            ACTIVITY: list_check(ACTIVITY),
            VIOLATIONS: list_check(VIOLATIONS),
        }
        super().__init__(
            [LogWalk(shard, shard_map), EventWalk(shard_map), *_table_walks(checks)],
            [UnlistedWalk()],
            ShardJudge(shard_map),
        )

    def _counts(self, view: StoreView) -> dict[str, int]:
        counts: dict[str, int] = {}
        for key, value in view.list_rows(COUNTS, after=b"", limit=_SPACES_MAX).rows:
            if value is not None:
                space, counted = int.from_bytes(key[1:], "big"), unpack_counts(value)
                counts[f"logged:{space}"] = counted.events
                counts[f"identifiers:{space}"] = counted.identifiers
                counts[f"merged:{space}"] = counted.identifiers - counted.profiles
        return counts

    def _conclude(self, view: StoreView, request: Conclude) -> Concluded:
        found: list[Found] = []
        after = self._counts_if_read(view)
        names = request.counts.keys() | {
            name
            for name in request.tallies
            if name.startswith(("logged:", "identifiers:", "merged:"))
        }
        for name in sorted(names):
            seen, before = request.tallies.get(name, 0), request.counts.get(name, 0)
            # Events are those up to the beginning; the others only grow while a walk goes on.
            most = before if name.startswith("logged:") else after.get(name, 0)
            if not before <= seen <= most:
                what, _, space = name.partition(":")
                text = f"space {space} counts {before} {what}, and there are {seen}"
                found.append(Found(Invariant.COUNTS.value, text))
        logged, listed = request.tallies.get("logged", 0), request.tallies.get("listed", 0)
        if logged == listed:
            return Concluded(found, [])
        text = f"the log holds {logged} events, and members list {listed}"
        found.append(Found(Invariant.EVENT_LISTS.value, text))
        return Concluded(found, [UnlistedWalk.name])


class MergeAuditor(Auditor):
    """Checks the merge actor."""

    def __init__(self, shard_map: ShardMap) -> None:
        """Takes which shard owns what."""
        tables = MergeTableChecks(shard_map)
        checks: dict[bytes, CheckRow] = {
            journal.PROFILE: tables.check_profile,
            journal.MEMBER: tables.check_member,
            journal.DECIDED: tables.check_decided,
            journal.RULES: tables.check_rules,
            journal.NEWEST_STAMP: tables.check_newest,
            journal.NAME: tables.check_name,
            journal.META: tables.check_meta,
            LINK_COUNTS: tables.check_counts,
            deletions.DELETION: tables.check_deletion,
            history_rows.HISTORY: merge_tables.check_history,
            history_rows.DROPS: merge_tables.check_drops,
        }
        super().__init__([JournalWalk(), *_table_walks(checks)], [], MergeJudge())

    def _counts(self, view: StoreView) -> dict[str, int]:
        decided = read_counts(view.get)
        meta = view.get(journal.META)
        seq = journal.decode_meta(meta)[0] if meta is not None else 0
        return {"logged": decided.decided, "merged": decided.merges, "seq": seq}

    def _conclude(self, view: StoreView, request: Conclude) -> Concluded:
        del view
        tallies, found = request.tallies, list[Found]()
        for name, before in request.counts.items():
            if tallies.get(name, 0) != before:
                text = f"{before} {name} are counted, and the journal has {tallies.get(name, 0)}"
                found.append(Found(Invariant.COUNTS.value, text))
        for here, there, text in (
            ("logged", "decided", "links are decided in the journal, and {} are kept"),
            ("found", "places", "places of the journal are of their profiles, and {} are kept"),
        ):
            if tallies.get(here, 0) != tallies.get(there, 0):
                told = f"{tallies.get(here, 0)} {text.format(tallies.get(there, 0))}"
                found.append(Found(Invariant.HISTORY.value, told))
        return Concluded(found, [])


class ControlAuditor(Auditor):
    """Checks control."""

    def __init__(self) -> None:
        checks: dict[bytes, CheckRow] = {
            control_records.SPACE: control_checks.check_space,
            control_records.RULES: control_checks.check_rules,
            control_records.MET_TYPES: control_checks.check_met_types,
            control_records.CREDENTIAL: control_checks.check_credential,
            control_records.REQUEST: control_checks.check_request,
            control_records.DEPLOYMENT: control_checks.check_deployment,
            ENTRY: control_checks.check_entry,
            OF_SPACE: control_checks.check_place,
        }
        super().__init__(
            [ControlLogWalk(), UniqueWalk(), *_table_walks(checks)], [], ControlJudge()
        )

    def _counts(self, view: StoreView) -> dict[str, int]:
        del view
        return {}

    def _conclude(self, view: StoreView, request: Conclude) -> Concluded:
        entries, places = request.tallies.get("entries", 0), request.tallies.get("places", 0)
        # Both only grow, and places are walked after entries.
        is_still = view.number == request.last
        if entries == places or (entries < places and not is_still):
            return Concluded([], [])
        text = f"{entries} entries of the audit trail are about spaces, which list {places}"
        return Concluded([Found(Invariant.AUDIT_TRAIL.value, text)], [])


def _table_walks(checks: dict[bytes, CheckRow]) -> list[Walking]:
    walks: list[Walking] = [TableWalk(table, check) for table, check in checks.items()]
    return [*walks, StrangerWalk(b"".join(checks))]


def _walked(slice_: Slice, walks: list[str], cursor: bytes, done: int = 0) -> Walked:
    tallies = dict(slice_.tallies)
    return Walked(slice_.found, slice_.claims, tallies, slice_.records, walks, cursor, done)
