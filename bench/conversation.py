"""What a bench and its sending process tell each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from bench.ledger import Tally
    from bench.workload import Mix

SEND: Final = "send"
DELETE: Final = "delete"
CHECK: Final = "check"
PARTITION: Final = "partition"
BUILD: Final = "build"
READ: Final = "read"
SEND_HTTP: Final = "send-http"
READ_HTTP: Final = "read-http"
SEND_TO_NOBODY: Final = "send-to-nobody"
"""The steps, each told as one line of itself, the service's address, and numbers."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """What is sent in one go."""

    events: int
    """At the least."""
    events_max: int
    combinations: int
    """Known combinations there have to be afterwards: more events are sent until there are."""
    mix: Mix
    deletes: bool
    """Whether an identifier is deleted before the next part."""
    streams: int = 0
    """How many of the streams send; 0: all."""
    batch_min: int = 0
    """Sizes of batches are drawn from here to `batch_max`; both 0: those of the order."""
    batch_max: int = 0
    is_unary: bool = False
    """Whether batches are calls of `Ingest`, one after another, instead of a stream."""
    is_http: bool = False
    """Whether they are calls of the Tracking API, one after another."""


def plain_part(
    events: int,
    mix: Mix,
    *,
    streams: int = 0,
    batch_min: int = 0,
    batch_max: int = 0,
    is_unary: bool = False,
    is_http: bool = False,
) -> Part:
    """Returns a part of so many events, after which nothing is deleted."""
    return Part(
        events=events,
        events_max=events,
        combinations=0,
        mix=mix,
        deletes=False,
        streams=streams,
        batch_min=batch_min,
        batch_max=batch_max,
        is_unary=is_unary,
        is_http=is_http,
    )


@dataclass(frozen=True, kw_only=True)
class Order:
    """What the sending process has to do."""

    seed: int
    streams: int
    parts: tuple[Part, ...]
    batch: int
    """Events in a batch."""
    window: int
    """Batches of a stream that may await their answer."""
    profiles_checked: int
    write_key: str
    access_token: str
    is_built_ahead: bool = True
    """Whether all is built before the first part is sent, and not each part before itself."""
    traffic: str = "people"
    """Which kind of stream, see `streams.py`."""
    sizes: tuple[int, ...] = ()
    """What that kind has to know."""
    keeps_traits: bool = False
    """Whether traits will be read."""


@dataclass(frozen=True)
class Built:
    """What will be sent."""

    tallies: list[Tally]
    """Of each part."""
    combinations_counts: list[int]
    """Known combinations after each part."""
    profiles_count: int
    """Live profiles after the last part, without that of the hot key."""

    def plus(self, later: Built) -> Built:
        """Returns what was built with what was built after it."""
        return Built(
            self.tallies + later.tallies,
            self.combinations_counts + later.combinations_counts,
            later.profiles_count,
        )


@dataclass(frozen=True)
class Reads:
    """How reading went."""

    seconds: float
    answers_ms: list[float]
    wrong: list[str]
    """What differs from the expectation, in sentences."""
    checksum: str
    """Of what was read, where nothing changed meanwhile."""


@dataclass(frozen=True)
class Answered:
    """How requests went, which were all answered as they should be."""

    seconds: float
    answers_ms: list[float]
    """In order, a thousand of them: after which time each further thousandth had come."""
    calls_count: int


@dataclass(frozen=True)
class Sent:
    """How sending a part went."""

    seconds: float
    answers_ms: list[float]
    """From a batch's first byte to its answer."""
    results: dict[str, int]
    """Statuses of the events that the service thought notable, and `DROPS` among them."""
    reads: Reads | None = None
    """What was read beside it."""
    calls_count: int = 0
    """Of which `answers_ms` has every thousandth part; 0: it has all."""


@dataclass(frozen=True)
class Deleted:
    """How a deletion went."""

    took_ms: float
    """From the call to its answer."""
    identifiers_count: int
    """Of the profile, before."""


@dataclass(frozen=True)
class Checked:
    """What reading profiles back found."""

    profiles_count: int
    wrong: list[str]
    """What differs from the expectation, in sentences."""
    checksum: str
    """Of what was read, not of what was expected."""
