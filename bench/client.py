"""The sending process: builds its traffic beforehand, then does what it is told, step by step.

Started by `client_process`. Reads a step and an address a line from standard input and answers
each with one JSON object a line on standard output, so that the process that started it can look
at the clocks in between.
"""

from __future__ import annotations

import asyncio
import dataclasses
import gc
import json
import sys
from collections import deque
from random import Random
from typing import TYPE_CHECKING

from bench.conversation import CHECK, DELETE, SEND, Built, Checked, Order, Part
from bench.deletion import Deletion, delete_identifier, draw_deletion
from bench.ledger import Tally
from bench.profile_check import ProfileCheck, check_profiles
from bench.sender import Sender
from bench.workload import Mix, Stream, check_sample

if TYPE_CHECKING:
    from bench.conversation import Deleted, Sent
    from bench.ledger import Ledger, Name


class Client:
    """Has everything ready that an order asks for, and does it in the order's sequence."""

    def __init__(self, order: Order) -> None:
        """Builds all parts; what follows a deletion is built knowing of it."""
        self._order = order
        self._streams = [Stream(order.seed, number) for number in range(order.streams)]
        self._parts: deque[list[list[bytes]]] = deque()
        self._deletions: deque[Deletion] = deque()
        self._parted: list[tuple[Name, Ledger]] = []
        self._check = ProfileCheck(order.access_token)
        self.built = Built([], [])
        random = Random(f"{order.seed}/deletions")
        for part in order.parts:
            batches, tally = _build(self._streams, part, order.batch)
            self._parts.append(batches)
            self.built.tallies.append(tally)
            self.built.combinations_counts.append(_combinations_count(self._streams))
            if part.deletes:
                ledger = random.choice(self._streams).ledger
                deletion = draw_deletion(ledger, random)
                self._deletions.append(deletion)
                self._parted.append((deletion.named, ledger))

    async def do(self, step: str, address: str) -> Sent | Deleted | Checked:
        """Does the next of what a step asks for."""
        order = self._order
        if step == SEND:
            sender = Sender(address, order.write_key, order.window)
            return await sender.send(self._parts.popleft())
        if step == DELETE:
            return await delete_identifier(address, self._deletions.popleft(), self._check)
        assert step == CHECK, f"no such step: {step}"
        sample = check_sample(self._streams, order.seed, order.profiles_checked)
        await check_profiles(address, self._check, sample + self._parted)
        return Checked(self._check.profiles_count, self._check.wrong, self._check.checksum)


def main() -> None:
    """Does what it is told until standard input ends."""
    order = json.loads(sys.argv[1])
    parts = tuple(Part(**{**each, "mix": Mix(*each["mix"])}) for each in order.pop("parts"))
    client = Client(Order(**order, parts=parts))
    # What was built stays until it is sent: looking through it for garbage would cost the send.
    gc.freeze()
    gc.disable()
    _say(client.built)
    for line in sys.stdin:
        step, address = line.split()
        _say(asyncio.run(client.do(step, address)))


def _build(streams: list[Stream], part: Part, batch: int) -> tuple[list[list[bytes]], Tally]:
    """Returns the batches of each stream, and what is in all of them."""
    built: list[list[bytes]] = []
    total = Tally()
    for stream in streams:
        events = part.events // len(streams)
        batches, tally = stream.batches(events, batch_events=batch, mix=part.mix)
        while stream.ledger.combinations_count * len(streams) < part.combinations:
            if (tally.events_count + batch) * len(streams) > part.events_max:
                sys.exit(f"{part.events_max:,} events do not make enough combinations known")
            more, counted = stream.batches(batch, batch_events=batch, mix=part.mix)
            batches += more
            tally.add(counted)
        built.append(batches)
        total.add(tally)
    return built, total


def _combinations_count(streams: list[Stream]) -> int:
    return sum(stream.ledger.combinations_count for stream in streams)


def _say(step: Built | Sent | Deleted | Checked) -> None:
    sys.stdout.write(json.dumps(dataclasses.asdict(step)) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
