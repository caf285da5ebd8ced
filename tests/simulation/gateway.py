"""A gateway: frames events, stores them, hands their links over and answers its callers.

What the service's own gateway has to keep, said here because the simulation found it needed:

- A stream's appends to one shard go one after another, each after the answer to the one before:
  a founding that a repeat brings late would come after a link of the same stream.
- A stream's links are handed over with all earlier ones of the stream that are not decided yet:
  a lost message would otherwise let later links be decided before earlier ones.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.simulation.nodes import Node
from tests.simulation.traffic import client_event
from unify_grpc.machines.batch import pack_batch
from unify_grpc.machines.framing import frame_event
from unify_grpc.machines.links import DUPLICATE

if TYPE_CHECKING:
    from collections.abc import Iterator

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


class Placed(NamedTuple):
    """One side of one event of an attempt."""

    event: int
    anchor: Identifier
    frame: bytes


@dataclass(slots=True)
class Part:
    """What of a call goes to one shard."""

    placed: list[Placed] = field(default_factory=list)
    is_sent: bool = False
    reply: Append | None = None


@dataclass(slots=True)
class Call:
    """An attempt on its way."""

    attempt: Attempt
    id: bytes
    framed: list[Framed]
    """By event."""
    parts: dict[int, Part]
    is_acked: bool = False

    @property
    def is_appended(self) -> bool:
        """Whether all shards have answered."""
        return all(part.reply is not None for part in self.parts.values())

    def links(self) -> list[PendingLink]:
        """Its pending links in batch order, the user's side of an event first."""
        found: list[tuple[int, int, PendingLink]] = []
        for part in self.parts.values():
            assert part.reply is not None
            found.extend(
                (part.placed[link.index].event, link.collection, link)
                for link in part.reply.pending
            )
        return [link for _, _, link in sorted(found, key=lambda each: each[:2])]


@dataclass(slots=True)
class Stream:
    """What one caller sends in order."""

    number: int
    next_at: int = 0
    early: dict[int, Attempt] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)


class Gateway(Node):
    """One gateway; all it knows is gone when it ends."""

    queues_appends = True
    """Off in a mutant."""
    repeats_earlier_links = True
    """Off in a mutant."""

    def __init__(self, world: World, name: str) -> None:
        super().__init__(world, name)
        self.stamp_us = 0
        self._forget()

    def start(self) -> None:
        """Starts again with nothing but the rules in force."""
        super().start()
        self._forget()

    def refresh_rules(self) -> None:
        """Learns of the rules in force."""
        self.version = self.world.control.version

    @property
    def is_idle(self) -> bool:
        """Whether nothing is under way."""
        return not any(stream.calls for stream in self.streams.values())

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
                for part in call.parts.values():
                    part.is_sent = False
            self._append(stream)
            self._hand_over(stream)

    def on_decided(self, decided: list[Decided]) -> None:
        """Takes an answer of the merge actor."""
        for each in decided:
            self.decided[each.shard, each.position] = each
        for stream in list(self.streams.values()):
            self._finish(stream)

    def frame(self, attempt: Attempt, index: int, stream: int) -> Framed:
        """Frames one event of an attempt; of what is refused there are no sides."""
        event, body = client_event(attempt.events[index])
        return frame_event(
            event,
            body,
            space=self.world.control.view(self.version),
            source=1,
            received_us=self.stamp_us,
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
        self.version = self.world.control.version

    def _begin(self, stream: Stream, attempt: Attempt) -> None:
        world = self.world
        parts: dict[int, Part] = {}
        framed: list[Framed] = []
        for index in range(len(attempt.events)):
            self.stamp_us = max(world.now_us, self.stamp_us + 1)
            framed.append(self.frame(attempt, index, stream.number))
            for side in framed[-1].sides:
                part = parts.setdefault(world.shard_map.shard_of(side.key), Part())
                part.placed.append(Placed(index, side.identifiers[0], side.frame))
        call_id = world.number().to_bytes(16, "big")
        stream.calls.append(Call(attempt, call_id, framed, dict(sorted(parts.items()))))
        self._append(stream)
        # Nothing else would answer a call that has nothing to be stored.
        self._finish(stream)

    def _append(self, stream: Stream) -> None:
        """Sends what may be sent: to each shard the first of the stream that it did not answer."""
        busy: set[int] = set()
        for call in stream.calls:
            for number, part in call.parts.items():
                if part.reply is not None:
                    continue
                if not part.is_sent and not (self.queues_appends and number in busy):
                    part.is_sent = True
                    self._send_part(stream, call, number, part)
                busy.add(number)

    def _send_part(self, stream: Stream, call: Call, number: int, part: Part) -> None:
        world = self.world
        shard = world.shards[number]
        rules = [(world.control.space, self.version)]
        data = pack_batch(call.id, rules, [each.frame for each in part.placed])
        names = " ".join(call.attempt.events[each.event].message_id for each in part.placed)
        world.call(
            self,
            shard,
            f"append {int.from_bytes(call.id, 'big')} [{names}]",
            lambda: shard.append(data),
            lambda reply: self._on_appended(stream, part, reply),
        )

    def _on_appended(self, stream: Stream, part: Part, reply: Append) -> None:
        if part.reply is not None:
            return
        if reply.stale:
            # Promoted again: all versions promote alike here, so the frames stay as they are.
            self.refresh_rules()
            part.is_sent = False
        else:
            part.reply = reply
            self._hand_over(stream)
            self._finish(stream)
        self._append(stream)

    def _hand_over(self, stream: Stream) -> None:
        """Hands links over: after those of all batches before them."""
        links: list[PendingLink] = []
        for call in stream.calls:
            if not call.is_appended:
                break
            own = [link for link in call.links() if (link.shard, link.position) not in self.decided]
            links = [*links, *own] if self.repeats_earlier_links else own
        if links:
            world, request, life = self.world, self.world.number(), self.life
            world.merge.strays.update(
                (link.shard, link.position) for link in links if link.stream != stream.number
            )
            names = " ".join(link.message_id for link in links)
            world.send(
                f"{self.name} link {request} [{names}]",
                world.merge,
                lambda: world.merge.link(self, life, request, links),
            )

    def _finish(self, stream: Stream) -> None:
        """Acks what can be acked, and forgets what is finished."""
        for call in list(stream.calls):
            if not call.is_appended:
                continue
            links = call.links()
            is_finished = all((link.shard, link.position) in self.decided for link in links)
            if not call.is_acked and (is_finished or not call.attempt.resolved):
                call.is_acked = True
                self._ack(call)
            if is_finished:
                stream.calls.remove(call)

    def _ack(self, call: Call) -> None:
        sides: list[list[AckedSide]] = [[] for _ in call.attempt.events]
        for part in call.parts.values():
            for index, side in self._sides(part):
                sides[index].append(side)
        self.answer(call, sides)

    def _sides(self, part: Part) -> Iterator[tuple[int, AckedSide]]:
        reply = part.reply
        assert reply is not None
        pending = {link.index: link for link in reply.pending}
        for at, placed in enumerate(part.placed):
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
            yield placed.event, AckedSide(placed.anchor, is_duplicate, outcome, told, root)
