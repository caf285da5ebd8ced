"""What must hold of events with a user's and an account's side."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

from tests.simulation.owed import anchor_of
from tests.simulation.violation import require
from unify_grpc.identity.identifiers import ACCOUNTS, Identifier
from unify_grpc.machines import rows
from unify_grpc.machines.account_links import find_link
from unify_grpc.machines.append_run import batch_in
from unify_grpc.machines.owed_sides import account_frame, is_user_side
from unify_grpc.placement.members import member_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.simulation.stored import Logs
    from tests.simulation.world import World


def check_linked(world: World, message_id: str, anchors: Sequence[Identifier]) -> None:
    """After a RESOLVED ack of an event with two sides each of them shows the other."""
    accounts = [each for each in anchors if each.collection == ACCOUNTS]
    users = [each for each in anchors if each.collection != ACCOUNTS]
    if accounts and users:
        ones, others = (_lives(world, each[0]) for each in (users, accounts))
        for owns, fars in ((ones, others), (others, ones)):
            is_linked = any(
                _time_us(world, own, far) is not None for own, far in product(owns, fars)
            )
            require(is_linked, f"{message_id} acked without its link")


def check_pairs(world: World, logs: Logs) -> None:
    """At rest every user's side has its account's, nothing is owed, and both sides are linked.

    The links are those of the stored users' sides, each as old as the oldest of them.
    """
    accounts = {
        each.key: each.member for each in logs.events.values() if each.key[0].collection == ACCOUNTS
    }
    expected: dict[tuple[bytes, bytes], int] = {}
    for (number, position), stored in logs.events.items():
        batch, at = batch_in(world.shards[number].store.record(position >> 16)), position & 0xFFFF
        frame = batch.frame(at)
        if not is_user_side(frame.flags):
            continue
        one = stored.member
        account = anchor_of(account_frame(batch, at, frame, one))
        require(
            (account, stored.message_id) in accounts,
            f"{stored.key} is stored, and its account's side, {account.value}, is not",
        )
        other = accounts[account, stored.message_id]
        for pair in ((one, other), (other, one)):
            expected[pair] = min(stored.time_us, expected.get(pair, stored.time_us))
    for (own, far), time_us in expected.items():
        require(
            _time_us(world, own, far) == time_us,
            f"{own.hex()[:8]} and {far.hex()[:8]} are linked at {_time_us(world, own, far)}",
        )
    for shard in world.shards:
        require(not shard.machine.owed, f"{shard.name} owes accounts' sides")
        pairs = [
            key
            for key, _ in shard.store.scan(rows.LINK)
            if key[21:22] == b"p" and world.control.has_key(key[1:17])
        ]
        known = [own for own, _ in expected if world.shard_map.shard_of(own) == shard.number]
        require(len(pairs) == len(known), f"{shard.name} has links that no event stands for")


def check_arrival(world: World, logs: Logs) -> None:
    """Each shard has what a stream sent of one collection in the stream's order, strangers aside.

    Else an event would be taken for the first of its identifier that is not: a founding that
    comes late is none.
    """
    newest: dict[tuple[int, int, str, int], int] = {}
    for (shard, _), stored in sorted(logs.events.items()):
        if stored.key in world.strange_sides:
            continue
        # An event that is promoted again may get an anchor that later ones had before it.
        rules = stored.rules_version if world.plan.moves_anchors else 0
        order = shard, stored.stream, stored.key[0].collection, rules
        require(
            newest.get(order, 0) < stored.stamp_us,
            f"{stored.key} was stored behind later events of its stream",
        )
        newest[order] = stored.stamp_us


def _lives(world: World, identifier: Identifier) -> list[bytes]:
    key, present = world.control.key(identifier), world.ledger.deletions.life(identifier)
    return [member_of(key, life) for life in range(present + 1)]


def _time_us(world: World, own: bytes, far: bytes) -> int | None:
    store = world.shards[world.shard_map.shard_of(own)].store
    link = find_link(store, own, far)
    return None if link is None else link.time_us
