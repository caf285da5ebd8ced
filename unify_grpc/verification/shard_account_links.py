"""Checks a shard's links between users and accounts: three kinds of rows that say the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unify_grpc.machines.account_links import (
    ANY,
    PAIR,
    TIME,
    any_key,
    decode_link,
    find_link,
    pair_key,
    time_key,
)
from unify_grpc.placement.members import MEMBER_BYTES
from unify_grpc.verification.claims import MirrorClaim
from unify_grpc.verification.findings import Invariant

if TYPE_CHECKING:
    from unify_grpc.placement.slots import ShardMap
    from unify_grpc.verification.slices import Slice

_MARK = b"\1"


class AccountLinkChecks:
    """Checks of one shard's rows of links."""

    def __init__(self, shard: int, shard_map: ShardMap) -> None:
        self._shard = shard
        self._shard_map = shard_map

    def check(self, slice_: Slice, key: bytes, value: bytes) -> None:
        """Checks one row, whichever of the three it is."""
        own, rest = key[1 : 1 + MEMBER_BYTES], key[1 + MEMBER_BYTES :]
        kind, other = rest[:1], rest[-MEMBER_BYTES:]
        row = slice_.member(own)
        if not slice_.require(
            row is not None and self._shard_map.shard_of(own) == self._shard,
            Invariant.ACCOUNT_LINKS,
            "the member that it links is not known here",
        ):
            return
        assert row is not None
        if kind == PAIR:
            link = decode_link(value)
            slice_.require(
                slice_.view.get(time_key(own, link.time_us, other)) == _MARK
                and slice_.view.get(any_key(own)) == _MARK,
                Invariant.ACCOUNT_LINKS,
                "the link is not listed in its time",
            )
            claim = MirrorClaim(other, own, link.time_us, is_account=not row.collection)
            slice_.claim(self._shard_map.shard_of(other), claim)
        elif kind == TIME:
            known = find_link(slice_.view, own, other)
            slice_.require(
                known is not None and key == time_key(own, known.time_us, other),
                Invariant.ACCOUNT_LINKS,
                "a link is listed that is not there, or at another time",
            )
        elif kind == ANY:
            pairs = slice_.view.list_rows(pair_key(own, b""), after=b"", limit=1)
            slice_.require(
                bool(pairs.rows), Invariant.ACCOUNT_LINKS, "links are announced that are not there"
            )
        else:
            slice_.find(Invariant.FORMATS, "a row of links is of no known kind")
