"""How gateways of the simulation promote events, once and again, as the service's do.

A batch that a shard refuses for newer rules is promoted again when all of its round has answered
and all before it in its stream is stored. Where rules moved anchors, the anchors that events would
have had are asked first, in batches under the new rules; what they hold is stored nowhere else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.simulation.calls import Call, Part, Placed
from tests.simulation.owed import anchor_of, is_account, stream_of
from tests.simulation.traffic import client_event
from unify_grpc.identity.identifiers import ACCOUNTS
from unify_grpc.machines.framing import Framed
from unify_grpc.machines.probing import NOT_HELD, probes_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.simulation.calls import Stream
    from tests.simulation.gateway import Attempt, Gateway
    from tests.simulation.world import World

NOTHING = Framed((), (), 0)


def begin(gateway: Gateway, stream: Stream, attempt: Attempt, stamps: list[int]) -> Call:
    """Promotes the events of an attempt for the first time."""
    count = len(attempt.events)
    version = gateway.version
    call = Call(attempt, stamps, stream.last, version, version, [NOTHING] * count, [])
    _promote(gateway, stream, call, range(count))
    return call


def promote_again(gateway: Gateway, stream: Stream, call: Call) -> None:
    """Promotes refused events again, once nothing of the call or before it is under way."""
    before = call.before
    if not call.refused or not call.is_answered:
        return
    if before and not before.is_stored(and_all_before=gateway.waits_for_all_before):
        return
    gateway.refresh_rules()
    refused, call.refused = call.refused, set()
    call.version = gateway.version
    gateway.world.note(f"{gateway.name} promotes again {call.attempt.request}")
    # What is stored stays as it was promoted then: of such an event the account's side is owed.
    again = sorted(refused - call.stored - call.held)
    if not again:
        call.to_place_accounts = []
        call.is_sent = True
    _promote(gateway, stream, call, again)


def _promote(gateway: Gateway, stream: Stream, call: Call, indexes: Iterable[int]) -> None:
    for index in indexes:
        framed = gateway.frame(call.attempt, index, stream.number, call.stamps[index])
        call.framed[index] = framed
        call.unplaced.append(index)
    if gateway.asks_earlier_anchors and gateway.world.control.view(call.version).earlier:
        call.probes += gateway.place(call, _probes(gateway, call), asks=True)


def _probes(gateway: Gateway, call: Call) -> list[Placed]:
    """Returns the questions to anchors that unplaced events would have had."""
    control, placed = gateway.world.control, []
    for index in call.unplaced:
        sent, sides = call.attempt.events[index], call.framed[index].sides
        probes = probes_of(
            client_event(sent)[0],
            sent.message_id,
            control.view(call.version),
            present=sides[0].identifiers[0] if sides else None,
            stamp_us=call.stamps[index],
            source=1,
        )
        placed += [Placed(index, control.identifier(key), frame) for _, key, frame in probes]
    return placed


def refuse(call: Call, part: Part) -> None:
    """Notes what a shard refused for newer rules; of a question, all that waited for it."""
    events = {placed.event for placed in part.placed}
    call.refused |= events
    if part in call.accounts:
        call.accounts_placed -= events


def take_stored(world: World, call: Call, part: Part) -> None:
    """Takes an answer: what an anchor that was asked holds was stored by an earlier attempt."""
    assert part.reply is not None
    if not part.asks:
        call.stored |= {placed.event for placed in part.placed}
        return
    for at, placed in enumerate(part.placed):
        if part.reply.statuses[at] == NOT_HELD or placed.event in call.held:
            part.ignored.add(at)
            continue
        call.held.add(placed.event)
        name = call.attempt.events[placed.event].message_id
        world.note(f"{name} is held under {placed.anchor.value}, by earlier rules")
        if placed.anchor.collection == ACCOUNTS:
            call.accounts_placed.add(placed.event)


def place_sides(gateway: Gateway, call: Call) -> None:
    """Places users' sides, once the anchors of earlier rules have answered."""
    if not call.unplaced or not all(part.is_answered for part in call.probes):
        return
    unplaced, call.unplaced = call.unplaced, []
    if call.refused:
        # Questions under rules that are too old: whatever waited for them is promoted again.
        call.refused |= set(unplaced) if gateway.promotes_all_again else set()
        return
    users = []
    for index in unplaced:
        sides = call.framed[index].sides
        if sides and not is_account(sides[0]) and index not in call.held:
            users.append(Placed(index, sides[0].identifiers[0], sides[0].frame))
    call.users += gateway.place(call, users)
    call.to_place_accounts = unplaced
    call.is_sent = True


def place_accounts(gateway: Gateway, call: Call) -> None:
    """Places accounts' sides: what users' sides say, where they do, once those are stored."""
    indexes = call.to_place_accounts
    if indexes is None or (call.has_pairs and not call.has_users_answered()):
        return
    if call.refused and gateway.holds_accounts_back:
        # They would come before those of the refused events before them.
        call.refused |= set(indexes) - call.accounts_placed
        call.to_place_accounts = None
        return
    world = gateway.world
    placed = []
    for index in sorted({*indexes, *call.owed} - call.refused - call.accounts_placed):
        sides = call.framed[index].sides
        if index in call.owed:
            frame = call.owed[index][1].frame
            if not sides or stream_of(frame) != stream_of(sides[0].frame):
                key = anchor_of(frame), call.attempt.events[index].message_id
                world.strange_sides.add(key)
            placed.append(Placed(index, anchor_of(frame), frame))
        elif (
            sides
            and is_account(sides[0])
            and not (index in call.held and gateway.keeps_to_what_is_held)
        ):
            placed.append(Placed(index, sides[0].identifiers[0], sides[0].frame))
        else:
            continue
        call.accounts_placed.add(index)
    call.accounts += gateway.place(call, placed)
    call.to_place_accounts = None
    if not (call.refused and gateway.keeps_account_turn):
        call.passed_accounts = True
