"""Finishes what gateways that ended have begun: accounts' sides that are owed for too long.

Every gateway sweeps, and several may find the same side: the account's shard knows the message, and
a mark that is gone is passed over. Links that follow are left to the merge actor's own sweep.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

from unify_grpc.machines.batch import FRAME_BYTES
from unify_grpc.machines.owed_sides import ClearedSide
from unify_grpc.machines.sweeping import sides_in_order
from unify_grpc.placement.members import KEY_BYTES, member_of
from unify_grpc.telemetry.logs import get_logger

if TYPE_CHECKING:
    from collections.abc import Sequence

    from unify_grpc.machines.owed_sides import OwedSide
    from unify_grpc.service.backend import Backend
    from unify_grpc.service.clear_sender import ClearSender
    from unify_grpc.service.directory import SpaceDirectory
    from unify_grpc.service.shard_sender import ShardSender
    from unify_grpc.service.sides_in_hand import SidesInHand

SWEEP_INTERVAL_S: Final = 1.0
SWEEP_AGE_US: Final = 1_000_000
SWEEP_SIDES_MAX: Final = 200
"""Of each shard and sweep; they are listed with their payloads, so 6 MB at most."""


class OwedSweeper:
    """Sweeps for one gateway."""

    def __init__(
        self,
        backend: Backend,
        directory: SpaceDirectory,
        senders: Sequence[ShardSender],
        clears: Sequence[ClearSender],
        in_hand: SidesInHand,
    ) -> None:
        """Takes the gateway's senders by shard, and what it is about to send."""
        self._backend = backend
        self._directory = directory
        self._senders = senders
        self._clears = clears
        self._in_hand = in_hand

    async def run(self) -> None:
        """Sweeps at once, and then each second."""
        log = get_logger("gateway")
        while True:
            try:
                while await self.sweep(time.time_ns() // 1000 - SWEEP_AGE_US) >= SWEEP_SIDES_MAX:
                    pass
            except Exception as error:  # noqa: BLE001 - tried again in a moment
                log.warning("owed_sides_not_swept", error=type(error).__name__)
            await asyncio.sleep(SWEEP_INTERVAL_S)

    async def sweep(self, before_us: int) -> int:
        """Finishes sides received before a moment, in microseconds since 1970.

        Returns:
            How many were finished; one that cannot be is left, and the others go on.

        Raises:
            ShardUnavailableError, StoreFullError: some shard does not answer or has no room.
        """
        shards = range(len(self._senders))
        listed = await asyncio.gather(
            *(
                self._backend.list_owed(shard, before_us=before_us, sides_max=SWEEP_SIDES_MAX)
                for shard in shards
            )
        )
        spaces = {space.record.number: space for space in self._directory.spaces()}
        sides = [
            (shard, side)
            for shard, side in sides_in_order(listed, SWEEP_SIDES_MAX)
            if side.space in spaces and not self._in_hand.holds(shard, side)
        ]
        shard_of = self._backend.shard_map.shard_of
        calls = []
        for _, side in sides:
            rules = spaces[side.space].view.rules
            sender = self._senders[shard_of(_account_key(side))]
            calls.append(
                sender.send([side.frame], side.space, rules.version, rules.searchable_traits)
            )
        cleared: dict[int, list[ClearedSide]] = {}
        failures: list[Exception] = []
        for (shard, side), call in zip(sides, calls, strict=True):
            try:
                stored = await call
            except Exception as error:  # noqa: BLE001 - raised when all that can be is done
                failures.append(error)
                continue
            member = member_of(_account_key(side), stored.lives.get(0, 0))
            cleared.setdefault(shard, []).append(ClearedSide(side.position, member))
        await asyncio.gather(*(self._clears[shard].send(sides) for shard, sides in cleared.items()))
        if failures:
            raise failures[0]
        return len(sides)


def _account_key(side: OwedSide) -> bytes:
    return side.frame[FRAME_BYTES : FRAME_BYTES + KEY_BYTES]
