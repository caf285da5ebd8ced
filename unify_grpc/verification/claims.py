"""What one part knows that another has to agree with.

A claim is made from what a part holds at one moment and judged later by another part, from what
that holds then. Pushes are under way meanwhile, so each claim states only what stays true: that a
shard has at least what was confirmed to it, that the merge actor decided at least what a shard was
told. What a claim must not say is said by the claim in the other direction.
"""

from __future__ import annotations

from hashlib import blake2b

import msgspec

CONTROL = -2
MERGE = -1
"""Stand for parts; shards go by their numbers."""


class _Claim(msgspec.Struct, array_like=True, frozen=True):
    pass


class BindingClaim(_Claim, tag=1, frozen=True):
    """Merge actor to a member's shard: that it is bound."""

    member: bytes
    root: bytes
    since: int
    """The seq that bound it to this profile."""
    seq: int
    """Of the last decision on the profile."""
    is_confirmed: bool
    """Whether every shard has what was decided up to `since`."""
    joined: bytes
    """Digest of what it is and how it joined; none of that ever changes."""
    link_epoch: int
    is_aged: bool
    """Whether every shard has that ageing."""


class ProfileClaim(_Claim, tag=2, frozen=True):
    """Merge actor to a profile's home: its row."""

    root: bytes
    seq: int
    is_confirmed: bool
    is_known: bool
    """Whether the home must have some row of it."""
    content: bytes
    """Digest, as `profile_content` has it."""


class DecidedClaim(_Claim, tag=3, frozen=True):
    """Merge actor to the shard of a link: how it was decided."""

    position: int
    is_confirmed: bool
    outcome: bytes
    """Digest of what the shard keeps of the outcome."""
    event: bytes
    """Digest of what the decision says about the event."""


class NameClaim(_Claim, tag=4, frozen=True):
    """Merge actor to a shard: that an identifier moved on."""

    key: bytes
    incarnation: int
    is_confirmed: bool


class BoundClaim(_Claim, tag=5, frozen=True):
    """Shard to the merge actor: that a member is bound."""

    member: bytes
    root: bytes
    seq: int
    link_epoch: int
    partners: bytes
    """Eight bytes for each identifier that is taken to be on the same profile."""


class HomeClaim(_Claim, tag=6, frozen=True):
    """Profile's home to the merge actor: its row there."""

    root: bytes
    seq: int
    content: bytes


class OutcomeClaim(_Claim, tag=7, frozen=True):
    """Shard to the merge actor: that a link was decided."""

    shard: int
    position: int
    decided: bytes
    """Digest of outcome, profile and drops."""


class KnownClaim(_Claim, tag=8, frozen=True):
    """Shard to the merge actor: identifiers that were taken to be on the anchor's profile."""

    member: bytes
    keys: list[bytes]


class NamedClaim(_Claim, tag=9, frozen=True):
    """Shard to the merge actor: that an identifier moved on."""

    key: bytes
    incarnation: int


class RootClaim(_Claim, tag=10, frozen=True):
    """Shard to another: that a profile of this founder lives, or leads to one that does."""

    root: bytes
    path: list[bytes]
    """Members that were passed on the way to it."""


class SideClaim(_Claim, tag=11, frozen=True):
    """User's shard to the account's: that an event's other side is stored."""

    key: bytes
    mark: bytes


class MirrorClaim(_Claim, tag=12, frozen=True):
    """Shard to another: that a link between a user and an account shows on this side too."""

    own: bytes
    """Of the shard that is asked."""
    other: bytes
    time_us: int
    is_account: bool
    """Whether `own` is the account, whose side is stored before the user's link shows."""


class SpaceClaim(_Claim, tag=13, frozen=True):
    """Shard or merge actor to control: that a space is known."""

    space: int
    rules_version: int
    """At least so many versions of its rules are known; 0: the claim does not say."""
    document: bytes = b""
    """Digest of the document of that version; empty: the claim does not say."""


Claim = (
    BindingClaim
    | ProfileClaim
    | DecidedClaim
    | NameClaim
    | BoundClaim
    | HomeClaim
    | OutcomeClaim
    | KnownClaim
    | NamedClaim
    | RootClaim
    | SideClaim
    | MirrorClaim
    | SpaceClaim
)

_encode = msgspec.msgpack.Encoder().encode
_DIGEST_BYTES = 8


def digest_of(*facts: object) -> bytes:
    """Returns eight bytes that stand for facts: equal for equal ones, no secret."""
    return blake2b(_encode(facts), digest_size=_DIGEST_BYTES).digest()


def profile_content(
    space: int, created_us: int, merges: int, members: list[bytes], hidden: list[bytes]
) -> bytes:
    """Returns what stands for a profile's row, at its home and at the merge actor alike."""
    return digest_of(space, created_us, merges, members, hidden)
