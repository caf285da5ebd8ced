"""What a gateway of the simulation keeps of a request while it is under way."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from tests.simulation.owed import is_account
from unify_grpc.identity.identifiers import ACCOUNTS, USERS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.simulation.gateway import Attempt
    from tests.simulation.joined import JoinedCall
    from unify_grpc.identity.identifiers import Identifier
    from unify_grpc.machines.framing import Framed
    from unify_grpc.machines.links import Append, PendingLink
    from unify_grpc.machines.owed_sides import ClearedSide, OwedSide


class Placed(NamedTuple):
    """One side of one event of an attempt, or a question to an anchor it might have had."""

    event: int
    anchor: Identifier
    frame: bytes


@dataclass(slots=True, eq=False)
class Part:
    """What of a call goes to one shard."""

    shard: int
    call_id: bytes
    version: int
    """Of the rules that its frames were promoted under."""
    placed: list[Placed] = field(default_factory=list)
    asks: bool = False
    """Whether it asks anchors of earlier rules, and stores nothing."""
    is_sent: bool = False
    is_stale: bool = False
    """Whether the shard refused it: it knows newer rules."""
    reply: Append | None = None
    ignored: set[int] = field(default_factory=set)
    """Of a question the places whose answers say nothing."""
    joined: JoinedCall | None = None
    """The call in which it travelled together with others."""

    @property
    def is_answered(self) -> bool:
        """Whether its shard has said something."""
        return self.is_stale or self.reply is not None


@dataclass(slots=True, eq=False)
class Call:
    """An attempt on its way."""

    attempt: Attempt
    stamps: list[int]
    """By event; they stay when events are promoted again."""
    before: Call | None
    """The one before it in its stream."""
    start_version: int
    """Of the rules that it was first promoted under."""
    version: int
    """The same, as they are now."""
    framed: list[Framed]
    """By event."""
    unplaced: list[int]
    """Events that are promoted, and whose sides are not placed yet."""
    probes: list[Part] = field(default_factory=list)
    users: list[Part] = field(default_factory=list)
    accounts: list[Part] = field(default_factory=list)
    refused: set[int] = field(default_factory=set)
    """Events to be promoted again."""
    stored: set[int] = field(default_factory=set)
    """Events of which a side is stored."""
    held: set[int] = field(default_factory=set)
    """Events that an anchor of earlier rules holds."""
    accounts_placed: set[int] = field(default_factory=set)
    """Events whose accounts' sides are placed."""
    is_sent: bool = False
    """Whether its first sides were sent, so that later calls of the same rules may follow."""
    passed_accounts: bool = False
    """Whether accounts' sides of later calls may follow."""
    to_place_accounts: list[int] | None = None
    """Events of this round whose accounts' sides wait for users' sides; None: all are placed."""
    owed: dict[int, tuple[int, OwedSide]] = field(default_factory=dict)
    """By event, (shard, what its stored user's side says)."""
    clears: dict[int, list[ClearedSide]] = field(default_factory=dict)
    """By shard, what was not answered yet."""
    is_acked: bool = False

    @property
    def has_pairs(self) -> bool:
        """Whether some event has both sides."""
        return bool(self.owed) or any(len(framed.sides) > 1 for framed in self.framed)

    @property
    def has_accounts(self) -> bool:
        """Whether some event has an account's side."""
        return bool(self.owed) or any(
            is_account(side) for framed in self.framed for side in framed.sides
        )

    @property
    def is_answered(self) -> bool:
        """Whether nothing of this round is under way or to be sent."""
        return (
            not self.unplaced
            and self.to_place_accounts is None
            and all(part.is_answered for part in self.parts())
        )

    @property
    def is_appended(self) -> bool:
        """Whether all of it is stored."""
        return not self.refused and self.is_answered

    def is_stored(self, *, and_all_before: bool = True) -> bool:
        """Whether all of it is stored, and all that was sent before it in its stream."""
        call: Call | None = self
        while call is not None:
            if not call.is_appended:
                return False
            call = call.before if and_all_before else None
        return True

    def has_come(self, *, and_all_before: bool = True) -> bool:
        """Whether nothing of it could overtake an earlier call."""
        before = self.before
        if before is None or before.is_stored(and_all_before=and_all_before):
            return True
        return before.is_sent and before.start_version == self.start_version

    def has_stored(self, collection: str) -> bool:
        """Whether all shards have answered for one collection."""
        if self.refused or self.unplaced or any(part.reply is None for part in self.probes_asked()):
            return False
        if collection == ACCOUNTS and self.to_place_accounts is not None:
            return False
        parts = self.users if collection == USERS else self.accounts
        return all(part.is_answered for part in parts)

    def has_users_answered(self) -> bool:
        """Whether the shards of users' sides have said something about each."""
        return not self.unplaced and all(part.is_answered for part in self.users)

    def probes_asked(self) -> Iterator[Part]:
        """Yields the questions whose shards did not refuse them."""
        return (part for part in self.probes if not part.is_stale)

    def parts(self) -> list[Part]:
        """Returns what of it goes to shards, as far as that is known."""
        return [*self.probes, *self.users, *self.accounts]

    def account_life(self, event: int) -> int:
        """Returns which incarnation the account's side of an event is stored under."""
        for part in self.accounts:
            for at, placed in enumerate(part.placed):
                if placed.event == event and part.reply is not None:
                    return part.reply.lives.get(at, 0)
        return 0

    def links(self, collection: str) -> list[PendingLink]:
        """Returns the pending links of one collection in batch order."""
        found: list[tuple[int, PendingLink]] = []
        for part in self.parts():
            for link in part.reply.pending if part.reply is not None else ():
                placed = part.placed[link.index]
                if placed.anchor.collection == collection and link.index not in part.ignored:
                    found.append((placed.event, link))
        return [link for _, link in sorted(found, key=lambda each: each[0])]


@dataclass(slots=True)
class Stream:
    """What one caller sends in order."""

    number: int
    next_at: int = 0
    early: dict[int, Attempt] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)
    last: Call | None = None
    """The newest, which may be finished."""
