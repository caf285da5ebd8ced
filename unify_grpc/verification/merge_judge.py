"""Judges, at the merge actor, what shards claim of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from unify_grpc.machines import journal
from unify_grpc.machines.pushed_rows import PARTNER_BYTES
from unify_grpc.verification.claims import (
    BoundClaim,
    HomeClaim,
    KnownClaim,
    NamedClaim,
    OutcomeClaim,
    digest_of,
    profile_content,
)
from unify_grpc.verification.findings import Invariant
from unify_grpc.verification.judging import Verdict, doubt
from unify_grpc.verification.merge_state import find_member, find_profile

if TYPE_CHECKING:
    from unify_grpc.verification.claims import Claim
    from unify_grpc.verification.slices import Slice

_PARTNERS_PER_WORK: Final = 64
"""That are compared for the work of one unit."""


class MergeJudge:
    """Judges for the merge actor."""

    def judge(self, slice_: Slice, claim: Claim) -> Verdict:
        """Says whether a claim holds; raises what reading raises."""
        match claim:
            case BoundClaim():
                return _judge_bound(slice_, claim)
            case HomeClaim():
                return _judge_home(slice_, claim)
            case OutcomeClaim():
                return _judge_outcome(slice_, claim)
            case KnownClaim():
                return _judge_known(slice_, claim)
            case NamedClaim():
                return _judge_named(slice_, claim)
        raise AssertionError("the merge actor does not judge this")


def _judge_bound(slice_: Slice, claim: BoundClaim) -> Verdict:
    name, bound = f"member {claim.member.hex()}", find_member(slice_, claim.member)
    if bound is None:
        return doubt(Invariant.PROFILES_EQUAL, f"{name} is bound, which no decision did")
    led = bound if claim.root == bound.root else find_member(slice_, claim.root)
    if led is None or led.root != bound.root:
        return doubt(Invariant.PROFILES_EQUAL, f"{name} is bound to another profile than decided")
    if slice_.view.get(journal.PROFILE + bound.root) is None:
        return doubt(Invariant.LIVE_PROFILES, f"{name} is on a profile that does not live")
    profile = find_profile(slice_, bound.root)
    if claim.seq > profile.row.seq:
        text = f"{name} is bound by decision {claim.seq}, which is to come"
        return doubt(Invariant.PROFILES_EQUAL, text)
    if claim.link_epoch > bound.link_epoch:
        text = f"{name} has aged at {claim.link_epoch}, which is to come"
        return doubt(Invariant.PROFILES_EQUAL, text)
    if claim.partners and claim.link_epoch == bound.link_epoch:
        ends = range(0, len(claim.partners), PARTNER_BYTES)
        slice_.work += len(ends) // _PARTNERS_PER_WORK
        if any(claim.partners[at : at + PARTNER_BYTES] not in profile.partners for at in ends):
            return doubt(Invariant.LINKS_KNOWN, f"{name} remembers what is not on its profile")
    return None


def _judge_home(slice_: Slice, claim: HomeClaim) -> Verdict:
    name, bound = f"profile {claim.root.hex()}", find_member(slice_, claim.root)
    if bound is None:
        return doubt(Invariant.PROFILES_EQUAL, f"{name} was founded by no decision")
    row = find_profile(slice_, bound.root).row
    if claim.seq > row.seq:
        text = f"{name} is of decision {claim.seq}, which is to come"
        return doubt(Invariant.PROFILES_EQUAL, text)
    if bound.root == claim.root and claim.seq == row.seq:
        members = [member for member, *_ in row.members]
        hidden = [member for member, *_, is_hidden in row.members if is_hidden]
        content = profile_content(row.space, row.created_us, row.merges, members, hidden)
        if content != claim.content:
            return doubt(Invariant.PROFILES_EQUAL, f"{name} is another than was decided")
    return None


def _judge_outcome(slice_: Slice, claim: OutcomeClaim) -> Verdict:
    name = f"link {claim.position >> 16}.{claim.position & 0xFFFF}"
    data = slice_.view.get(journal.decided_key(claim.shard, claim.position))
    if data is None:
        return doubt(Invariant.LINKS_DECIDED, f"{name} has an outcome, and no decision")
    row = journal.decode_decided(data)
    if digest_of(row.outcome, row.root, row.drops) != claim.decided:
        return doubt(Invariant.LINKS_DECIDED, f"{name} has another outcome than was decided")
    return None


def _judge_known(slice_: Slice, claim: KnownClaim) -> Verdict:
    name, bound = f"member {claim.member.hex()}", find_member(slice_, claim.member)
    if bound is not None and find_profile(slice_, bound.root).keys.issuperset(claim.keys):
        return None
    text = f"{name} has an event whose link is neither pending nor decided, and which was news"
    return doubt(Invariant.LINKS_KNOWN, text)


def _judge_named(slice_: Slice, claim: NamedClaim) -> Verdict:
    decided = int.from_bytes(slice_.view.get(journal.NAME + claim.key) or b"", "big")
    if decided < claim.incarnation:
        text = f"identifier {claim.key.hex()} is in life {claim.incarnation}, not {decided}"
        return doubt(Invariant.NAMES, text)
    return None
