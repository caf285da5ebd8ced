"""A gateway: frames events, stores them, hands their links over and answers its callers.

What the service's own gateway has to keep, said here because the simulation found it needed:

- A stream's appends to one shard go one after another, each after the answer to the one before:
  a founding that a repeat brings late would come after a link of the same stream.
- A stream's links are handed over with all earlier ones of the stream that are not decided yet:
  a lost message would otherwise let later links be decided before earlier ones. Users' and
  accounts' links never meet in a decision, so each of the two goes by itself.
- Accounts' sides go after the users' sides of their events, as those were stored, and in the order
  of the stream.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from msgspec.structs import replace

from tests.simulation.calls import Part, Stream
from tests.simulation.deleting import Deletions
from tests.simulation.joined import Parcel
from tests.simulation.nodes import Node
from tests.simulation.owed import anchor_of, clear_at, stamp_of, sweep_owed
from tests.simulation.promoting import (
    begin,
    place_accounts,
    place_sides,
    promote_again,
    refuse,
    take_stored,
)
from tests.simulation.traffic import client_event
from unify_grpc.identity.identifiers import ACCOUNTS, USERS
from unify_grpc.machines.batch import pack_batch
from unify_grpc.machines.framing import frame_event
from unify_grpc.machines.links import DUPLICATE
from unify_grpc.machines.owed_sides import ClearedSide, set_life
from unify_grpc.placement.members import member_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.simulation.calls import Call, Placed
    from tests.simulation.clients import Caller
    from tests.simulation.world import World
    from unify_grpc.identity.identifiers import Identifier
    from unify_grpc.machines.framing import Framed
    from unify_grpc.machines.links import Append, Decided, PendingLink


class Attempt(NamedTuple):
    """One sending of a request."""

    client: Caller
    request: int
    stream: int
    """Names the caller's stream, or its unary request."""
    at: int
    """Its place in the stream."""
    events: tuple[Any, ...]
    """`traffic.Sent`, or what else the gateway's `frame` takes; each has a `message_id`."""
    resolved: bool


class AckedSide(NamedTuple):
    """What a caller is told of one side of an event."""

    anchor: Identifier
    is_duplicate: bool
    outcome: int
    drops: tuple[tuple[str, str, int], ...]
    """(type, value, reason)."""
    root: bytes
    stamp_us: int
    """Under which it was sent: the attempt's, or an earlier one's that is finished now."""

    def is_of(self, stamp_us: int) -> bool:
        """Whether it is about what was stored with a stamp, and not about what was before."""
        return not self.is_duplicate and self.stamp_us == stamp_us


class Gateway(Node):
    """One gateway; all it knows is gone when it ends."""

    queues_appends = True
    """Off in a mutant."""
    repeats_earlier_links = True
    """Off in a mutant, like all that follow."""
    keeps_account_order = True
    clears_last = True
    follows_the_first = True
    waits_for_all_before = True
    promotes_all_again = True
    keeps_account_turn = True
    holds_accounts_back = True
    asks_earlier_anchors = True
    keeps_to_what_is_held = True

    def __init__(self, world: World, name: str) -> None:
        super().__init__(world, name)
        self.stamp_us = 0
        self.clock_error_us = 0
        self._forget()

    def start(self) -> None:
        """Starts again with nothing but the rules in force."""
        super().start()
        self.stamp_us = 0
        self._forget()
        self.sweep(self.world.now_us + 1)

    def sweep(self, before_us: int) -> None:
        """Asks every shard for accounts' sides that nobody looks after."""
        if self.world.parts.sweeps_owed:
            sweep_owed(self, before_us)

    def has_in_hand(self, shard: int, position: int) -> bool:
        """Whether a call here is about to store what a user's side owes."""
        return any(
            (shard, position) == (number, side.position)
            for stream in self.streams.values()
            for call in stream.calls
            for number, side in call.owed.values()
        )

    def refresh_rules(self) -> None:
        """Learns of the rules in force."""
        self.version = self.world.control.version

    @property
    def is_idle(self) -> bool:
        """Whether nothing is under way."""
        is_busy = self.deletions.under_way or any(each.calls for each in self.streams.values())
        return not is_busy

    def take(self, attempt: Attempt) -> None:
        """Takes a request; those of a stream in the stream's order."""
        stream = self.streams.get(attempt.stream)
        if stream is None:
            stream = self.streams[attempt.stream] = Stream(self.world.number())
        stream.early[attempt.at] = attempt
        while stream.next_at in stream.early:
            self._begin(stream, stream.early.pop(stream.next_at))
            stream.next_at += 1

    def ask_again(self) -> None:
        """Sends again what was not answered, the same bytes under the same call id."""
        for stream in self.streams.values():
            for call in stream.calls:
                for part in call.parts():
                    part.is_sent = False
                self._clear(stream, call)
            self.go_on(stream)
            self._hand_over(stream)
        self.deletions.ask_again()

    def on_decided(self, decided: list[Decided]) -> None:
        """Takes an answer of the merge actor."""
        for each in decided:
            self.decided[each.shard, each.position] = each
        for stream in list(self.streams.values()):
            self._finish(stream)

    def frame(self, attempt: Attempt, index: int, stream: int, stamp_us: int) -> Framed:
        """Frames one event of an attempt; of what is refused there are no sides."""
        event, body = client_event(attempt.events[index])
        return frame_event(
            event,
            body,
            space=self.world.control.view(self.version),
            source=1,
            received_us=stamp_us,
            stream=stream,
        )

    def answer(self, call: Call, sides: list[list[AckedSide]]) -> None:
        """Answers a caller.

        Args:
            call: whose turn it is.
            sides: what became of each of its events, in no order of its sides.
        """
        attempt = call.attempt
        self.world.ledger.acked(attempt, sides)
        client = attempt.client
        self.world.send(f"ack {attempt.request}", client, lambda: client.on_acked(attempt))

    def _forget(self) -> None:
        self.streams: dict[int, Stream] = {}
        self.decided: dict[tuple[int, int], Decided] = {}
        self.deletions = Deletions(self)
        self.version = self.world.control.version

    def _begin(self, stream: Stream, attempt: Attempt) -> None:
        world = self.world
        if world.control.must_renew(self.version):
            self.refresh_rules()
        stamps = []
        for _ in attempt.events:
            self.stamp_us = max(world.now_us + self.clock_error_us, self.stamp_us + 1)
            stamps.append(self.stamp_us)
        call = stream.last = begin(self, stream, attempt, stamps)
        stream.calls.append(call)
        self.go_on(stream)
        # Nothing else would answer a call that has nothing to be stored.
        self._finish(stream)

    def place(self, call: Call, placed: list[Placed], *, asks: bool = False) -> list[Part]:
        """Returns sides by the shards of their anchors, in a fixed order."""
        world = self.world
        by_shard: dict[int, list[Placed]] = {}
        for each in placed:
            shard = world.shard_map.shard_of(world.control.key(each.anchor))
            by_shard.setdefault(shard, []).append(each)
        return [
            Part(
                shard, world.number().to_bytes(16, "big"), call.version, by_shard[shard], asks=asks
            )
            for shard in sorted(by_shard)
        ]

    def go_on(self, stream: Stream) -> None:
        """Sends what may be sent: to each shard the first of the stream that it did not answer."""
        busy: set[tuple[str, int]] = set()
        is_held_up = False
        for call in stream.calls:
            promote_again(self, stream, call)
            if not call.is_sent and not call.has_come(and_all_before=self.waits_for_all_before):
                return
            place_sides(self, call)
            self._append_parts(stream, call, USERS, [*call.probes, *call.users], busy)
            if not call.is_sent:
                return
            place_accounts(self, call)
            if not is_held_up:
                self._append_parts(stream, call, ACCOUNTS, call.accounts, busy)
            is_held_up = is_held_up or (
                self.keeps_account_order and call.has_accounts and not call.passed_accounts
            )

    def _append_parts(
        self,
        stream: Stream,
        call: Call,
        collection: str,
        parts: list[Part],
        busy: set[tuple[str, int]],
    ) -> None:
        for part in parts:
            if part.is_answered:
                continue
            order = collection, part.shard
            if not part.is_sent and not (self.queues_appends and order in busy):
                part.is_sent = True
                self._send_part(stream, call, part)
            busy.add(order)

    def _send_part(self, stream: Stream, call: Call, part: Part) -> None:
        world = self.world
        if world.post is not None:
            world.post.send(Parcel(self, self.life, stream, call, part))
            return
        shard = world.shards[part.shard]
        rules = [(world.control.space, part.version)]
        data = pack_batch(part.call_id, rules, [each.frame for each in part.placed])
        names = " ".join(call.attempt.events[each.event].message_id for each in part.placed)
        kind = "ask" if part.asks else "append"
        world.call(
            self,
            shard,
            f"{kind} {int.from_bytes(part.call_id, 'big')} [{names}]",
            lambda: shard.append(data),
            lambda reply: self.on_appended(stream, call, part, reply),
        )

    def on_appended(self, stream: Stream, call: Call, part: Part, reply: Append) -> None:
        """Takes a shard's answer to a batch."""
        if part.is_answered:
            return
        if reply.stale:
            part.is_stale = True
            refuse(call, part)
        else:
            part.reply = reply
            take_stored(self.world, call, part)
            self._note_owed(call, part)
        self.go_on(stream)
        self._start_clears(stream, call)
        self._hand_over(stream)
        self._finish(stream)

    def _note_owed(self, call: Call, part: Part) -> None:
        assert part.reply is not None
        for side in part.reply.owed:
            if side.index in part.ignored:
                continue
            event = part.placed[side.index].event
            frame = side.frame
            if not frame or not self.follows_the_first:
                sides = call.framed[event].sides
                if len(sides) == 1:  # in a mutant only
                    continue
                frame = set_life(sides[1].frame, side.member)
            call.owed[event] = (part.shard, replace(side, frame=frame))
            is_placing = call.unplaced or call.to_place_accounts is not None
            if event not in call.accounts_placed and not is_placing:
                # The rules of today name no account; what was stored before them does.
                call.to_place_accounts = []

    def _start_clears(self, stream: Stream, call: Call) -> None:
        """Has marks cleared as soon as the accounts' sides are durable."""
        if call.clears or not (call.is_appended or not self.clears_last):
            return
        for event, (number, side) in call.owed.items():
            if side.is_owed:
                member = member_of(
                    self.world.control.key(anchor_of(side.frame)), call.account_life(event)
                )
                cleared = ClearedSide(side.position, member)
                call.clears.setdefault(number, []).append(cleared)
        self._clear(stream, call)

    def _clear(self, stream: Stream, call: Call) -> None:
        for number, sides in call.clears.items():
            clear_at(self, number, sides, partial(self._on_cleared, stream, call, number))

    def _on_cleared(self, stream: Stream, call: Call, number: int) -> None:
        call.clears.pop(number, None)
        self._finish(stream)

    def _hand_over(self, stream: Stream) -> None:
        """Hands links over: after those of all batches before them, each collection by itself."""
        for collection in (USERS, ACCOUNTS):
            links: list[PendingLink] = []
            for call in stream.calls:
                if collection == ACCOUNTS and not call.has_accounts and not call.links(ACCOUNTS):
                    continue
                if not call.has_stored(collection):
                    break
                own = [each for each in call.links(collection) if not self._is_decided(each)]
                links = [*links, *own] if self.repeats_earlier_links else own
            if links:
                self._send_links(stream, links)

    def _send_links(self, stream: Stream, links: list[PendingLink]) -> None:
        world, request, life = self.world, self.world.number(), self.life
        names = " ".join(link.message_id for link in links)
        world.send(
            f"{self.name} link {request} [{names}]",
            world.merge,
            lambda: world.merge.link(self, life, request, stream.number, links),
        )

    def _is_decided(self, link: PendingLink) -> bool:
        return (link.shard, link.position) in self.decided

    def _finish(self, stream: Stream) -> None:
        """Acks what can be acked, and forgets what is finished."""
        for call in list(stream.calls):
            if not call.is_appended:
                continue
            links = [*call.links(USERS), *call.links(ACCOUNTS)]
            is_finished = not call.clears and all(map(self._is_decided, links))
            if not call.is_acked and (is_finished or not call.attempt.resolved):
                call.is_acked = True
                self._ack(call)
            if is_finished:
                stream.calls.remove(call)

    def _ack(self, call: Call) -> None:
        sides: list[list[AckedSide]] = [[] for _ in call.attempt.events]
        for part in call.parts():
            for index, side in self._sides(part) if part.reply is not None else ():
                sides[index].append(side)
        self.answer(call, sides)

    def _sides(self, part: Part) -> Iterator[tuple[int, AckedSide]]:
        reply = part.reply
        assert reply is not None
        pending = {link.index: link for link in reply.pending}
        for at, placed in enumerate(part.placed):
            if at in part.ignored:
                continue
            status = reply.statuses[at]
            outcome, drops = status & ~DUPLICATE, reply.drops.get(at, [])
            root = reply.roots[20 * at : 20 * at + 20]
            if at in pending:
                link = pending[at]
                decided = self.decided.get((link.shard, link.position))
                if decided is not None:
                    outcome, root = decided.outcome, decided.root
                    drops = [(*link.ids[index][1:], reason) for index, reason in decided.drops]
            is_duplicate = bool(status & DUPLICATE)
            told = tuple((type_, value, reason) for type_, value, reason in drops)
            stamp_us = stamp_of(placed.frame)
            side = AckedSide(placed.anchor, is_duplicate, outcome, told, root, stamp_us)
            yield placed.event, side
