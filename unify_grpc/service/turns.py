"""The orders that the batches of one stream keep, however many of them are under way."""

from __future__ import annotations

import asyncio
import secrets
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Turn:
    """The place of one batch in an order: it waits for those before it, and lets the next go."""

    def __init__(self, before: asyncio.Future[None] | None, own: asyncio.Future[None]) -> None:
        self._before = before
        self._own = own
        self._is_passed = False

    @property
    def has_come(self) -> bool:
        """Whether all before it have passed their turn on."""
        return self._before is None or self._before.done()

    async def come(self) -> None:
        """Waits until all before it have passed their turn on."""
        if self._before is not None:
            await self._before

    def use(self, act: Callable[[], object]) -> None:
        """Does something as soon as the turn has come, and passes the turn on.

        Once it is passed on, whatever comes after that is in no order and is done at once.
        """
        if self._is_passed:
            act()
            return
        self._is_passed = True
        if self._before is None or self._before.done():
            self._act(act)
            return
        self._before.add_done_callback(lambda _: self._act(act))

    def pass_on(self) -> None:
        """Lets the next go, as soon as its own turn has come; a second time it does nothing."""
        self.use(_nothing)

    def _act(self, act: Callable[[], object]) -> None:
        try:
            act()
        finally:
            self._own.set_result(None)


class Start:
    """When the first sides of one batch may be sent, and what the batches after it wait for."""

    def __init__(self, unstored: dict[int, Start], number: int, rules_version: int) -> None:
        """Takes its place in a stream.

        Args:
            unstored: the stream's batches that are not stored yet, by number, in their order.
            number: its own, higher than any before.
            rules_version: that it is promoted under.
        """
        self._unstored = unstored
        self._number = number
        self.rules_version = rules_version
        self.is_sent = asyncio.Event()
        self.is_stored = asyncio.Event()
        unstored[number] = self

    @property
    def has_come(self) -> bool:
        """Whether nothing that was sent later could overtake an earlier batch."""
        before = self._last_before()
        if before is None:
            return True
        # A shard that knows newer rules refuses the earlier batch, which then comes again.
        return before.is_sent.is_set() and before.rules_version == self.rules_version

    async def come(self) -> None:
        """Waits until this batch may be sent."""
        while not self.has_come:
            before = self._last_before()
            assert before is not None
            await (before.is_stored if before.is_sent.is_set() else before.is_sent).wait()

    async def come_again(self) -> None:
        """Waits until what was refused may be sent again: all before it is stored."""
        while (before := self._last_before()) is not None:
            await before.is_stored.wait()

    def sent(self) -> None:
        """Lets the next batch be sent, if it is of the same rules."""
        self.is_sent.set()

    def stored(self) -> None:
        """Lets the next batch be sent: of this one nothing will be sent any more."""
        self.is_sent.set()
        self.is_stored.set()
        self._unstored.pop(self._number, None)

    def _last_before(self) -> Start | None:
        """Returns the last batch before it that is not stored; later ones are a window at most."""
        for number in reversed(self._unstored):
            if number < self._number:
                return self._unstored[number]
        return None


def _nothing() -> None:
    """What a turn is for that only lets others go."""


class Order:
    """Gives turns in the order in which it is asked for them."""

    def __init__(self) -> None:
        self._last: asyncio.Future[None] | None = None

    def take(self) -> Turn:
        """Returns the next turn; whoever takes it must pass it on."""
        before, self._last = self._last, asyncio.get_running_loop().create_future()
        return Turn(before, self._last)


class Turns:
    """The orders of one stream, or of one unary request.

    Users and accounts never meet in a decision, so each collection has its own.
    """

    def __init__(self) -> None:
        self.stream = secrets.randbits(63)
        self._unstored: dict[int, Start] = {}
        self._batches_count = 0
        self.user_links = Order()
        """In which links of users are handed over."""
        self.account_sides = Order()
        """In which accounts' sides are sent: some wait for their users' sides, and later
        batches must not overtake them."""
        self.account_links = Order()

    def start(self, rules_version: int) -> Start:
        """Returns when the next batch, promoted under these rules, may be sent."""
        self._batches_count += 1
        return Start(self._unstored, self._batches_count, rules_version)
