"""What names people and accounts."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Identifier:
    """Names one person or account in one way."""

    collection: str
    """`users` or `accounts`."""
    type: str
    """What kind of identifier it is: `user_id`, `email`, `anonymous_id`, or another."""
    value: str
    """The value, as ingested; in replies as normalised, masked without the scope `pii`."""

    def __str__(self) -> str:
        return f"{self.type}:{self.value}"


@dataclass(frozen=True, slots=True)
class ExternalId:
    """Names the person or account of an event by a further identifier."""

    type: str
    """What kind of identifier it is."""
    id: str
    """The value."""
    collection: str = "users"
    """`users` or `accounts`; the latter counts in `group` calls only."""
    encoding: str = "none"
    """How `id` is encoded: kept and shown, never interpreted."""
