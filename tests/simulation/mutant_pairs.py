"""Pairs of sides with one rule missing; which one, `mutants.py` says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.simulation.gateway import Gateway
from unify_grpc.machines import account_links, rows
from unify_grpc.machines.append_pairs import AppendPairs

if TYPE_CHECKING:
    from unify_grpc.machines.batch import Batch
    from unify_grpc.machines.tables import Working

_store = AppendPairs.store
_repeat = AppendPairs.repeat


class ClearsOwedEarly(Gateway):
    """Has a mark cleared as soon as the user's side is durable."""

    clears_last = False


class FollowsThePayload(Gateway):
    """Stores the account's side of the newest attempt, not of the one that is stored."""

    follows_the_first = False


class AccountsOvertake(Gateway):
    """Sends accounts' sides of later batches before those that wait for users' sides."""

    keeps_account_order = False


def no_owed_mark(pairs: AppendPairs, index: int, member: bytes, position: int) -> None:
    """Stores a user's side without a mark."""
    _store(pairs, index, member, position)
    pairs.working.changes.pop(rows.owed_key(position), None)


def no_link_of_duplicates(
    pairs: AppendPairs, index: int, member: bytes, mark: bytes, position: int, stored: Batch
) -> None:
    """Leaves an account's side that is a duplicate without its link."""
    before = dict(pairs.working.changes)
    _repeat(pairs, index, member, mark, position, stored)
    pairs.working.changes.clear()
    pairs.working.changes.update(before)


def first_come_link(working: Working, own: bytes, other: bytes, **event: Any) -> None:
    """Keeps the link of the event that came first, whatever its time."""
    if account_links.find_link(working, own, other) is None:
        account_links.put_link(working, own, other, **event)
