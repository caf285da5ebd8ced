"""Judges, at a shard, what others claim of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from unify_grpc.machines import rows
from unify_grpc.machines.account_links import find_link
from unify_grpc.machines.event_lists import find_positions
from unify_grpc.placement.members import member_of
from unify_grpc.verification.claims import (
    BindingClaim,
    DecidedClaim,
    MirrorClaim,
    NameClaim,
    ProfileClaim,
    RootClaim,
    SideClaim,
    digest_of,
    profile_content,
)
from unify_grpc.verification.events_at import NoEventError
from unify_grpc.verification.findings import Invariant
from unify_grpc.verification.judging import Verdict, doubt

if TYPE_CHECKING:
    from unify_grpc.machines.rows import MemberRow
    from unify_grpc.machines.tables import Working
    from unify_grpc.placement.slots import ShardMap
    from unify_grpc.verification.claims import Claim
    from unify_grpc.verification.events_at import EventAt
    from unify_grpc.verification.slices import Slice

_OWED_LOOKED_MAX: Final = 2_000
"""Marks that are looked through; with more of them a link may be owed."""
_OWED_PER_WORK: Final = 8
"""That are read for the work of one unit."""
_OWED: Final = "members that owe"


class ShardJudge:
    """Judges for one shard."""

    def __init__(self, shard_map: ShardMap) -> None:
        self._shard_map = shard_map

    def judge(self, slice_: Slice, claim: Claim) -> Verdict:
        """Says whether a claim holds, or who else has to say; raises what reading raises."""
        match claim:
            case BindingClaim():
                return self._judge_binding(slice_, claim)
            case ProfileClaim():
                return self._judge_profile(slice_, claim)
            case DecidedClaim():
                return self._judge_decided(slice_, claim)
            case NameClaim():
                return self._judge_name(slice_, claim)
            case RootClaim():
                return self._judge_root(slice_, claim)
            case SideClaim():
                return self._judge_side(slice_, claim)
            case MirrorClaim():
                return self._judge_mirror(slice_, claim)
        raise AssertionError("no shard judges this")

    @staticmethod
    def _judge_binding(slice_: Slice, claim: BindingClaim) -> Verdict:
        row, name = slice_.member(claim.member), f"member {claim.member.hex()}"
        if row is None or row.seq < claim.since:
            if claim.is_confirmed:
                text = f"{name} is bound by decision {claim.since}, which this shard has not"
                return doubt(Invariant.PROFILES_EQUAL, text)
        elif row.seq <= claim.seq and row.root != claim.root:
            return doubt(Invariant.PROFILES_EQUAL, f"{name} is bound to another profile here")
        if row is None:
            return None
        if row.seq and claim.joined != joined_content(row):
            return doubt(Invariant.PROFILES_EQUAL, f"{name} joined otherwise here")
        if claim.is_aged and row.link_epoch < claim.link_epoch:
            text = f"{name} has aged at {claim.link_epoch}, which this shard has not"
            return doubt(Invariant.PROFILES_EQUAL, text)
        return None

    @staticmethod
    def _judge_profile(slice_: Slice, claim: ProfileClaim) -> Verdict:
        data, name = slice_.view.get(rows.PROFILE + claim.root), f"profile {claim.root.hex()}"
        if data is None:
            if claim.is_confirmed or claim.is_known:
                return doubt(Invariant.PROFILES_EQUAL, f"{name} is not at its home")
            return None
        row = rows.decode_profile(data)
        if row.seq < claim.seq and claim.is_confirmed:
            text = f"{name} is at {row.seq} at its home, not at {claim.seq}"
            return doubt(Invariant.PROFILES_EQUAL, text)
        content = profile_content(row.space, row.created_us, row.merges, row.members, row.hidden)
        if row.seq == claim.seq and content != claim.content:
            return doubt(Invariant.PROFILES_EQUAL, f"{name} is another at its home")
        return None

    @staticmethod
    def _judge_decided(slice_: Slice, claim: DecidedClaim) -> Verdict:
        name = f"link {claim.position >> 16}.{claim.position & 0xFFFF}"
        try:
            event = slice_.events.at(claim.position)
        except NoEventError as error:
            return doubt(Invariant.LINKS_DECIDED, f"{name} is decided, and {error}")
        if event_content(event) != claim.event:
            return doubt(Invariant.LINKS_DECIDED, f"{name} is decided as if of another event")
        data = slice_.view.get(rows.outcome_key(claim.position))
        is_pending = slice_.view.get(rows.pending_key(claim.position)) is not None
        if data is None:
            if claim.is_confirmed or not is_pending:
                state = "still pending" if is_pending else "without an outcome"
                return doubt(Invariant.LINKS_DECIDED, f"{name} is decided, and {state}")
            return None
        row = rows.decode_outcome(data)
        content = digest_of(row.outcome, row.root, row.seq, row.drops, row.rules_version)
        if content != claim.outcome:
            return doubt(Invariant.LINKS_DECIDED, f"{name} has another outcome here")
        return None

    @staticmethod
    def _judge_name(slice_: Slice, claim: NameClaim) -> Verdict:
        present = int.from_bytes(slice_.view.get(rows.NAME + claim.key) or b"", "big")
        if claim.is_confirmed and present < claim.incarnation:
            text = f"identifier {claim.key.hex()} is in life {present}, not {claim.incarnation}"
            return doubt(Invariant.NAMES, text)
        return None

    def _judge_root(self, slice_: Slice, claim: RootClaim) -> Verdict:
        row, name = slice_.member(claim.root), f"member {claim.path[0].hex()}"
        if row is None or row.root is None:
            text = f"{name} is bound to {claim.root.hex()}, which is no profile"
            return doubt(Invariant.LIVE_PROFILES, text)
        if row.root == claim.root:
            if slice_.view.get(rows.PROFILE + claim.root) is None:
                text = f"{name} is bound to {claim.root.hex()}, which has no row at its home"
                return doubt(Invariant.LIVE_PROFILES, text)
            return None
        if row.root in claim.path:
            text = f"{name} is bound in a circle of {len(claim.path) + 1}"
            return doubt(Invariant.LIVE_PROFILES, text)
        further = RootClaim(row.root, [*claim.path, claim.root])
        return self._shard_map.shard_of(row.root), further

    @staticmethod
    def _judge_side(slice_: Slice, claim: SideClaim) -> Verdict:
        working: Working = slice_.view  # type: ignore[assignment]  # it is only read from
        present = int.from_bytes(slice_.view.get(rows.NAME + claim.key) or b"", "big")
        for life in range(present, -1, -1):
            member = member_of(claim.key, life)
            row = slice_.member(member)
            if row is not None and any(find_positions(working, member, row, claim.mark)):
                return None
        text = f"the side of account {claim.key.hex()} is neither stored nor owed"
        return doubt(Invariant.OWED_SIDES, text)

    @staticmethod
    def _judge_mirror(slice_: Slice, claim: MirrorClaim) -> Verdict:
        known = find_link(slice_.view, claim.own, claim.other)
        if known is not None and known.time_us <= claim.time_us:
            return None
        if not claim.is_account and _owes(slice_, claim.own):
            return None
        name = f"the link of {claim.own.hex()} and {claim.other.hex()}"
        what = "does not show on this side" if known is None else "is younger on this side"
        return doubt(Invariant.ACCOUNT_LINKS, f"{name} {what}")


def joined_content(row: MemberRow) -> bytes:
    """Returns what stands for how a member joined, as its shard knows it."""
    return digest_of(
        row.space,
        row.collection,
        row.type,
        row.value,
        row.joined_us,
        row.joined_source,
        row.joined_message_id,
    )


def event_content(event: EventAt) -> bytes:
    """Returns what stands for an event as a decision speaks of it."""
    frame = event.frame
    return digest_of(
        frame.space,
        frame.time_us,
        frame.stamp_us,
        frame.source,
        event.body().message_id,
        event.keys(),
    )


def _owes(slice_: Slice, member: bytes) -> bool:
    """Whether a user's member has events that owe the account's side."""
    if _OWED not in slice_.kept:
        listed = slice_.view.list_rows(rows.OWED, after=b"", limit=_OWED_LOOKED_MAX)
        slice_.work += len(listed.rows) // _OWED_PER_WORK
        owing = None if listed.after is not None else {value for _, value in listed.rows}
        slice_.kept[_OWED] = owing
    owing = slice_.kept[_OWED]
    return owing is None or member in owing
