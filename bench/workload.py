"""Known traffic, seeded: the same parameters give the same bytes and the same expectation.

Each stream has people of its own, so that what the service must end up with does not depend on
how streams interleave. People arrive one by one; who acts next follows a Zipf-like law over their
age. Some deliveries come late, some twice.
"""

from __future__ import annotations

import heapq
from random import Random
from typing import TYPE_CHECKING, Final, NamedTuple

from bench.components import Components
from bench.event_writer import write_batch, write_event
from bench.ledger import EMAIL, USER_ID, Ledger, Name, rank
from bench.people import HURRIED, USUAL, Action, Device, Person
from unify_grpc._pb.unify.v1 import event_pb2

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.ledger import Tally

ZIPF_SHIFT: Final = 100
"""Of usual traffic: the busiest person is no hot key, which is another scenario."""
EVEN_SHIFT: Final = 1_000_000
"""Of traffic in which everybody acts about as often."""
LATE_SHARE: Final = 0.03
REPEATED_SHARE: Final = 0.01
DELAY_EVENTS_MAX: Final = 3_000
"""A late or repeated delivery comes up to this many events of its stream later."""
START_US: Final = 1_750_000_000_000_000
STEP_US: Final = 40_000
"""Between two events of a stream, by the clocks of devices."""
HOT_NAME: Final = Name(USER_ID, "u-hot")
"""The one identifier that all streams share, in traffic with a hot key."""
HOT_DEVICE_SHARE: Final = 0.5
"""Of its events that come from its one device; a server sends the others."""

_Names = tuple[Name, ...]


class Mix(NamedTuple):
    """Who acts."""

    arrivals: int
    """Of 1,000 events, how many are somebody's first."""
    zipf_shift: int
    """Person number i acts with weight 1 / (i + this)."""
    recent: int = 0
    """Only so many of those who came last act, one as often as the other; 0: everybody."""
    is_hurried: bool = False
    """Whether those who arrive are `HURRIED`."""
    hot: int = 0
    """Of 1,000 events, how many are those of `HOT_NAME`."""


class Stream:
    """The traffic of one caller."""

    late_share = LATE_SHARE
    repeated_share = REPEATED_SHARE

    def __init__(self, seed: int, number: int, *, keeps_traits: bool = False) -> None:
        """Takes the workload's seed and the stream's number.

        Args:
            seed: of the workload.
            number: of the stream.
            keeps_traits: whether `traits` is kept, for scenarios that read them.
        """
        self._random = Random(f"{seed}/{number}")
        self._number = number
        self._people: list[Person] = []
        self._events = 0
        self._delivered = 0
        self._delayed: list[tuple[int, int, bool, _Names, bytes]] = []
        self.ledger = Ledger()
        self.hot_ledger = Ledger()
        """Of `HOT_NAME`: this stream's part of it."""
        self._hot_device = Device(Random("hot"), "hot")
        self._keeps_traits = keeps_traits
        self.traits: dict[Name, tuple[tuple[int, str], bytes]] = {}
        """By `user_id`: time and message id of the newest that was delivered, and as JSON."""
        self.sent = Components()
        """Who belongs together of all that was sent, were there no limits."""

    def batches(
        self, events: int, *, batch_events: int, mix: Mix, batch_events_min: int = 0
    ) -> tuple[list[bytes], Tally]:
        """Returns the next part of the stream as serialised requests, and what is in it.

        Args:
            events: deliveries in all; the last batch may be smaller than the others.
            batch_events: deliveries in a batch.
            mix: who acts.
            batch_events_min: sizes are drawn from here to `batch_events`; 0: none is drawn.
        """
        deliveries = self._deliver(mix)
        batches = []
        left = events
        while left:
            size = batch_events
            if batch_events_min:
                size = self._random.randint(batch_events_min, batch_events)
            size = min(size, left)
            batches.append(write_batch([next(deliveries) for _ in range(size)]))
            left -= size
        tally = self.ledger.take_tally()
        tally.add(self.hot_ledger.take_tally())
        return batches, tally

    def _deliver(self, mix: Mix) -> Iterator[bytes]:
        """Yields events in the order in which they reach the service, and accounts for them."""
        random, tally, delayed = self._random, self.ledger.tally, self._delayed
        while True:
            if delayed and delayed[0][0] <= self._delivered:
                _, _, is_repeat, names, data = heapq.heappop(delayed)
                tally.late_count += not is_repeat
            else:
                names, data = self._happen(mix)
                is_repeat = False
                if random.random() < self.late_share:
                    self._delay(names, data, is_repeat=False)
                    continue
            self._delivered += 1
            tally.events_count += 1
            tally.bytes_count += len(data)
            count = len(names)
            tally.by_identifiers[count] = tally.by_identifiers.get(count, 0) + 1
            if is_repeat:
                tally.repeats_count += 1
            else:
                ledger = self.hot_ledger if names[0] == HOT_NAME else self.ledger
                ledger.deliver(names)
                if self._keeps_traits:
                    self._note_traits(names, data)
                self.sent.add(names)
                if random.random() < self.repeated_share:
                    self._delay(names, data, is_repeat=True)
            yield data

    def _happen(self, mix: Mix) -> tuple[_Names, bytes]:
        """Lets somebody do something."""
        random, people = self._random, self._people
        if mix.hot and random.random() < mix.hot / 1000:
            return self._write(self._act_hot())
        if not people or random.random() < mix.arrivals / 1000:
            neighbour = people[-1] if people else None
            habits = HURRIED if mix.is_hurried else USUAL
            people.append(Person(random, f"{self._number}-{len(people)}", neighbour, habits))
            person = people[-1]
        elif mix.recent:
            person = people[-random.randint(1, min(mix.recent, len(people)))]
        else:
            # Uniform in the logarithm, which makes the weights of the numbers those of Zipf's law.
            shift = mix.zipf_shift
            span = (len(people) + shift) / shift
            person = people[int(shift * span ** random.random()) - shift]
        return self._write(person.act(random))

    def _act_hot(self) -> Action:
        """Returns what whoever is behind the hot key does next."""
        if self._random.random() < HOT_DEVICE_SHARE:
            device = self._hot_device
            return Action([HOT_NAME, *device.names()], device, is_identify=False)
        return Action([HOT_NAME], None, is_identify=False)

    def _write(self, action: Action) -> tuple[_Names, bytes]:
        """Returns an action's identifiers and its event."""
        random = self._random
        self._events += 1
        message_id = f"msg-{self._number}-{self._events}-{random.getrandbits(48):012x}"
        time_us = START_US + self._events * STEP_US
        data = write_event(random, action, message_id, time_us)
        return tuple(sorted(action.names, key=rank)), data

    def _note_traits(self, names: _Names, data: bytes) -> None:
        if EMAIL not in {name.type for name in names}:
            return
        event = event_pb2.Event.FromString(data)
        time = event.original_timestamp
        age = (time.seconds * 1_000_000_000 + time.nanos, event.message_id)
        if age >= self.traits.get(names[0], (age, b""))[0]:
            self.traits[names[0]] = age, event.traits_json

    def _delay(self, names: _Names, data: bytes, *, is_repeat: bool) -> None:
        due = self._delivered + self._random.randint(1, DELAY_EVENTS_MAX)
        heapq.heappush(self._delayed, (due, self._events, is_repeat, names, data))


def hot_sample(streams: list[Stream]) -> list[tuple[Name, Ledger]]:
    """Returns `HOT_NAME`, if it was delivered, with what all streams together know of it."""
    together = Ledger()
    for stream in streams:
        together.absorb(stream.hot_ledger)
    return [(HOT_NAME, together)] if together.names() else []


def check_sample(streams: list[Stream], seed: int, count: int) -> list[tuple[Name, Ledger]]:
    """Returns identifiers to look up, each with the ledger that knows what is to be found."""
    random = Random(f"{seed}/sample")
    known = [(name, stream.ledger) for stream in streams for name in stream.ledger.names()]
    return random.sample(known, min(count, len(known)))
