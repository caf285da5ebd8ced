"""Refused events are kept before their callers are told, if that can be had in a moment."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from unify_grpc.identity.identifiers import KeyMaker
from unify_grpc.identity.outcomes import RejectionReason
from unify_grpc.identity.rules import Rules
from unify_grpc.machines.batch import Batch, Body
from unify_grpc.machines.framing import MarkMaker, SpaceView
from unify_grpc.machines.links import Append
from unify_grpc.machines.refusals import refusal_in
from unify_grpc.placement.slots import ShardMap
from unify_grpc.service import refusals
from unify_grpc.service.refusals import RefusalKeeper
from unify_grpc.service.refused_event import RefusedEvent
from unify_grpc.service.shard_sender import ShardSender

if TYPE_CHECKING:
    from collections.abc import Callable

SHARD_MAP = ShardMap(2)


def space(version: int) -> Any:
    """A space under a version of its rules."""
    rules = Rules.from_document({}, version)
    return SimpleNamespace(view=SpaceView(1, rules, KeyMaker(b"k" * 32), MarkMaker(b"m" * 32)))


def run_of(count: int) -> Any:
    """A request whose events were all refused."""
    refused = [
        RefusedEvent(RejectionReason.TOO_DEEP, "track", Body(f"m{at}"), (), (), 1000 + at)
        for at in range(count)
    ]
    return SimpleNamespace(space=space(1), source=5, stream=7, refused=lambda: refused)


class Shards:
    """A backend that keeps what it is sent, unless it is away or knows newer rules."""

    def __init__(self) -> None:
        self.kept: list[str] = []
        self.stale_below = 0
        self.is_back = asyncio.Event()
        self.is_back.set()

    async def append(self, shard: int, batch: bytes) -> Append:
        """Takes a batch in."""
        await self.is_back.wait()
        opened = Batch(batch)
        stale = {number: 2 for number, version in opened.rules if version < self.stale_below}
        if stale:
            return Append(stale, b"", b"", [], {})
        for at in range(len(opened.offsets)):
            frame = opened.frame(at)
            assert shard == SHARD_MAP.shard_of(frame.mark)
            assert (5, 7) == (frame.source, frame.stream)
            self.kept.append(refusal_in(opened, at, frame).body.message_id)
        count = len(opened.offsets)
        return Append({}, bytes(count), bytes(20 * count), [], {})


class Directory:
    """Knows version 2 of the rules, once it is asked."""

    async def renew(self) -> None:
        """Asks control."""

    @staticmethod
    def present(known: Any) -> Any:
        """Returns the space as it is by now."""
        del known
        return space(2)


def keeper_of(shards: Shards) -> RefusalKeeper:
    """A keeper that sends to these shards."""
    senders = [
        ShardSender(shard, shards, queue_events_max=100)  # type: ignore[arg-type]  # a part of it
        for shard in range(2)
    ]
    tasks: list[object] = []
    keep: Callable[[asyncio.Task[object]], None] = tasks.append
    return RefusalKeeper(SHARD_MAP, Directory(), senders, keep)  # type: ignore[arg-type]  # a part


async def test_refused_events_go_to_the_shards_of_their_ids() -> None:
    """All of them are kept when it returns, each at one shard."""
    shards = Shards()
    await keeper_of(shards).keep(run_of(20), timeout_s=5.0)

    assert sorted(f"m{at}" for at in range(20)) == sorted(shards.kept)


async def test_newer_rules_do_not_lose_a_refusal() -> None:
    """A shard that knows newer rules is shown that the gateway knows them too."""
    shards = Shards()
    shards.stale_below = 2
    await keeper_of(shards).keep(run_of(3), timeout_s=5.0)

    assert ["m0", "m1", "m2"] == sorted(shards.kept)


async def test_nobody_waits_long_for_a_shard_that_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """The caller is told; the refusal is kept when the shard is back."""
    monkeypatch.setattr(refusals, "WAIT_S_MAX", 0.02)
    shards = Shards()
    shards.is_back.clear()
    async with asyncio.timeout(5):
        await keeper_of(shards).keep(run_of(2), timeout_s=5.0)
    assert [] == shards.kept
    shards.is_back.set()
    while len(shards.kept) < 2:  # noqa: ASYNC110 - what it waits for has no event
        await asyncio.sleep(0)

    assert ["m0", "m1"] == sorted(shards.kept)
