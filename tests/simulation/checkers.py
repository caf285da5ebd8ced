"""What must hold when everything is answered; outside of the code under test."""

from __future__ import annotations

from collections import Counter
from itertools import combinations
from typing import TYPE_CHECKING, Any

import msgspec

from tests.simulation.deletion_checks import check_deletions, check_known
from tests.simulation.effects import check_effects, is_side
from tests.simulation.judge import Judge, last_seq
from tests.simulation.ledger import PENDING, is_meant
from tests.simulation.pairs import check_arrival, check_pairs
from tests.simulation.reference_words import merges_of, ref, root_of
from tests.simulation.spaces import check_apart
from tests.simulation.stored import Logs, Stored
from tests.simulation.takings import find_strays
from tests.simulation.verified import check_verified
from tests.simulation.violation import require
from tests.simulation.voids import check_voids
from unify_grpc.identity.identifiers import Identifier
from unify_grpc.identity.outcomes import Outcome
from unify_grpc.machines import journal, rows
from unify_grpc.machines.assembly import locate, read_profile
from unify_grpc.machines.event_lists import unpack_chunk, unpack_tail
from unify_grpc.machines.tables import Working
from unify_grpc.placement.members import FIRST_INCARNATION, incarnation_of
from unify_grpc.storage.memory import MemoryStore

if TYPE_CHECKING:
    from tests.simulation.gateway import AckedSide
    from tests.simulation.nodes import ShardNode
    from tests.simulation.stored import LinkKey
    from tests.simulation.world import World

CREATED = int(Outcome.CREATED)
ATTACHED = int(Outcome.ATTACHED)


def check(world: World) -> None:
    """Checks a world that is at rest."""
    for space in world.spaces:
        _check_space(space)
    check_apart(world)
    for shard in world.shards:
        _check_rebuilt(world, shard)
    _check_journal_rebuilt(world)
    check_verified(world)


def _check_space(world: World) -> None:
    """Checks what belongs to one space."""
    logs = Logs(world)
    _check_stored(world, logs)
    check_effects(world, logs)
    strangers = {at: each for at, each in world.merge.strangers.items() if at in logs.events}
    world.merge.strays = find_strays(strangers, logs)
    judge = Judge(world, logs)
    judge.run()
    _check_links(world, logs, judge)
    _check_order(world, logs, judge)
    _check_tables(world, judge)
    _check_segment_ids(world)
    _check_contents(world, logs)
    check_pairs(world, logs)
    check_arrival(world, logs)
    check_deletions(world, logs, judge)
    check_voids(world, judge)
    if not (world.plan.limited or judge.hidden):
        _check_components(world, logs)


def _check_stored(world: World, logs: Logs) -> None:
    """Every acked event is stored once, under its anchor; nothing is stored that was not sent."""
    ledger = world.ledger
    for stored in logs.events.values():
        home = world.shard_map.shard_of(world.control.key(stored.key[0]))
        require(home == stored.at[0], f"{stored.key} is stored at shard {stored.at[0]}")
        require(
            any(
                is_side(world, stored, sent)
                and (stored.type, stored.time_us) == (sent.type, sent.time_us)
                and (msgspec.json.decode(stored.traits) if stored.traits else {})
                == dict(sent.traits)
                for sent in ledger.sent_as.get(stored.key, [])
            ),
            f"{stored.key} is stored and was never sent",
        )
    for key in ledger.told:
        require(key in logs.by_key, f"{key} was acked and is not stored")
    for shard in world.shards:
        for row_key, data in shard.store.scan(rows.MEMBER):
            member, row = row_key[1:], rows.MemberRow.unpack(data)
            if row.space != logs.space:
                continue
            positions = list(unpack_tail(row)[1])
            for number in range(row.chunk_count):
                chunk = shard.store.get(rows.chunk_key(member, number))
                assert chunk is not None
                positions += unpack_chunk(chunk)[1]
            mine = [each.at[1] for each in logs.events.values() if each.member == member]
            require(sorted(positions) == sorted(mine), f"{shard.name}: a list is not its log's")
            require(row.event_count == len(mine), f"{shard.name}: a count is not its log's")


def _check_links(world: World, logs: Logs, judge: Judge) -> None:
    """Links are decided and cleared once; everything else was no news; acks say so."""
    require(judge.decided.keys() == logs.cleared, "some link is decided or cleared, and not both")
    for at, stored in logs.events.items():
        decision = judge.decided.get(at)
        if decision is None and len(stored.identifiers) > 1:
            check_known(world, stored, judge)
        outcome = world.shards[at[0]].store.get(rows.outcome_key(at[1]))
        require((outcome is None) == (decision is None), f"{stored.key}: an outcome is not kept")
    for key, listed in world.ledger.told.items():
        for side in (told.side for told in listed if told.side.outcome != PENDING):
            meant = [
                stored
                for stored in logs.by_key[key]
                if is_meant(side, stored.stamp_us, world.plan.dedupe_us)
            ]
            fits = any(_is_acked_as(side, stored, judge) for stored in meant)
            require(fits, f"{key}: acked as {side}")


def _is_acked_as(side: AckedSide, stored: Stored, judge: Judge) -> bool:
    """Whether an answer says what became of a stored event."""
    decision = judge.decided.get(stored.at)
    if decision is not None:
        drops = [(*decision.ids[index][1:], reason) for index, reason in decision.drops]
        return (decision.outcome, tuple(drops)) == (side.outcome, side.drops)
    return side.outcome in ({0} if stored.is_history else {CREATED, ATTACHED})


def _check_order(world: World, logs: Logs, judge: Judge) -> None:
    """Links of one stream, and links acked before others were sent, are decided in that order."""
    ledger = world.ledger
    streams: dict[tuple[int, str], list[tuple[int, LinkKey, int]]] = {}
    acked: list[tuple[int, int]] = []
    sent: list[tuple[int, int]] = []
    anchors = Counter((key[0].collection, key[1]) for key in logs.by_key)
    for at, decision in judge.decided.items():
        stored = logs.events[at]
        order = stored.stream, stored.key[0].collection
        # Of a caller who gave one id to several messages: who asks an anchor of other rules for
        # one of them is told of the other, and the first is left to a sweep.
        is_mistaken = world.plan.moves_anchors and anchors[order[1], stored.message_id] > 1
        # Who still repeats what by now took effect again is answered about the later one, so that
        # only sweeps hand over the first: where windows are shorter than deliveries take.
        if len(logs.by_key[stored.key]) == 1 and not is_mistaken:
            streams.setdefault(order, []).append((stored.stamp_us, at, decision.seq))
        sent.append((ledger.first_sent[stored.key], decision.seq))
        acks = [
            told.step
            for told in ledger.told.get(stored.key, [])
            if told.side.outcome != PENDING
            and (world.plan.knows_for_ever or told.side.is_of(stored.stamp_us))
        ]
        if acks:
            acked.append((acks[0], decision.seq))
    for links in streams.values():
        _check_stream(world, logs, sorted(links))
    acked.sort()
    newest = at_ack = 0
    for sent_step, seq in sorted(sent):
        while at_ack < len(acked) and acked[at_ack][0] < sent_step:
            newest = max(newest, acked[at_ack][1])
            at_ack += 1
        require(newest < seq, f"decision {seq} was sent after {newest} was acked")


def _check_stream(world: World, logs: Logs, links: list[tuple[int, LinkKey, int]]) -> None:
    """Of each two links of a stream the earlier is decided first, or nobody owed that."""
    for (_, earlier, first), (_, later, second) in combinations(links, 2):
        if first < second or _came_behind(world, logs.events[earlier], logs.events[later]):
            continue
        taking = world.merge.takings[later]
        require(
            taking is not None and not taking.owes(earlier, later),
            f"a stream's links {earlier} and {later} are decided as {first} and {second}",
        )


def _came_behind(world: World, earlier: Stored, later: Stored) -> bool:
    """Whether the earlier event has this side only since rules that the later one was not under.

    Refused for those rules with its other side, it is promoted again: then the later is stored.
    """
    if earlier.rules_version <= later.rules_version:
        return False
    collection = earlier.key[0].collection
    return any(
        all(
            side[0].collection != collection
            for side in world.control.promoted(sent, later.rules_version).sides
        )
        for sent in world.ledger.sent_as[earlier.key]
    )


def _check_tables(world: World, judge: Judge) -> None:
    """Shards' profiles and bindings equal the merge actor's, and these the reference's."""
    merge = Working(world.merge.store)
    linked: set[bytes] = set()
    for key, data in world.merge.store.scan(journal.PROFILE):
        root, profile = key[1:], journal.decode_profile(data)
        if profile.space != world.control.space:
            continue
        stored = world.shards[world.shard_map.shard_of(root)].store.get(rows.PROFILE + root)
        require(stored is not None, f"profile {root.hex()[:8]} is not at its home")
        assert stored is not None
        here = rows.decode_profile(stored)
        members = [member for member, *_ in profile.members]
        hidden = [each[0] for each in profile.members if each[4]]
        require(
            (here.members, here.hidden, here.merges, here.created_us, here.seq)
            == (members, hidden, profile.merges, profile.created_us, profile.seq),
            f"profile {root.hex()[:8]} is another at its home",
        )
        for member, type_, joined_us, *_ in profile.members:
            require(member not in linked, f"{member.hex()[:8]} is on two profiles")
            linked.add(member)
            _check_member(world, merge, member, root, (type_, joined_us))
    for shard in world.shards:
        for key, data in shard.store.scan(rows.MEMBER):
            row = rows.MemberRow.unpack(data)
            bound, is_here = row.root is not None, row.space == world.control.space
            require(
                not is_here or bound == (key[1:] in linked),
                f"{shard.name}: {key.hex()[2:10]} bound wrongly",
            )
    expected = {
        (
            frozenset(linked.items()),
            frozenset(judge.deleted_from(profile)),
            merges_of(profile),
            root_of(profile),
        )
        for profile, linked in judge.profiles.items()
    }
    require(expected == _partition(world), "the tables give another partition than the journal")


def _check_member(
    world: World, merge: Working, member: bytes, root: bytes, joined: tuple[str, int]
) -> None:
    name = member.hex()[:8]
    row = journal.find_member(merge, member)
    require(row is not None and row.root == root, f"{name}: two tables of the merge actor differ")
    assert row is not None
    require((row.type, row.joined_us) == joined, f"{name}: joined otherwise")
    data = world.shards[world.shard_map.shard_of(member)].store.get(rows.MEMBER + member)
    require(data is not None, f"{name} is bound and unknown to its shard")
    assert data is not None
    here = rows.MemberRow.unpack(data)
    require(here.root == root, f"{name} is bound to another profile at its shard")
    require(
        (here.type, here.value, here.joined_us, here.joined_source, here.joined_message_id)
        == (row.type, row.value, row.joined_us, row.source, row.message_id),
        f"{name} joined otherwise at its shard: {row}, {here.joined_us} {here.joined_message_id}",
    )


def _partition(world: World) -> set[tuple[frozenset[Any], frozenset[Any], int, int]]:
    """The linked profiles as the merge actor has them, in the reference's words."""
    merge = Working(world.merge.store)
    found = set()
    for key, data in world.merge.store.scan(journal.PROFILE):
        profile = journal.decode_profile(data)
        if profile.space != world.control.space:
            continue
        collection = "accounts" if profile.collection else "users"
        linked, hidden = [], []
        for member, type_, joined_us, _, is_hidden in profile.members:
            row = journal.find_member(merge, member)
            assert row is not None
            named = ref(Identifier(collection, type_, row.value), incarnation_of(member))
            if is_hidden:
                hidden.append(named)
            else:
                linked.append((named, joined_us))
        root = int.from_bytes(key[1:])
        found.add((frozenset(linked), frozenset(hidden), profile.merges, root))
    return found


def _check_segment_ids(world: World) -> None:
    """Every segment_id that was ever given leads to the live profile that has its founder."""
    for root in world.ledger.roots:
        found = world.read_now(locate(world.shard_map, world.control.space, root))
        require(found is not None, f"segment_id {root.hex()[:8]} resolves to nothing")
        assert found is not None
        require(root in found.members, f"segment_id {root.hex()[:8]} resolves to another profile")


def _check_contents(world: World, logs: Logs) -> None:
    """Each identifier's profile shows the join of the traits, and the count, of its events."""
    cells: dict[bytes, dict[str, tuple[int, str, Any]]] = {}
    counts: dict[bytes, int] = {}
    for stored in logs.events.values():
        member = stored.member
        counts[member] = counts.get(member, 0) + 1
        traits = msgspec.json.decode(stored.traits) if stored.traits else {}
        mine = cells.setdefault(member, {})
        for name, value in traits.items():
            if stored.type == "group" and stored.key[0].collection == "users":
                continue
            _join(mine, name, (stored.time_us, stored.message_id, value))
    silent = counts.keys() - {each.member for each in logs.events.values() if not each.is_history}
    for name in [*counts, *_names_shown(world)]:
        profile = world.read_now(
            read_profile(world.shard_map, world.control.space, name, with_traits=True)
        )
        told = name.hex()[:8]
        if profile is None and name in silent:
            continue
        require(profile is not None, f"{told} shows nothing at the end")
        assert profile is not None
        joined: dict[str, tuple[int, str, Any]] = {}
        for member in profile.base.members:
            for trait, cell in cells.get(member, {}).items():
                _join(joined, trait, cell)
        expected = {trait: cell[2] for trait, cell in joined.items() if cell[2] is not None}
        shown = {
            trait: msgspec.json.decode(cell.value_json) for trait, cell in profile.traits.items()
        }
        require(expected == shown, f"{told} shows {shown}, not {expected}")
        count = sum(counts.get(member, 0) for member in profile.base.members)
        require(count == sum(sum(part.counts) for part in profile.parts), f"{told}: count")


def _names_shown(world: World) -> list[bytes]:
    """The keys of the identifiers that a caller may rely on to be found, in their present life."""
    present = world.ledger.deletions.life
    return [
        world.control.key(identifier)
        for identifier, messages in world.ledger.shown.items()
        if any(kept.lives[identifier] == present(identifier) for kept in messages.values())
    ]


def _join(cells: dict[str, tuple[int, str, Any]], name: str, cell: tuple[int, str, Any]) -> None:
    if name not in cells or _written(cells[name]) < _written(cell):
        cells[name] = cell


def _written(cell: tuple[int, str, Any]) -> tuple[int, str, bytes]:
    """When a trait was written. One message id under two anchors can tie, then the text decides."""
    return (*cell[:2], msgspec.json.encode(cell[2]))


def _check_components(world: World, logs: Logs) -> None:
    """Without limits the profiles are the connected components, whatever the order was."""
    parent: dict[Identifier, Identifier] = {}

    def find(each: Identifier) -> Identifier:
        while parent.setdefault(each, each) != each:
            each = parent[each]
        return each

    for stored in logs.events.values():
        for identifier in () if stored.is_history else stored.identifiers:
            parent[find(identifier)] = find(stored.identifiers[0])
    components: dict[Identifier, set[bytes]] = {}
    for identifier in list(parent):
        member = world.control.key(identifier) + FIRST_INCARNATION
        components.setdefault(find(identifier), set()).add(member)
    for identifier in parent:
        found = world.read_now(
            locate(world.shard_map, world.control.space, world.control.key(identifier))
        )
        require(found is not None, f"{identifier} is on no profile")
        assert found is not None
        require(
            set(found.members) == components[find(identifier)],
            f"{identifier} is not with those it was seen with",
        )


def _check_rebuilt(world: World, shard: ShardNode) -> None:
    """The whole log, replayed by a new machine, gives the rows that the commands gave."""
    store = MemoryStore()
    store.log, store.next_number = shard.store.log, shard.store.next_number
    machine = world.parts.shard_machine(shard.number, store, dedupe_window_days=30)
    machine.load()
    for number, record in sorted(shard.store.log.items()):
        changes = machine.replay(number, record)
        store.publish(changes, number)
        machine.committed(changes)
    require(store.rows == shard.store.rows, f"{shard.name}: its log gives other rows")
    require(machine.pending == shard.machine.pending, f"{shard.name}: its log gives other marks")
    require(machine.owed == shard.machine.owed, f"{shard.name}: its log gives other debts")


def _check_journal_rebuilt(world: World) -> None:
    store = MemoryStore()
    merge = world.merge
    store.log, store.next_number = merge.store.log, merge.store.next_number
    machine = world.parts.merge_machine(store, world.shard_map)
    machine.load()
    for number, record in sorted(merge.store.log.items()):
        store.publish(machine.replay(number, record), number)
    require(store.rows == merge.store.rows, "m: its journal gives other rows")
    require(machine.seq == last_seq(world), "m: its journal gives another seq")
