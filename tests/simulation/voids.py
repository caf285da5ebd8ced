"""Foundings that no decision knew of: the shard that bound their members reports each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from tests.simulation.violation import require
from unify_grpc.machines import journal
from unify_grpc.machines.links import Void
from unify_grpc.machines.merge_machine import VOID_RECORD
from unify_grpc.placement.members import KEY_BYTES

if TYPE_CHECKING:
    from tests.simulation.judge import Judge
    from tests.simulation.world import World

_decode = msgspec.msgpack.Decoder(list[Void]).decode


def check_voids(world: World, judge: Judge) -> None:
    """What was journaled was founded; where no shard ended, all that was founded so was reported.

    An answer may be lost on its way: then the journal lacks its row, which nothing hangs on.
    """
    log = world.merge.store.log.values()
    reported = {
        void.member: void
        for record in log
        if record[:1] == VOID_RECORD
        for void in _decode(record[1:])
        if world.control.has_key(void.member[:KEY_BYTES])
    }
    for member, void in reported.items():
        founded = judge.founded.get(member)
        require(
            founded is not None and founded.stamp_us == void.founding.stamp_us,
            f"{member.hex()[:8]} is reported as founded otherwise",
        )
    if any(node.life for node in world.shards):
        return  # A report that is lost in a crash stays lost.
    told = {member for shard in world.shards for member in shard.reported}
    roots = {decision.root for decision in judge.decided.values()}
    for member in judge.founded.keys() - told - roots:
        data = world.merge.store.get(journal.MEMBER + member)
        known = data is None or journal.decode_member(data).founding_known
        require(known, f"{member.hex()[:8]} was founded, no decision knew it, and nobody said so")
