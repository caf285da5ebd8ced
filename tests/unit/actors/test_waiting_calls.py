"""Callers of the merge actor are answered, or told to wait no longer; never both, never neither."""

from __future__ import annotations

import asyncio

import pytest

from actors.hosting import RefusedError
from actors.waiting_calls import WaitingCalls


async def test_a_call_is_answered_once() -> None:
    """Its answer reaches it, and a second one nobody."""
    calls: WaitingCalls[str] = WaitingCalls()
    waiting = calls.add(1)
    calls.answer(1, "first")
    calls.answer(1, "second")
    calls.answer(2, "nobody's")

    assert "first" == await waiting


async def test_only_those_who_waited_long_are_refused() -> None:
    """Younger calls go on waiting; a refused one is not answered any more."""
    calls: WaitingCalls[str] = WaitingCalls()
    loop = asyncio.get_running_loop()
    old = calls.add(1)
    calls._calls[1] = loop.time() - 2.0, old
    young = calls.add(2)
    calls.refuse("full", waited_s_min=1.0)
    calls.answer(1, "late")
    calls.answer(2, "in time")

    with pytest.raises(RefusedError, match="full"):
        await old
    assert "in time" == await young


async def test_all_can_be_refused() -> None:
    """Without a time, everybody is told."""
    calls: WaitingCalls[str] = WaitingCalls()
    waiting = [calls.add(number) for number in range(3)]
    calls.refuse("full")

    for each in waiting:
        with pytest.raises(RefusedError):
            await each
