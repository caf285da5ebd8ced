"""What must hold of deletions when everything is answered."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.simulation.deleting import told_request
from tests.simulation.reference_words import ref
from tests.simulation.violation import require
from unify_grpc.machines import deletions, journal, rows
from unify_grpc.machines.found_by import BY_PREFIX, prefix_member
from unify_grpc.machines.tables import Working
from unify_grpc.placement.members import KEY_BYTES, incarnation_of

if TYPE_CHECKING:
    from tests.simulation.judge import Judge
    from tests.simulation.stored import Logs, Stored
    from tests.simulation.world import World


def check_deletions(world: World, logs: Logs, judge: Judge) -> None:
    """Checks names, epochs and answers of a world at rest."""
    _check_names(world, judge)
    _check_epochs(world, judge)
    _check_done(world)
    for stored in logs.events.values():
        floor = world.ledger.floors[stored.key].get(stored.identifiers[0], 0)
        require(
            incarnation_of(stored.member) >= floor,
            f"{stored.key} is stored in a life that was over when it was sent",
        )


def check_known(world: World, stored: Stored, judge: Judge) -> None:
    """What was taken for known is so, in lives that were not over when the event was sent."""
    owner = judge.owner(ref(stored.identifiers[0], incarnation_of(stored.member)))
    require(owner is not None, f"{stored.key} was taken for known, and its anchor is not linked")
    assert owner is not None
    members = judge.members(owner)
    for each in stored.identifiers[1:]:
        lives = range(world.ledger.lives[stored.key][each], world.ledger.deletions.life(each) + 1)
        require(
            any(ref(each, life) in members for life in lives),
            f"{stored.key} was taken for known and joins {each.value}",
        )


def _check_names(world: World, judge: Judge) -> None:
    """Each name is in the same life everywhere: as often as it was deleted, from 0."""
    rows_ = {key[1:]: int.from_bytes(data) for key, data in world.merge.store.scan(journal.NAME)}
    require(rows_ == world.merge.machine.incarnations, "m: it remembers other lives of names")
    merge = {key: life for key, life in rows_.items() if world.control.has_key(key)}
    require(merge == judge.lives, "m: names are in other lives than its journal says")
    for shard in world.shards:
        all_ = {key[1:]: int.from_bytes(data) for key, data in shard.store.scan(rows.NAME)}
        require(all_ == shard.machine.incarnations, f"{shard.name}: it remembers other lives")
        here = {key: life for key, life in all_.items() if world.control.has_key(key)}
        mine = {
            key: life
            for key, life in merge.items()
            if world.shard_map.shard_of(key) == shard.number
        }
        require(here == mine, f"{shard.name}: names are in other lives than at the merge actor")
        for _, data in shard.store.scan(BY_PREFIX):
            member = prefix_member(data)
            require(
                incarnation_of(member) == all_.get(member[:KEY_BYTES], 0),
                f"{shard.name}: {member.hex()[:8]} is found by its text in a life that is over",
            )


def _check_epochs(world: World, judge: Judge) -> None:
    """Members have aged with their profile, and no others have; at shards as at the merge actor."""
    for key, data in world.merge.store.scan(journal.MEMBER):
        member, aged = key[1:], journal.decode_member(data).link_epoch
        if not world.control.has_key(member[:KEY_BYTES]):
            continue
        named = ref(world.control.identifier(member[:KEY_BYTES]), incarnation_of(member))
        expected = judge.aged.get(named, 0)
        require(aged == expected, f"m: {member.hex()[:8]} aged at {aged}, not at {expected}")
        shard = world.shards[world.shard_map.shard_of(member)]
        here = rows.MemberRow.unpack(shard.store.get(rows.MEMBER + member) or b"").link_epoch
        require(here == aged, f"{shard.name}: {member.hex()[:8]} aged at {here}, not at {aged}")


def _check_done(world: World) -> None:
    """What was answered as done is so, once; nothing is left ageing."""
    books, working = world.ledger.deletions, Working(world.merge.store)
    require(deletions.find_open(working) is None, "m: something is left ageing")
    for request_id, asked in books.asked.items():
        done = books.records(request_id)
        name = told_request(asked.request)
        require(len(done) <= 1, f"deletion of {name} is journaled {len(done)} times")
        told = books.told.get(request_id)
        require(bool(done) or told is None, f"deletion of {name} was told and is not journaled")
