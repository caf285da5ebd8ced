"""One request of events on its way through: what is to be sent of it, and what became of it."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from msgspec import structs

from unify_grpc.identity.identifiers import ACCOUNTS, USERS
from unify_grpc.identity.outcomes import DropReason, EventRejected, Outcome, RejectionReason
from unify_grpc.machines.batch import FRAME_BYTES
from unify_grpc.machines.framing import Framed, frame_event
from unify_grpc.machines.links import DUPLICATE
from unify_grpc.machines.owed_sides import ClearedSide, OwedSide, set_life
from unify_grpc.machines.probing import NOT_HELD, probes_of
from unify_grpc.machines.rows import NO_MEMBER
from unify_grpc.placement.members import KEY_BYTES, member_of, segment_id_of
from unify_grpc.service.arrivals import Incoming
from unify_grpc.service.refused_event import RefusedEvent, Unreadable

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Sequence

    from unify_grpc.machines.links import Decided, PendingLink
    from unify_grpc.service.arrivals import Arrivals
    from unify_grpc.service.directory import Space
    from unify_grpc.service.plain_events import PlainFraming
    from unify_grpc.service.shard_sender import Stored


_UNUSUAL = int(Outcome.PENDING)
"""A status from here on says that an event is pending, or was known before."""


class DropReport(NamedTuple):
    """An identifier that was left out."""

    collection: str
    type: str
    value: str
    reason: DropReason


@dataclass(slots=True)
class EventOutcome:
    """What became of one event."""

    rejection: RejectionReason | None = None
    is_duplicate: bool = False
    outcome: Outcome | None = None
    """Of the user side, or of the account side where there is no other; None: it links nothing."""
    user_root: bytes = b""
    """The profile's founding member; empty while pending, and if there is none."""
    account_root: bytes = b""
    drops: list[DropReport] = field(default_factory=list)

    @property
    def segment_id(self) -> str:
        """The user's profile; empty if there is none yet."""
        return segment_id_of("users", self.user_root) if self.user_root else ""

    @property
    def account_segment_id(self) -> str:
        """The account's profile; empty if there is none yet."""
        return segment_id_of("accounts", self.account_root) if self.account_root else ""

    @property
    def is_notable(self) -> bool:
        """Whether a bulk sender wants to know: refused, known before, pending, or with drops."""
        return bool(
            self.rejection is not None
            or self.is_duplicate
            or self.outcome is Outcome.PENDING
            or self.drops
        )


class Placed(NamedTuple):
    """One side of an event, to be sent to the shard of its anchor."""

    event: int
    """Its place in the request."""
    collection: str
    key: bytes
    """The anchor's."""
    frame: bytes


class RunLink(NamedTuple):
    """A link of a request that is to be decided."""

    event: int
    link: PendingLink
    stored: Stored
    at: int
    """The side's place in the shard's answer."""


class _SideOutcome(NamedTuple):
    """How one side of an event was stored, by its place in a shard's answer."""

    collection: str
    stored: Stored
    at: int


class Run:
    """One request on its way through."""

    def __init__(
        self,
        incoming: Arrivals,
        space: Space,
        source: int,
        stream: int,
        first_stamp_us: int,
        framing: PlainFraming,
    ) -> None:
        self.space = space
        self.framed: dict[int, Framed] = {}
        self.has_users = False
        """Whether some event has a user's side; the same below for an account's, and for both."""
        self.has_accounts = False
        self.has_pairs = False
        self._unmet: list[int] = []
        """Events to be promoted again, in their order, as the space meets the first one's types."""
        self._incoming = incoming
        self.source = source
        self.stream = stream
        self.stamps = range(first_stamp_us, first_stamp_us + len(incoming))
        """In microseconds since 1970, one for each event."""
        self._read: list[int] = []
        """Events that were read whole: they may have drops, or a side more."""
        self._answers: list[tuple[Sequence[Placed], Stored]] = []
        """All that shards have answered."""
        self._rejected: dict[int, RejectionReason] = {}
        self._sides: dict[int, list[_SideOutcome]] = {}
        self._owed: dict[int, OwedSide] = {}
        """By event, of each stored user's side that has an account's; with its frame."""
        self._accounts: dict[int, bytes] = {}
        """By event, the member that its account's side is stored under."""
        self._late: set[int] = set()
        """Events whose link between user and account does not show yet."""
        self._links: dict[str, list[RunLink]] = {USERS: [], ACCOUNTS: []}
        for index in range(len(incoming)):
            framed = incoming.frame(index, framing, first_stamp_us + index)
            if framed is not None:
                self.framed[index], self.has_users = framed, True
                continue
            each = incoming.read(index)
            if isinstance(each, Unreadable):
                self._rejected[index] = each.reason
                continue
            self._promote(index, each)

    def indexes(self) -> list[int]:
        """Returns the events that have something to store, in their order."""
        return sorted([index for index, framed in self.framed.items() if framed.sides])

    @property
    def unmet_types(self) -> tuple[str, ...]:
        """Types that the space has to meet before anything is sent; then call `meet`."""
        return self.framed[self._unmet[0]].new_types if self._unmet else ()

    def meet(self, space: Space) -> None:
        """Promotes what waited for types again, in a space that was asked to meet the next ones."""
        if space.view.rules.version != self.space.view.rules.version:
            self.promote_again(space, [*self.framed])
            return
        self.space = space
        waiting, self._unmet = self._unmet, []
        for at, index in enumerate(waiting):
            self._promote_once_more(index)
            if self._unmet:
                self._unmet.extend(waiting[at + 1 :])
                break

    def user_sides(self, indexes: Iterable[int]) -> list[Placed]:
        """Returns the users' sides that are not stored yet."""
        placed = []
        for index in indexes:
            sides = self.framed[index].sides
            if sides and sides[0].identifiers[0].collection == USERS and index not in self._sides:
                placed.append(Placed(index, USERS, sides[0].key, sides[0].frame))
        return placed

    def account_sides(self, indexes: Iterable[int]) -> list[Placed]:
        """Returns the accounts' sides that may be sent: those of `indexes`, and all that are owed.

        That of an event with both may be once its user's side is stored, and goes as that one
        says, which may be an earlier attempt's. Under the rules of today the same event may
        identify nobody.
        """
        placed = []
        for index in sorted({*indexes, *self._owed}.difference(self._accounts)):
            owed = self._owed.get(index)
            if owed is not None:
                key = owed.frame[FRAME_BYTES : FRAME_BYTES + KEY_BYTES]
                placed.append(Placed(index, ACCOUNTS, key, owed.frame))
                continue
            if index in self._sides:
                continue  # held by an anchor of earlier rules, which name no account
            sides = self.framed[index].sides
            if sides and sides[0].identifiers[0].collection == ACCOUNTS:
                placed.append(Placed(index, ACCOUNTS, sides[0].key, sides[0].frame))
        return placed

    @property
    def owes(self) -> bool:
        """Whether accounts' sides follow from the users' sides that are stored."""
        return bool(self._owed)

    def owed_sides(self) -> list[OwedSide]:
        """Returns the stored users' sides whose marks still stand."""
        return [side for side in self._owed.values() if side.is_owed]

    def cleared_sides(self) -> list[tuple[bytes, ClearedSide]]:
        """Returns what clears the marks, with the members whose shards hold them."""
        return [
            (side.member, ClearedSide(side.position, self._accounts[index]))
            for index, side in self._owed.items()
            if side.is_owed
        ]

    def not_cleared(self) -> None:
        """Takes it that the links between users and accounts do not show yet."""
        self._late = {index for index, side in self._owed.items() if side.is_owed}

    def promote_again(self, space: Space, indexes: Sequence[int]) -> None:
        """Frames events under newer rules, with the stamps they have.

        An event whose user's side is stored stays as it was promoted then.
        """
        self.space = space
        again = set(indexes).difference(self._sides)
        self._unmet = [index for index in self._unmet if index not in again]
        for index in sorted(again):
            self._promote_once_more(index)

    def _promote_once_more(self, index: int) -> None:
        self.framed.pop(index, None)
        self._rejected.pop(index, None)
        each = self._incoming.read(index)
        assert isinstance(each, Incoming), "an event that could not be read is not promoted"
        self._promote(index, each)

    def _promote(self, index: int, incoming: Incoming) -> None:
        self._read.append(index)
        event, body = incoming
        if not event.message_id:
            event.message_id = body.message_id = str(uuid.uuid4())
        try:
            framed = self.framed[index] = frame_event(
                event,
                body,
                space=self.space.view,
                source=self.source,
                received_us=self.stamps[index],
                stream=self.stream,
            )
        except EventRejected as rejected:
            self._rejected[index] = rejected.reason
            if rejected.reason is RejectionReason.TOO_MANY_IDENTIFIERS and self._unmet:
                # One fewer if an earlier event brings the last type that there is room for.
                self._unmet.append(index)
            return
        if framed.new_types:
            self._unmet.append(index)
        sides = framed.sides
        if len(sides) > 1:
            self.has_users = self.has_accounts = self.has_pairs = True
        elif sides and sides[0].identifiers[0].collection == USERS:
            self.has_users = True
        elif sides:
            self.has_accounts = True

    def probes(self) -> list[Placed]:
        """Returns the questions to anchors that events would have had under earlier rules."""
        placed: list[Placed] = []
        for index in range(len(self._incoming)):
            each = self._incoming.read(index)
            refusal = self._rejected.get(index, RejectionReason.TOO_MANY_IDENTIFIERS)
            is_promoted = refusal is RejectionReason.TOO_MANY_IDENTIFIERS
            if isinstance(each, Unreadable) or not is_promoted or index in self._sides:
                continue
            framed = self.framed.get(index)
            probes = probes_of(
                each.event,
                each.body.message_id,
                self.space.view,
                present=framed.sides[0].identifiers[0] if framed and framed.sides else None,
                stamp_us=self.stamps[index],
                source=self.source,
            )
            placed.extend(Placed(index, *probe) for probe in probes)
        return placed

    def probed(self, placed: Sequence[Placed], stored: Stored) -> None:
        """Takes a shard's answer to probes: what is held was stored by an earlier attempt."""
        others = set()
        for at, (index, collection, key, _) in enumerate(placed):
            if stored.statuses[at] == NOT_HELD:
                continue
            if index in self._sides:
                others.add(at)
                continue
            self._sides[index] = [_SideOutcome(collection, stored, at)]
            self._rejected.pop(index, None)
            if collection == ACCOUNTS:
                self._accounts[index] = member_of(key, stored.lives.get(at, 0))
        self._take_rest(placed, stored, others)

    def stored(self, placed: Sequence[Placed], stored: Stored) -> None:
        """Takes a shard's answer for the sides placed there."""
        sides = self._sides
        for at, (index, collection, key, _) in enumerate(placed):
            outcome = _SideOutcome(collection, stored, at)
            known = sides.get(index)
            if known is None:
                sides[index] = [outcome]
            else:
                known.append(outcome)
            if collection == ACCOUNTS:
                self._accounts[index] = member_of(key, stored.lives.get(at, 0))
        self._take_rest(placed, stored)

    def _take_rest(
        self, placed: Sequence[Placed], stored: Stored, others: Container[int] = ()
    ) -> None:
        """Takes what follows from a shard's answer: owed sides and pending links.

        Not of `others`, whose message a second anchor holds, with another payload.
        """
        self._answers.append((placed, stored))
        for at, owed in stored.owed:
            if at in others:
                continue
            index = placed[at].event
            frame = owed.frame or set_life(self.framed[index].sides[1].frame, owed.member)
            self._owed[index] = structs.replace(owed, frame=frame)
        for at, link in stored.pending:
            if at in others:
                continue
            index, collection, _, _ = placed[at]
            self._links[collection].append(RunLink(index, link, stored, at))

    def take_links(self, collection: str) -> list[RunLink]:
        """Returns a collection's pending links in the order of their events, each once."""
        links, self._links[collection] = self._links[collection], []
        return sorted(links, key=lambda each: each.event)

    def decided(self, links: Sequence[RunLink], decided: Sequence[Decided]) -> None:
        """Takes the merge actor's answers to links, in their order."""
        for (_, link, stored, at), each in zip(links, decided, strict=True):
            stored.statuses[at] = (stored.statuses[at] & DUPLICATE) | each.outcome
            stored.roots[20 * at : 20 * at + 20] = each.root
            if each.drops:
                # A duplicate's drops are those of the event as it was stored.
                stored.drops[at] = [(*link.ids[id_][1:], reason) for id_, reason in each.drops]

    def outcomes(self, *, only_notable: bool) -> list[tuple[int, EventOutcome]]:
        """Returns (index, what became of it) of each event, or of those worth a word."""
        if not only_notable:
            return [(index, self._outcome(index)) for index in range(len(self._incoming))]
        outcomes = [(index, self._outcome(index)) for index in sorted(self._unusual())]
        return [each for each in outcomes if each[1].is_notable]

    def refused(self) -> list[RefusedEvent]:
        """Returns the events that were refused, in their order."""
        unkept = [index for index in self.framed if index not in self._sides]
        refused = []
        for index in sorted({*self._rejected, *unkept}):
            stamp_us = self.stamps[index]
            each = self._incoming.read(index)
            if isinstance(each, Unreadable):
                refused.append(RefusedEvent(*each, drops=(), stamp_us=stamp_us))
                continue
            reason = self._rejected.get(index, RejectionReason.NO_IDENTIFIER)
            drops = () if index in self._rejected else self.framed[index].drops
            event, body = each
            refused.append(RefusedEvent(reason, event.type, body, (), drops, stamp_us))
        return refused

    def _unusual(self) -> set[int]:
        """Returns the events that may be notable, without a look at each of the others."""
        found = {*self._rejected, *self._read, *self._late}
        found.update(self.framed.keys() - self._sides.keys())
        for placed, stored in self._answers:
            found.update([placed[at].event for at in stored.drops])
            if max(stored.statuses) >= _UNUSUAL:
                found.update(
                    [
                        placed[at].event
                        for at, status in enumerate(stored.statuses)
                        if status >= _UNUSUAL
                    ]
                )
        return found

    def _outcome(self, index: int) -> EventOutcome:
        framed = self.framed.get(index)
        drops = [DropReport(*drop) for drop in framed.drops] if framed and framed.drops else []
        rejected = self._rejected.get(index)
        if rejected is None and index not in self._sides:
            rejected = RejectionReason.NO_IDENTIFIER
        if rejected is not None:
            return EventOutcome(rejected, drops=drops)
        sides = self._sides[index]
        outcome = EventOutcome(drops=drops)
        outcome.is_duplicate = all(stored.statuses[at] & DUPLICATE for _, stored, at in sides)
        is_pending = index in self._late
        for collection, stored, at in sides:
            status = stored.statuses[at] & ~DUPLICATE
            is_pending = is_pending or status == Outcome.PENDING
            root = bytes(stored.roots[20 * at : 20 * at + 20])
            if root == NO_MEMBER:
                root = b""
            if collection == ACCOUNTS:
                outcome.account_root = root
            else:
                outcome.user_root = root
            if status and (collection != ACCOUNTS or len(sides) == 1):
                outcome.outcome = Outcome(status)
            for type_, value, reason in stored.drops.get(at, ()):
                outcome.drops.append(DropReport(collection, type_, value, DropReason(reason)))
        if is_pending:
            outcome.outcome = Outcome.PENDING
        return outcome
