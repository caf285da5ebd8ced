"""What a bench and its sending process tell each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench.ledger import Tally


@dataclass(frozen=True, kw_only=True)
class Order:
    """What the sending process has to do."""

    seed: int
    streams: int
    warm_up_events: int
    warm_up_arrivals: int
    """Of 1,000 events, how many are a person's first; so `arrivals`, of the measured part."""
    events: int
    arrivals: int
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

    warm_up: Tally
    measured: Tally


@dataclass(frozen=True)
class Sent:
    """How sending a part went."""

    seconds: float
    answers_ms: list[float]
    """From a batch's first byte to its answer."""
    results: dict[str, int]
    """Statuses of the events that the service thought notable, and `DROPS` among them."""


@dataclass(frozen=True)
class Checked:
    """What reading profiles back found."""

    profiles_count: int
    wrong: list[str]
    """What differs from the expectation, in sentences."""
    checksum: str
    """Of what was read, not of what was expected."""
