"""The sending process: builds its traffic before it is sent, and does what it is told.

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
from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING

from bench.components import (
    Partition,
    describe_counts,
    describe_partition,
    describe_traits,
)
from bench.conversation import (
    BUILD,
    CHECK,
    DELETE,
    PARTITION,
    READ,
    READ_HTTP,
    SEND,
    SEND_HTTP,
    SEND_TO_NOBODY,
    Built,
    Checked,
    Order,
    Part,
)
from bench.deletion import Deletion, delete_identifier, draw_deletion
from bench.http_sender import read_traits, send_batches, send_to_nobody
from bench.ledger import Tally
from bench.profile_check import ProfileCheck, check_profiles
from bench.sender import Sender
from bench.streams import make_streams
from bench.trait_reader import TraitReader
from bench.workload import Mix, Stream, check_sample, hot_sample

if TYPE_CHECKING:
    from bench.conversation import Answered, Deleted, Reads, Sent
    from bench.ledger import Ledger, Name


class Client:
    """Has everything ready that an order asks for, and does it in the order's sequence."""

    def __init__(self, order: Order) -> None:
        """Builds all parts, unless each is to be built before it is sent.

        What follows a deletion is built knowing of it.
        """
        self._order = order
        self._streams = make_streams(order)
        self._unbuilt = deque(order.parts)
        self._parts: deque[list[list[bytes]]] = deque()
        self._deletions: deque[Deletion] = deque()
        self._parted: list[tuple[Name, Ledger]] = []
        self._check = ProfileCheck(order.access_token)
        self._members_before: list[tuple[Name, bytes]] = []
        """Whose traits can be read while the next part is sent."""
        self.built = Built([], [], 0)
        self._random = Random(f"{order.seed}/deletions")
        while order.is_built_ahead and self._unbuilt:
            built = self._build_next()
            self.built = self.built.plus(built)

    def _build_next(self) -> Built:
        part = self._unbuilt.popleft()
        self._members_before = self._members()
        batches, tally = _build(self._streams, part, self._order.batch)
        self._parts.append(batches)
        if part.deletes:
            ledger = self._random.choice(self._streams).ledger
            deletion = draw_deletion(ledger, self._random)
            self._deletions.append(deletion)
            self._parted.append((deletion.named, ledger))
        profiles_count = sum(stream.ledger.profiles_count for stream in self._streams)
        return Built([tally], [_combinations_count(self._streams)], profiles_count)

    async def do(
        self, step: str, address: str, *numbers: int
    ) -> Built | Sent | Answered | Reads | Deleted | Checked | Partition:
        """Does the next of what a step asks for."""
        order = self._order
        if step in {SEND_HTTP, SEND_TO_NOBODY, READ_HTTP}:
            return self._do_http(step, address, *numbers)
        if step == BUILD:
            return self._build_next()
        if step == SEND:
            return await self._send(address, *numbers)
        if step == READ:
            return await self._trait_reader(address, self._members()).read(*numbers)
        if step == DELETE:
            return await delete_identifier(address, self._deletions.popleft(), self._check)
        if step == PARTITION:
            sent = [profile for stream in self._streams for profile in stream.sent.profiles()]
            counts = [each for stream in self._streams for each in stream.sent.anchor_counts()]
            return replace(
                describe_partition(sent),
                anchors_checksum=describe_counts(counts),
                traits_checksum=describe_traits(
                    (name.value, json.loads(traits)) for name, traits in self._members()
                ),
            )
        assert step == CHECK, f"no such step: {step}"
        sample = check_sample(self._streams, order.seed, order.profiles_checked)
        sample += hot_sample(self._streams) + self._parted
        await check_profiles(address, self._check, sample)
        return Checked(self._check.profiles_count, self._check.wrong, self._check.checksum)

    async def _send(self, address: str, events_per_s: int, readers: int) -> Sent:
        """Sends the next part: at that rate, unless it is 0, and with so many readers beside."""
        order = self._order
        part = order.parts[len(order.parts) - len(self._unbuilt) - len(self._parts)]
        sender = Sender(address, order.write_key, order.window)
        interval_s = 0.0
        if events_per_s:
            interval_s = order.batch * order.streams / events_per_s
        reader = self._trait_reader(address, self._members_before) if readers else None
        sending = asyncio.ensure_future(
            sender.send(self._parts.popleft(), is_unary=part.is_unary, interval_s=interval_s)
        )
        if reader is None:
            return await sending
        reads = await reader.read_beside(readers, sending)
        return dataclasses.replace(await sending, reads=reads)

    def _do_http(self, step: str, address: str, *numbers: int) -> Sent | Answered:
        order = self._order
        if step == SEND_TO_NOBODY:
            return send_to_nobody(address, self._parts[0])
        if step == SEND_HTTP:
            return send_batches(address, order.write_key, self._parts.popleft())
        callers, count, is_empty = numbers
        return read_traits(
            address,
            order.access_token,
            self._members(),
            callers=callers,
            count=count,
            is_empty=bool(is_empty),
        )

    def _members(self) -> list[tuple[Name, bytes]]:
        """Returns everybody with traits, in an order drawn by chance, and their traits as JSON."""
        people = [
            (name, traits)
            for stream in self._streams
            for name, (_, traits) in stream.traits.items()
        ]
        Random(f"{self._order.seed}/reads").shuffle(people)
        return people

    def _trait_reader(self, address: str, people: list[tuple[Name, bytes]]) -> TraitReader:
        return TraitReader(address, self._order.access_token, people)


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
        step, address, *numbers = line.split()
        _say(asyncio.run(client.do(step, address, *map(int, numbers))))


def _build(streams: list[Stream], part: Part, batch: int) -> tuple[list[list[bytes]], Tally]:
    """Returns the batches of each stream, and what is in all of them."""
    built: list[list[bytes]] = []
    total = Tally()
    batch = part.batch_max or batch
    streams = streams[: part.streams or len(streams)]
    for stream in streams:
        events = part.events // len(streams)
        batches, tally = stream.batches(
            events, batch_events=batch, mix=part.mix, batch_events_min=part.batch_min
        )
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


def _say(step: Built | Sent | Answered | Reads | Deleted | Checked | Partition) -> None:
    sys.stdout.write(json.dumps(dataclasses.asdict(step)) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
