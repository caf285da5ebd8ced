"""Who tails a space hears of news, and however many there are, the shards are asked once."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from unify_grpc.machines.list_questions import TailedEvents
from unify_grpc.placement.slots import ShardMap
from unify_grpc.service import tailing
from unify_grpc.service.errors import ShardUnavailableError
from unify_grpc.service.tailing import TailPulse


class Reader:
    """Shards whose logs end somewhere."""

    shard_map = ShardMap(2)

    def __init__(self) -> None:
        self.ends = [10, 20]
        self.asked = 0
        self.is_up = True

    async def run(self, reading: Any) -> Any:
        """Answers the one question of a reading."""
        self.asked += 1
        await asyncio.sleep(0)
        if not self.is_up:
            raise ShardUnavailableError
        questions = next(reading)
        answers = {shard: [TailedEvents([], self.ends[shard], is_end=True)] for shard in questions}
        try:
            reading.send(answers)
        except StopIteration as stop:
            return stop.value


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch) -> Reader:
    """Shards that are asked without pauses."""
    monkeypatch.setattr(tailing, "POLL_INTERVAL_S", 0.001)
    return Reader()


def pulse_of(reader: Reader) -> TailPulse:
    """A pulse over these shards."""
    return TailPulse(reader)  # type: ignore[arg-type]  # a part of it


async def test_news_end_the_wait(reader: Reader) -> None:
    """Of any shard, for everybody who waits, at their own positions."""
    pulse = pulse_of(reader)
    await pulse.wait(1, [0, 20], 5.0)
    waiting = [asyncio.ensure_future(pulse.wait(1, [10, 20], 5.0)) for _ in range(50)]
    asked = reader.asked
    while reader.asked < asked + 3:  # noqa: ASYNC110 - what it waits for has no event
        await asyncio.sleep(0)
    assert not any(each.done() for each in waiting)
    assert reader.asked < 50
    reader.ends[1] = 21
    async with asyncio.timeout(5):
        await asyncio.gather(*waiting)


async def test_without_news_the_wait_ends_by_itself(reader: Reader) -> None:
    """And when nobody waits any more, nobody asks."""
    pulse = pulse_of(reader)
    await pulse.wait(1, [10, 20], 0.02)
    async with asyncio.timeout(5):
        while pulse._polls:  # noqa: ASYNC110 - what it waits for has no event
            await asyncio.sleep(0)


async def test_a_shard_that_is_away_ends_the_wait(reader: Reader) -> None:
    """Whoever reads next hears of it; afterwards the pulse goes on."""
    pulse = pulse_of(reader)
    reader.is_up = False
    async with asyncio.timeout(5):
        await pulse.wait(1, [10, 20], 30.0)
    reader.is_up = True
    reader.ends[0] = 11
    async with asyncio.timeout(5):
        await pulse.wait(1, [10, 20], 30.0)
