"""From a request's events to what became of each: promote, store, link, answer.

The edges (gRPC, later HTTP) turn what they receive into `Incoming` events and the `EventOutcome`s
back; between the two nothing knows of a protocol.
"""

from __future__ import annotations

import asyncio
import secrets
import time
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from unify_grpc.identity.identifiers import ACCOUNTS
from unify_grpc.identity.outcomes import DropReason, EventRejected, Outcome, RejectionReason
from unify_grpc.machines.framing import Framed, Side, frame_event
from unify_grpc.machines.links import DUPLICATE
from unify_grpc.machines.rows import NO_MEMBER
from unify_grpc.placement.members import segment_id_of
from unify_grpc.service.link_sender import LinkSender
from unify_grpc.service.shard_sender import ShardSender, StaleRulesError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from unify_grpc.identity.events import ClientEvent
    from unify_grpc.machines.batch import Body
    from unify_grpc.machines.links import Decided, PendingLink
    from unify_grpc.service.backend import Backend
    from unify_grpc.service.directory import Space, SpaceDirectory
    from unify_grpc.service.shard_sender import Stored

STALE_RETRIES_MAX = 5


class Incoming(NamedTuple):
    """An event that could be read."""

    event: ClientEvent
    body: Body


class DropReport(NamedTuple):
    """An identifier that was left out."""

    collection: str
    type: str
    value: str
    reason: DropReason


@dataclass(slots=True)
class EventOutcome:
    """What became of one event."""

    rejection: RejectionReason | None = None
    is_duplicate: bool = False
    outcome: Outcome | None = None
    """Of the user side, or of the account side where there is no other; None: it links nothing."""
    user_root: bytes = b""
    """The profile's founding member; empty while pending, and if there is none."""
    account_root: bytes = b""
    drops: list[DropReport] = field(default_factory=list)

    @property
    def segment_id(self) -> str:
        """The user's profile; empty if there is none yet."""
        return segment_id_of("users", self.user_root) if self.user_root else ""

    @property
    def account_segment_id(self) -> str:
        """The account's profile; empty if there is none yet."""
        return segment_id_of("accounts", self.account_root) if self.account_root else ""

    @property
    def is_notable(self) -> bool:
        """Whether a bulk sender wants to know: refused, known before, pending, or with drops."""
        return bool(
            self.rejection is not None
            or self.is_duplicate
            or self.outcome is Outcome.PENDING
            or self.drops
        )


class Turns:
    """The order of the batches of one stream: links go out when all before them went."""

    def __init__(self) -> None:
        self.stream = secrets.randbits(63)
        self._last: asyncio.Future[None] | None = None

    def take(self) -> tuple[asyncio.Future[None] | None, asyncio.Future[None]]:
        """Returns the turn to wait for, None if there is none, and the one to finish."""
        before, self._last = self._last, asyncio.get_running_loop().create_future()
        return before, self._last


class Ingestor:
    """Takes events in for all spaces."""

    def __init__(
        self, backend: Backend, directory: SpaceDirectory, *, queue_events_max: int
    ) -> None:
        self._directory = directory
        self._shard_map = backend.shard_map
        self._senders = [
            ShardSender(shard, backend, queue_events_max=queue_events_max)
            for shard in range(self._shard_map.shard_count)
        ]
        self._links = LinkSender(backend, queue_links_max=queue_events_max)
        self._stamp_us = 0
        self._background: set[asyncio.Task[object]] = set()

    def stamp(self) -> int:
        """Returns the microsecond of receipt: strictly rising, never going back."""
        self._stamp_us = max(time.time_ns() // 1000, self._stamp_us + 1)
        return self._stamp_us

    async def ingest(
        self,
        incoming: Sequence[Incoming | RejectionReason],
        space: Space,
        source: int,
        turns: Turns,
        *,
        is_resolved: bool,
        only_notable: bool,
        deadline_s: float,
    ) -> list[tuple[int, EventOutcome]]:
        """Stores events and, if `is_resolved`, waits until their links are decided and visible.

        Args:
            incoming: events in their order, or why one could not be read.
            space: whose they are.
            source: number of the source that sent them.
            turns: of the caller's stream; a unary request has its own.
            is_resolved: wait for links; else only for durability.
            only_notable: leave out what was plainly stored.
            deadline_s: from now; links that are not decided by then are answered PENDING.

        Returns:
            (index in `incoming`, what became of it), in order.

        Raises:
            ShardOverloadedError: too much is waiting; nothing of the batch was stored.
            ShardUnavailableError, StorageFullError: some of the batch may be stored.
        """
        for sender in self._senders:
            sender.check_room()
        loop = asyncio.get_running_loop()
        give_up = loop.time() + deadline_s
        self._links.check_room()
        run = _Run(incoming, space, source, turns.stream, self.stamp)
        before, turn = turns.take()
        task = loop.create_task(self._store(run, before, turn))
        self._keep(task)
        links = await asyncio.shield(task)
        if links is None or not is_resolved:
            if links is not None:
                self._keep(asyncio.ensure_future(_finish(links)))
            return run.outcomes(only_notable=only_notable)
        done, _ = await asyncio.wait({links}, timeout=max(0.0, give_up - loop.time()))
        # Events whose links could not be handed over are durable all the same, and will be swept.
        if done and links.exception() is None:
            run.decided(links.result())
        else:
            self._keep(asyncio.ensure_future(_finish(links)))
        return run.outcomes(only_notable=only_notable)

    async def _store(
        self, run: _Run, before: asyncio.Future[None] | None, turn: asyncio.Future[None]
    ) -> asyncio.Future[list[Decided]] | None:
        """Appends everything, then hands the links over when the stream's turn has come."""
        try:
            waiting = run.indexes()
            for attempt in range(STALE_RETRIES_MAX + 1):
                stale = await self._append(run, waiting)
                if not stale:
                    break
                if attempt == STALE_RETRIES_MAX:
                    raise StaleRulesError
                await self._directory.renew()
                run.promote_again(self._directory.find_space(run.space.record.space_id), stale)
                waiting = stale
            links = run.links()
            if before is not None:
                await before
            return self._links.send(links) if links else None
        finally:
            if before is not None and not before.done():
                before.add_done_callback(lambda _: turn.set_result(None))
            else:
                turn.set_result(None)

    async def _append(self, run: _Run, indexes: Sequence[int]) -> list[int]:
        """Sends events to their shards; returns those promoted under rules that are too old."""
        by_shard: dict[int, list[tuple[int, Side]]] = {}
        shard_of = self._shard_map.shard_of
        for index in indexes:
            for side in run.framed[index].sides:
                by_shard.setdefault(shard_of(side.key), []).append((index, side))
        view = run.space.view
        calls = [
            (
                placed,
                self._senders[shard].send(
                    [side.frame for _, side in placed], view.number, view.rules.version
                ),
            )
            for shard, placed in by_shard.items()
        ]
        stale: dict[int, None] = {}
        failure: Exception | None = None
        for placed, call in calls:
            try:
                run.stored(placed, await call)
            except StaleRulesError:
                stale.update(dict.fromkeys(index for index, _ in placed))
            except Exception as error:  # noqa: BLE001 - raised when all calls have ended
                failure = error
        if failure is not None:
            raise failure
        return sorted(stale)

    def _keep(self, task: asyncio.Task[object] | asyncio.Future[object]) -> None:
        """Lets work go on that nobody waits for any more."""
        assert isinstance(task, asyncio.Task)
        self._background.add(task)
        task.add_done_callback(self._forget)

    def _forget(self, task: asyncio.Task[object]) -> None:
        self._background.discard(task)
        if not task.cancelled():
            task.exception()  # whoever waits for it has it too

    async def drain(self, timeout_s: float) -> None:
        """Waits for what is under way; links left over are durable, and will be swept."""
        if self._background:
            await asyncio.wait(set(self._background), timeout=timeout_s)


async def _finish(links: asyncio.Future[list[Decided]]) -> None:
    """Waits for links that nobody asks about; whatever fails is swept up by the merge actor."""
    await asyncio.wait({links})


class _SideOutcome(NamedTuple):
    """How one side of an event was stored, by its place in a shard's answer."""

    collection: str
    stored: Stored
    at: int


class _Run:
    """One request on its way through."""

    def __init__(
        self,
        incoming: Sequence[Incoming | RejectionReason],
        space: Space,
        source: int,
        stream: int,
        stamp: Callable[[], int],
    ) -> None:
        self.space = space
        self.framed: dict[int, Framed] = {}
        self._incoming = incoming
        self._source = source
        self._stream = stream
        self._stamps: dict[int, int] = {}
        self._rejected: dict[int, RejectionReason] = {}
        self._sides: dict[int, list[_SideOutcome]] = {}
        self._links: list[tuple[int, PendingLink, Stored, int]] = []
        for index, each in enumerate(incoming):
            if isinstance(each, RejectionReason):
                self._rejected[index] = each
                continue
            self._stamps[index] = stamp()
            self._promote(index, each)

    def indexes(self) -> list[int]:
        """Returns the events that have something to store."""
        return [index for index, framed in self.framed.items() if framed.sides]

    def promote_again(self, space: Space, indexes: Sequence[int]) -> None:
        """Frames events under newer rules, with the stamps they have."""
        self.space = space
        for index in indexes:
            del self.framed[index]
            self._sides.pop(index, None)
            self._links = [each for each in self._links if each[0] != index]
            each = self._incoming[index]
            assert isinstance(each, Incoming), "a refused event was never framed"
            self._promote(index, each)

    def _promote(self, index: int, incoming: Incoming) -> None:
        event, body = incoming
        if not event.message_id:
            event.message_id = body.message_id = str(uuid.uuid4())
        try:
            self.framed[index] = frame_event(
                event,
                body,
                space=self.space.view,
                source=self._source,
                received_us=self._stamps[index],
                stream=self._stream,
            )
        except EventRejected as rejected:
            self._rejected[index] = rejected.reason

    def stored(self, placed: list[tuple[int, Side]], stored: Stored) -> None:
        """Takes a shard's answer for the sides placed there."""
        sides = self._sides
        for at, (index, side) in enumerate(placed):
            outcome = _SideOutcome(side.identifiers[0].collection, stored, at)
            known = sides.get(index)
            if known is None:
                sides[index] = [outcome]
            else:
                known.append(outcome)
        for at, link in stored.pending:
            self._links.append((placed[at][0], link, stored, at))

    def links(self) -> list[PendingLink]:
        """Returns pending links in the order of their events."""
        self._links.sort(key=lambda each: each[0])
        return [link for _, link, _, _ in self._links]

    def decided(self, decided: list[Decided]) -> None:
        """Takes the merge actor's answers, in the order of `links`."""
        for (_, link, stored, at), each in zip(self._links, decided, strict=True):
            stored.statuses[at] = (stored.statuses[at] & DUPLICATE) | each.outcome
            stored.roots[20 * at : 20 * at + 20] = each.root
            if each.drops:
                # A duplicate's drops are those of the event as it was stored.
                stored.drops[at] = [(*link.ids[id_][1:], reason) for id_, reason in each.drops]

    def outcomes(self, *, only_notable: bool) -> list[tuple[int, EventOutcome]]:
        """Returns (index, what became of it) of each event, or of those worth a word."""
        if not only_notable:
            return [(index, self._outcome(index)) for index in range(len(self._incoming))]
        notable = []
        for index in range(len(self._incoming)):
            if not self._is_plain(index):
                outcome = self._outcome(index)
                if outcome.is_notable:
                    notable.append((index, outcome))
        return notable

    def _is_plain(self, index: int) -> bool:
        """Whether an event was stored like most: cheaper to see than its whole outcome."""
        sides = self._sides.get(index)
        if sides is None or len(sides) > 1:
            return False
        _, stored, at = sides[0]
        return (
            stored.statuses[at] < Outcome.PENDING
            and at not in stored.drops
            and not self.framed[index].drops
        )

    def _outcome(self, index: int) -> EventOutcome:
        framed = self.framed.get(index)
        drops = [DropReport(*drop) for drop in framed.drops] if framed and framed.drops else []
        rejected = self._rejected.get(index)
        if rejected is None and (framed is None or not framed.sides):
            rejected = RejectionReason.NO_IDENTIFIER
        if rejected is not None:
            return EventOutcome(rejected, drops=drops)
        sides = self._sides[index]
        outcome = EventOutcome(drops=drops)
        outcome.is_duplicate = all(stored.statuses[at] & DUPLICATE for _, stored, at in sides)
        is_pending = False
        for collection, stored, at in sides:
            status = stored.statuses[at] & ~DUPLICATE
            is_pending = is_pending or status == Outcome.PENDING
            root = bytes(stored.roots[20 * at : 20 * at + 20])
            if root == NO_MEMBER:
                root = b""
            if collection == ACCOUNTS:
                outcome.account_root = root
            else:
                outcome.user_root = root
            if status and (collection != ACCOUNTS or len(sides) == 1):
                outcome.outcome = Outcome(status)
            for type_, value, reason in stored.drops.get(at, ()):
                outcome.drops.append(DropReport(collection, type_, value, DropReason(reason)))
        if is_pending:
            outcome.outcome = Outcome.PENDING
        return outcome
