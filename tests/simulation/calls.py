"""What a gateway of the simulation keeps of a request while it is under way."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from tests.simulation.owed import is_account
from unify_grpc.identity.identifiers import ACCOUNTS, USERS

if TYPE_CHECKING:
    from tests.simulation.gateway import Attempt
    from unify_grpc.identity.identifiers import Identifier
    from unify_grpc.machines.framing import Framed
    from unify_grpc.machines.links import Append, PendingLink
    from unify_grpc.machines.owed_sides import ClearedSide, OwedSide


class Placed(NamedTuple):
    """One side of one event of an attempt."""

    event: int
    anchor: Identifier
    frame: bytes


@dataclass(slots=True)
class Part:
    """What of a call goes to one shard."""

    call_id: bytes
    placed: list[Placed] = field(default_factory=list)
    is_sent: bool = False
    reply: Append | None = None


@dataclass(slots=True)
class Call:
    """An attempt on its way."""

    attempt: Attempt
    framed: list[Framed]
    """By event."""
    users: dict[int, Part]
    """By shard."""
    accounts: dict[int, Part] | None = None
    """The same; None until it is known what is to be stored of the accounts."""
    owed: dict[int, tuple[int, OwedSide]] = field(default_factory=dict)
    """By event, (shard, what its stored user's side says)."""
    clears: dict[int, list[ClearedSide]] = field(default_factory=dict)
    """By shard, what was not answered yet."""
    is_acked: bool = False

    @property
    def has_pairs(self) -> bool:
        """Whether some event has both sides."""
        return any(len(framed.sides) > 1 for framed in self.framed)

    @property
    def has_accounts(self) -> bool:
        """Whether some event has an account's side."""
        return any(is_account(side) for framed in self.framed for side in framed.sides)

    @property
    def is_appended(self) -> bool:
        """Whether all shards have answered."""
        return self.has_stored(USERS) and self.has_stored(ACCOUNTS)

    def has_stored(self, collection: str) -> bool:
        """Whether all shards have answered for one collection."""
        parts = self.users if collection == USERS else self.accounts
        return parts is not None and all(part.reply is not None for part in parts.values())

    def parts(self) -> list[Part]:
        """Returns what of it goes to shards, as far as that is known."""
        return [*self.users.values(), *(self.accounts or {}).values()]

    def account_life(self, event: int) -> int:
        """Returns which incarnation the account's side of an event is stored under."""
        for part in (self.accounts or {}).values():
            for at, placed in enumerate(part.placed):
                if placed.event == event and part.reply is not None:
                    return part.reply.lives.get(at, 0)
        return 0

    def links(self, collection: str) -> list[PendingLink]:
        """Returns the pending links of one collection in batch order."""
        found: list[tuple[int, PendingLink]] = []
        for part in (self.users if collection == USERS else self.accounts or {}).values():
            if part.reply is not None:
                found.extend((part.placed[link.index].event, link) for link in part.reply.pending)
        return [link for _, link in sorted(found, key=lambda each: each[0])]


@dataclass(slots=True)
class Stream:
    """What one caller sends in order."""

    number: int
    next_at: int = 0
    early: dict[int, Attempt] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)
