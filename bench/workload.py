"""Known traffic, seeded: the same parameters give the same bytes and the same expectation.

Each stream has people of its own, so that what the service must end up with does not depend on
how streams interleave. People arrive one by one; who acts next follows a Zipf-like law over their
age. Some deliveries come late, some twice.
"""

from __future__ import annotations

import heapq
from random import Random
from typing import TYPE_CHECKING, Final, NamedTuple

from bench.event_writer import write_batch, write_event
from bench.ledger import Ledger, Name, rank
from bench.people import Person

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

_Names = tuple[Name, ...]


class Mix(NamedTuple):
    """Who acts."""

    arrivals: int
    """Of 1,000 events, how many are somebody's first."""
    zipf_shift: int
    """Person number i acts with weight 1 / (i + this)."""


class Stream:
    """The traffic of one caller."""

    def __init__(self, seed: int, number: int) -> None:
        """Takes the workload's seed and the stream's number."""
        self._random = Random(f"{seed}/{number}")
        self._number = number
        self._people: list[Person] = []
        self._events = 0
        self._delivered = 0
        self._delayed: list[tuple[int, int, bool, _Names, bytes]] = []
        self.ledger = Ledger()

    def batches(self, events: int, *, batch_events: int, mix: Mix) -> tuple[list[bytes], Tally]:
        """Returns the next part of the stream as serialised requests, and what is in it.

        Args:
            events: deliveries in all; the last batch may be smaller than the others.
            batch_events: deliveries in a batch.
            mix: who acts.
        """
        deliveries = self._deliver(mix)
        batches = []
        for start in range(0, events, batch_events):
            size = min(batch_events, events - start)
            batches.append(write_batch([next(deliveries) for _ in range(size)]))
        return batches, self.ledger.take_tally()

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
                if random.random() < LATE_SHARE:
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
                self.ledger.deliver(names)
                if random.random() < REPEATED_SHARE:
                    self._delay(names, data, is_repeat=True)
            yield data

    def _happen(self, mix: Mix) -> tuple[_Names, bytes]:
        """Lets somebody do something."""
        random, people = self._random, self._people
        self._events += 1
        if not people or random.random() < mix.arrivals / 1000:
            neighbour = people[-1] if people else None
            people.append(Person(random, f"{self._number}-{len(people)}", neighbour))
            person = people[-1]
        else:
            # Uniform in the logarithm, which makes the weights of the numbers those of Zipf's law.
            shift = mix.zipf_shift
            span = (len(people) + shift) / shift
            person = people[int(shift * span ** random.random()) - shift]
        action = person.act(random)
        message_id = f"msg-{self._number}-{self._events}-{random.getrandbits(48):012x}"
        time_us = START_US + self._events * STEP_US
        data = write_event(random, action, message_id, time_us)
        return tuple(sorted(action.names, key=rank)), data

    def _delay(self, names: _Names, data: bytes, *, is_repeat: bool) -> None:
        due = self._delivered + self._random.randint(1, DELAY_EVENTS_MAX)
        heapq.heappush(self._delayed, (due, self._events, is_repeat, names, data))


def check_sample(streams: list[Stream], seed: int, count: int) -> list[tuple[Name, Ledger]]:
    """Returns identifiers to look up, each with the ledger that knows what is to be found."""
    random = Random(f"{seed}/sample")
    known = [(name, stream.ledger) for stream in streams for name in stream.ledger.names()]
    return random.sample(known, min(count, len(known)))
