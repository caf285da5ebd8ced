"""When batches of a stream may be sent, by the rules they were promoted under."""

from __future__ import annotations

import asyncio
import weakref

from unify_grpc.service.turns import Turns


async def test_a_batch_follows_one_of_the_same_rules_that_was_sent() -> None:
    """It waits neither for its answer nor for that of any before it."""
    turns = Turns()
    first, second = turns.start(1), turns.start(1)
    assert not second.has_come
    first.sent()

    assert second.has_come


async def test_a_batch_of_other_rules_waits_for_all_before_it() -> None:
    """The one before may be stored while one before that was refused, and comes again."""
    turns = Turns()
    first, second, third = (turns.start(version) for version in (1, 1, 2))
    first.sent()
    second.stored()
    waiting = asyncio.create_task(third.come())
    for _ in range(5):
        await asyncio.sleep(0)
    assert not third.has_come
    assert not waiting.done()
    first.stored()
    await waiting

    assert third.has_come


async def test_what_was_refused_comes_again_behind_all_before_it() -> None:
    """Not only behind the batch right before it, which another shard may have taken."""
    turns = Turns()
    first, second, third = (turns.start(1) for _ in range(3))
    for each in (first, second, third):
        each.sent()
    second.stored()
    waiting = asyncio.create_task(third.come_again())
    for _ in range(5):
        await asyncio.sleep(0)
    assert not waiting.done()
    first.stored()
    await waiting


async def test_nothing_overtakes_a_batch_that_was_not_sent() -> None:
    """Neither does what comes behind a batch between them that has ended."""
    turns = Turns()
    first, second, third = (turns.start(1) for _ in range(3))
    second.stored()

    assert not third.has_come
    first.sent()
    assert third.has_come


async def test_a_long_stream_remembers_no_batch_that_is_stored() -> None:
    """Who stays connected for weeks, with batches under way all the time, costs no more for it."""
    turns = Turns()
    before = turns.start(1)
    forgotten = []
    for _ in range(100):
        before.sent()
        following = turns.start(1)
        forgotten.append(weakref.ref(before))
        before.stored()
        before = following

    assert [None] * 100 == [each() for each in forgotten]
