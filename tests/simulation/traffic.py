"""What callers send: events, batches of them, and how they are written down for a gateway."""

from __future__ import annotations

from random import Random
from typing import Any, NamedTuple

import msgspec

from tests.simulation.plan import ACCOUNT_TYPES, TYPES, Plan
from tests.simulation.shapes import ORDERED_SHAPES, Shapes, named
from unify_grpc.identity.events import ClientEvent
from unify_grpc.identity.identifiers import ACCOUNTS, Identifier
from unify_grpc.machines.batch import Body

FIRST_EVENT_US = 1_700_000_000_000_000
BATCH_EVENTS_MAX = 5
CARELESS_IDS = 4
SECOND_US = 1_000_000
_RANK = {type_: rank for rank, type_ in enumerate((*TYPES, *reversed(ACCOUNT_TYPES)))}


class Sent(NamedTuple):
    """An event as its caller means it."""

    message_id: str
    type: str
    """identify, track, group or alias."""
    users: tuple[Identifier, ...]
    """In the order of the first rules' priorities; `control.sides` says what is stored of them."""
    accounts: tuple[Identifier, ...]
    time_us: int
    traits: tuple[tuple[str, int | None], ...]
    previous_id: str = ""
    """An alias's; it has one user id, and nothing else."""


class Request(NamedTuple):
    """Events that are sent together."""

    events: tuple[Sent, ...]
    resolved: bool
    """Whether the ack is to wait for the links."""


class Traffic:
    """The requests of one client, all of them decided beforehand."""

    def __init__(self, plan: Plan, client: int) -> None:
        self.plan = plan
        self.client = client
        of_space = f" of space {plan.space}" if plan.space > 1 else ""
        self.rng = Random(f"traffic {plan.seed} {client}{of_space}")
        self.shapes = Shapes(plan, client)
        shared = Random(f"combinations {plan.seed}")
        self.combinations = [self._mixed(shared) for _ in range(3)]
        self.count = 0

    def requests(self) -> list[Request]:
        """Returns the requests in the order in which the client sends them."""
        rng = self.rng
        resolved_share = rng.choice((0.3, 0.8, 1))
        return [
            Request(
                tuple(self.event() for _ in range(rng.choice((1, 1, 2, 3, BATCH_EVENTS_MAX)))),
                rng.random() < resolved_share,
            )
            for _ in range(self.plan.requests)
        ]

    def event(self) -> Sent:
        """Returns the next event."""
        rng, plan = self.rng, self.plan
        self.count += 1
        message_id = f"c{self.client}-{self.count}"
        if rng.random() < plan.careless:
            message_id = f"careless-{rng.randrange(CARELESS_IDS)}"
        users = tuple(sorted(set(self._identifiers()), key=priority))
        accounts: tuple[Identifier, ...] = ()
        if self.shapes.is_alias():
            user_id, previous_id = self.shapes.alias()
            return Sent(message_id, "alias", (user_id,), (), self._time_us(), (), previous_id)
        kind = rng.choice(("track", "identify"))
        if rng.random() < plan.groups:
            kind = "group"
            accounts = self._accounts()
            if rng.random() < 0.2:
                users = ()
        return Sent(message_id, kind, users, accounts, self._time_us(), self._traits(kind))

    def altered(self, sent: Sent) -> Sent:
        """Returns another event with the same message id, as a careless caller sends it."""
        other = self.event()
        if other.type == "alias":
            return other._replace(message_id=sent.message_id)
        keep_anchor = sent.users[:1] if self.rng.random() < 0.8 else ()
        users = tuple(sorted({*keep_anchor, *other.users}, key=priority))
        return other._replace(message_id=sent.message_id, users=users)

    def _time_us(self) -> int:
        """Mostly in order, some of it late by minutes."""
        seconds = 10 * self.count + self.rng.randrange(20)
        if self.rng.random() < 0.2:
            seconds = self.rng.randrange(200)
        return FIRST_EVENT_US + seconds * SECOND_US

    def _traits(self, kind: str) -> tuple[tuple[str, int | None], ...]:
        if kind == "track":
            return ()
        names = self.rng.sample(("t0", "t1", "t2"), self.rng.randint(1, 2))
        return tuple((name, self.rng.choice((None, 1, 2, 3))) for name in names)

    def _accounts(self) -> tuple[Identifier, ...]:
        rng = self.rng
        found = [Identifier(ACCOUNTS, "group_id", f"g{rng.randrange(self.plan.values)}")]
        if rng.random() < 0.5:
            found.append(Identifier(ACCOUNTS, "domain", f"d{rng.randrange(self.plan.values)}"))
        return tuple(sorted(found, key=priority))

    def _identifiers(self) -> list[Identifier]:
        rng, shape = self.rng, self.plan.shape
        if shape in ORDERED_SHAPES:
            return self.shapes.identifiers()
        if rng.random() < 0.3 or shape == "alone":
            alone = [self._one(rng, rng.choice(TYPES))]
            if shape != "alone" or rng.random() < 0.6:
                return alone
        if shape == "hot" and rng.random() < 0.8:
            return list(rng.choice(self.combinations))
        if shape == "chains" and rng.random() < 0.8:
            type_, first = rng.choice(TYPES[2:]), rng.randrange(self.plan.values)
            return [named(type_, first), named(type_, first + 1)]
        if shape == "stars" and rng.random() < 0.8:
            return [named("user_id", rng.randrange(2)), self._one(rng, rng.choice(TYPES[1:]))]
        return self._mixed(rng)

    def _mixed(self, rng: Random) -> list[Identifier]:
        return [self._one(rng, rng.choice(TYPES)) for _ in range(rng.randint(2, 4))]

    def _one(self, rng: Random, type_: str) -> Identifier:
        return named(type_, rng.randrange(self.plan.values))


def priority(identifier: Identifier) -> tuple[int, str]:
    """The sort key of an event's identifiers: its type's priority, then its place in the event."""
    return _RANK.get(identifier.type, len(_RANK)), identifier.value


def client_event(sent: Sent) -> tuple[ClientEvent, Body]:
    """Returns an event as a gateway reads it, and as it is stored."""
    listed = [
        {"id": each.value, "type": each.type, "collection": each.collection, "encoding": "none"}
        for each in (*sent.users, *sent.accounts)
        if each.type != "group_id"
    ]
    if sent.type == "alias":
        (user_id,) = sent.users
        event = ClientEvent(
            type=sent.type,
            message_id=sent.message_id,
            user_id=user_id.value,
            previous_id=sent.previous_id,
            original_timestamp_us=sent.time_us,
        )
        return event, Body(sent.message_id, user_id=user_id.value, previous_id=sent.previous_id)
    group = next((each.value for each in sent.accounts if each.type == "group_id"), None)
    traits: dict[str, Any] | None = dict(sent.traits) or None
    event = ClientEvent(
        type=sent.type,
        message_id=sent.message_id,
        name="seen" if sent.type == "track" else None,
        group_id=group,
        original_timestamp_us=sent.time_us,
        traits=traits,
        context={"externalIds": listed},
    )
    packed = msgspec.json.encode(traits) if traits else b""
    return event, Body(sent.message_id, event.name or "", packed)
