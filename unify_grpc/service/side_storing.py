"""Stores the sides of a request's events, and starts what follows from that.

Users' sides go first. An account's side goes when the user's side of its event is durable, as that
one was stored: the mark there says that it is owed until it is durable too, and lets anybody finish
what a gateway that ended has begun. Requests without events on both sides need one round of calls.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from unify_grpc.identity.identifiers import ACCOUNTS, USERS
from unify_grpc.service.shard_sender import StaleRulesError
from unify_grpc.service.sides_in_hand import SidesInHand

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from unify_grpc.machines.links import Decided
    from unify_grpc.machines.owed_sides import ClearedSide
    from unify_grpc.placement.slots import ShardMap
    from unify_grpc.service.clear_sender import ClearSender
    from unify_grpc.service.directory import SpaceDirectory
    from unify_grpc.service.ingest_run import Placed, Run, RunLink
    from unify_grpc.service.link_sender import LinkSender
    from unify_grpc.service.shard_sender import ShardSender, Stored
    from unify_grpc.service.turns import Start, Turn, Turns

    _Calls = list[tuple[list[Placed], asyncio.Future[Stored]]]

STALE_RETRIES_MAX = 5


@dataclass(frozen=True, slots=True)
class Places:
    """A request's turns in the orders of its stream; None where it has nothing to put in order."""

    start: Start
    user_links: Turn | None
    account_sides: Turn | None
    account_links: Turn | None

    @classmethod
    def take(cls, run: Run, turns: Turns) -> Places:
        """Takes the turns that a request needs, now."""
        return cls(
            turns.start(run.space.view.rules.version),
            turns.user_links.take() if run.has_users else None,
            turns.account_sides.take() if run.has_accounts else None,
            turns.account_links.take() if run.has_accounts else None,
        )

    def pass_on(self) -> None:
        """Lets later requests go."""
        self.start.stored()
        for turn in (self.user_links, self.account_sides, self.account_links):
            if turn is not None:
                turn.pass_on()


@dataclass(slots=True)
class Handed:
    """What goes on when everything is durable."""

    links: list[tuple[list[RunLink], asyncio.Future[list[Decided]]]] = field(default_factory=list)
    clears: asyncio.Future[None] | None = None
    """Ends when users and accounts show their links."""

    def futures(self) -> list[asyncio.Future[list[Decided]] | asyncio.Future[None]]:
        """Returns all of it."""
        found: list[asyncio.Future[list[Decided]] | asyncio.Future[None]] = []
        found.extend(future for _, future in self.links)
        return found if self.clears is None else [*found, self.clears]


class SideStoring:
    """Stores requests for an `Ingestor`."""

    def __init__(
        self,
        shard_map: ShardMap,
        directory: SpaceDirectory,
        senders: Sequence[ShardSender],
        links: LinkSender,
        clears: Sequence[ClearSender],
        keep: Callable[[asyncio.Task[object]], None],
    ) -> None:
        """Takes the senders by shard; `keep` holds tasks that nobody waits for."""
        self._shard_map = shard_map
        self._directory = directory
        self._senders = senders
        self._links = links
        self._clears = clears
        self._keep = keep
        self.in_hand = SidesInHand()

    async def store(self, run: Run, places: Places) -> Handed:
        """Stores all sides of a request, and hands its links over when its turns come.

        Raises:
            ShardUnavailableError, StoreFullError, CommandFailedError: some may be stored.
        """
        handed = Handed()
        self.in_hand.take(run)
        try:
            if run.unmet_types or not places.start.has_come:
                await places.start.come()
                await self._meet_types(run)
            waiting = run.indexes()
            for attempt in range(STALE_RETRIES_MAX + 1):
                stale = await self._store_once(run, waiting, places, handed)
                if not stale:
                    break
                if attempt == STALE_RETRIES_MAX:
                    raise StaleRulesError
                await self._directory.renew()
                await places.start.come_again()
                run.promote_again(self._directory.present(run.space), stale)
                await self._meet_types(run)
                waiting = [index for index in stale if index in run.framed]
            for collection, turn in (
                (USERS, places.user_links),
                (ACCOUNTS, places.account_links),
            ):
                self._hand_over(run, collection, turn, handed)
            self._start_clears(run, handed)
        finally:
            places.pass_on()
            if handed.clears is None:
                self._forget(run)
        return handed

    async def _meet_types(self, run: Run) -> None:
        """Has the space meet the types that a request brings, in the order of its events."""
        while types := run.unmet_types:
            run.meet(await self._directory.see_types(run.space, types))

    async def _store_once(
        self, run: Run, indexes: Sequence[int], places: Places, handed: Handed
    ) -> list[int]:
        """Sends what is not stored; returns the events that have to be sent again.

        Those that were promoted under rules that are too old, and all that must not overtake them:
        of them what is stored already is a duplicate then.
        """
        stale: set[int] = set()
        if run.space.view.earlier:
            probes = self._send(run, run.probes())
            stale.update(await self._answers(probes, run.probed))
            if stale:
                # Nothing is sent that was to wait for the answers, nor what asks nobody.
                return sorted(stale.union(indexes))
        calls = self._send(run, run.user_sides(indexes))
        places.start.sent()  # only now: what was asked before must not let later batches overtake
        if run.has_accounts and not run.has_pairs:
            # Nothing waits for a user's side, and nothing could be overtaken.
            calls += await self._send_accounts(run, indexes, places)
        stale.update(await self._answers(calls, run.stored))
        if run.has_pairs or run.owes:
            for place in self._places(run):
                self.in_hand.add(*place)
            if stale:
                # Accounts' sides would come before those of the refused events before them.
                return sorted(stale.union(indexes))
            self._hand_over(run, USERS, places.user_links, handed)
            sent = await self._send_accounts(run, indexes, places)
            stale.update(await self._answers(sent, run.stored))
        return sorted(stale)

    async def _send_accounts(self, run: Run, indexes: Sequence[int], places: Places) -> _Calls:
        """Sends accounts' sides after those of earlier batches; later ones may follow then."""
        turn = places.account_sides
        if turn is not None:
            await turn.come()
        calls = self._send(run, run.account_sides(indexes))
        if turn is not None:
            turn.pass_on()
        return calls

    def _send(self, run: Run, sides: Sequence[Placed]) -> _Calls:
        by_shard: dict[int, list[Placed]] = {}
        shard_of = self._shard_map.shard_of
        for side in sides:
            by_shard.setdefault(shard_of(side.key), []).append(side)
        number, rules = run.space.view.number, run.space.view.rules
        return [
            (
                placed,
                self._senders[shard].send(
                    [side.frame for side in placed], number, rules.version, rules.searchable_traits
                ),
            )
            for shard, placed in by_shard.items()
        ]

    async def _answers(
        self, calls: _Calls, take: Callable[[Sequence[Placed], Stored], None]
    ) -> list[int]:
        """Takes all answers; returns the events whose rules are too old."""
        stale: list[int] = []
        failure: Exception | None = None
        for placed, call in calls:
            try:
                take(placed, await call)
            except StaleRulesError:
                stale.extend(side.event for side in placed)
            except Exception as error:  # noqa: BLE001 - raised when all calls have ended
                failure = error
        if failure is not None:
            raise failure
        return stale

    def _hand_over(self, run: Run, collection: str, turn: Turn | None, handed: Handed) -> None:
        """Hands links over when the turn comes; later ones may follow then."""
        links = run.take_links(collection)
        decided: asyncio.Future[list[Decided]] = asyncio.get_running_loop().create_future()

        def send() -> None:
            if links:
                sent = self._links.send([each.link for each in links])
                sent.add_done_callback(lambda done: _tell(done, decided))

        if turn is None:
            send()
        else:
            turn.use(send)
        if links:
            handed.links.append((links, decided))

    def _start_clears(self, run: Run, handed: Handed) -> None:
        by_shard: dict[int, list[ClearedSide]] = {}
        for member, side in run.cleared_sides():
            by_shard.setdefault(self._shard_map.shard_of(member), []).append(side)
        if not by_shard:
            return
        task = asyncio.get_running_loop().create_task(self._clear(run, by_shard))
        self._keep(task)
        handed.clears = task

    async def _clear(self, run: Run, by_shard: dict[int, list[ClearedSide]]) -> None:
        try:
            calls = [self._clears[shard].send(sides) for shard, sides in by_shard.items()]
            await asyncio.gather(*calls)
        finally:
            self._forget(run)

    def _forget(self, run: Run) -> None:
        self.in_hand.release(run, self._places(run))

    def _places(self, run: Run) -> list[tuple[int, int]]:
        """Returns (shard, log position) of the sides that a request found or left owed."""
        shard_of = self._shard_map.shard_of
        return [(shard_of(side.member), side.position) for side in run.owed_sides()]


def _tell(done: asyncio.Future[list[Decided]], waiting: asyncio.Future[list[Decided]]) -> None:
    """Tells a future what another one ended with."""
    if waiting.done() or done.cancelled():
        return
    failure = done.exception()
    if failure is None:
        waiting.set_result(done.result())
    else:
        waiting.set_exception(failure)
        waiting.exception()
