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
"""The steps, each told as one line of itself and the service's address."""


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


@dataclass(frozen=True)
class Built:
    """What will be sent."""

    tallies: list[Tally]
    """Of each part."""
    combinations_counts: list[int]
    """Known combinations after each part."""


@dataclass(frozen=True)
class Sent:
    """How sending a part went."""

    seconds: float
    answers_ms: list[float]
    """From a batch's first byte to its answer."""
    results: dict[str, int]
    """Statuses of the events that the service thought notable, and `DROPS` among them."""


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
