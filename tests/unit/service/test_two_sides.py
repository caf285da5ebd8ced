"""How a gateway stores events with two sides: order, rounds, acks, and what a sweep finishes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from tests.unit.service.machine_backend import MachineBackend, OneSpace, incoming
from unify_grpc.identity.outcomes import Outcome
from unify_grpc.machines.account_links import find_link
from unify_grpc.placement.members import member_of
from unify_grpc.service.arrivals import ReadEvents
from unify_grpc.service.errors import ShardUnavailableError
from unify_grpc.service.ingestion import Ingestor
from unify_grpc.service.turns import Turns

if TYPE_CHECKING:
    from unify_grpc.service.ingest_run import EventOutcome

LATER_US = 2**60
"""After every stamp."""


class Gateway:
    """An ingestor over machines in process."""

    def __init__(self, backend: MachineBackend | None = None) -> None:
        self.backend = backend or MachineBackend()
        self.directory = OneSpace(self.backend)
        self.ingestor = Ingestor(self.backend, self.directory, queue_events_max=1_000)  # type: ignore[arg-type]  # parts of them

    async def send(
        self,
        *messages: dict[str, Any],
        turns: Turns | None = None,
        is_resolved: bool = True,
        deadline_s: float = 5.0,
    ) -> list[EventOutcome]:
        """Sends messages as one request."""
        outcomes = await self.ingestor.ingest(
            ReadEvents(incoming(*messages)),
            self.directory.space,
            1,
            turns or Turns(),
            is_resolved=is_resolved,
            only_notable=False,
            deadline_s=deadline_s,
        )
        return [outcome for _, outcome in outcomes]

    async def settle(self) -> None:
        """Waits for everything that goes on after an answer."""
        await self.ingestor.drain(5.0)

    def shard_of(self, collection: str, identifier: str) -> int:
        """Returns where an identifier lives."""
        return self.backend.shard_map.shard_of(self.backend.service.key(collection, identifier))

    def are_linked(self, user: str, account: str) -> tuple[bool, bool]:
        """Returns whether the user's side, and the account's, has the link."""
        service = self.backend.service
        one = member_of(service.key("users", f"user_id:{user}"), 0)
        other = member_of(service.key("accounts", f"group_id:{account}"), 0)
        stores = [
            service.shards[self.backend.shard_map.shard_of(each)].store for each in (one, other)
        ]
        return (
            find_link(stores[0], one, other) is not None,
            find_link(stores[1], other, one) is not None,
        )


@pytest.fixture
def gateway() -> Gateway:
    """A gateway before three shards."""
    return Gateway()


def group(message_id: str, user: str, account: str, **fields: Any) -> dict[str, Any]:
    """Returns a group call."""
    return {
        "type": "group",
        "messageId": message_id,
        "userId": user,
        "groupId": account,
        **fields,
    }


def apart(gateway: Gateway, user: str = "u") -> str:
    """Returns a group id that lives on another shard than a user."""
    here = gateway.shard_of("users", f"user_id:{user}")
    names = (f"g{number}" for number in range(100))
    return next(each for each in names if gateway.shard_of("accounts", f"group_id:{each}") != here)


def apart_users(gateway: Gateway) -> tuple[str, str]:
    """Returns two users that live on different shards."""
    names = [f"u{number}" for number in range(100)]
    home = gateway.shard_of("users", f"user_id:{names[0]}")
    other = next(each for each in names if gateway.shard_of("users", f"user_id:{each}") != home)
    return names[0], other


async def test_both_sides_and_both_links_are_there_when_it_is_acked(gateway: Gateway) -> None:
    """RESOLVED: stored twice, owed no more, and each side shows the other."""
    (outcome,) = await gateway.send(group("m", "u", "g"))

    assert outcome.outcome is Outcome.CREATED
    assert outcome.segment_id.startswith("use_")
    assert outcome.account_segment_id.startswith("acc_")
    assert [["m/user"], ["m/account"]] == gateway.backend.appends
    assert 0 == gateway.backend.owed_count()
    assert (True, True) == gateway.are_linked("u", "g")


async def test_an_accepted_ack_waits_for_both_sides_only(gateway: Gateway) -> None:
    """ACCEPTED: both are durable; what follows goes on behind."""
    await gateway.send(group("m", "u", "g"), is_resolved=False)

    assert [["m/user"], ["m/account"]] == gateway.backend.appends
    await gateway.settle()
    assert (True, True) == gateway.are_linked("u", "g")


async def test_an_event_that_brings_a_type_keeps_its_place(gateway: Gateway) -> None:
    """It is promoted again when the space has met the type; those behind it stay behind it."""
    track = {"type": "track", "messageId": "m2", "userId": "u", "event": "E"}

    outcomes = await gateway.send(group("m1", "u", "g"), track)

    assert [["m1/user", "m2/user"], ["m1/account"]] == gateway.backend.appends
    assert [Outcome.CREATED, Outcome.ATTACHED] == [each.outcome for each in outcomes]


async def test_events_of_one_side_need_one_round(gateway: Gateway) -> None:
    """Nothing waits, nothing is cleared, and an account's own event goes with the first calls."""
    held = gateway.backend.holding["t/user"] = asyncio.Event()
    alone = {"type": "group", "messageId": "g", "groupId": apart(gateway)}
    track = {"type": "track", "messageId": "t", "userId": "u", "event": "Seen"}
    sending = asyncio.create_task(gateway.send(track, alone))
    await gateway.backend.appended.wait()

    assert [["g/account"]] == gateway.backend.appends
    held.set()
    await sending
    assert 0 == gateway.backend.clears_count


async def test_accounts_sides_keep_the_order_of_their_batch(gateway: Gateway) -> None:
    """An event about an account alone does not overtake the account's side of one before it."""
    account = apart(gateway)
    alone = {"type": "group", "messageId": "second", "groupId": account}
    await gateway.send(group("first", "u", account), alone)

    assert [["first/user"], ["first/account", "second/account"]] == gateway.backend.appends


async def test_accounts_sides_keep_the_order_of_their_stream(gateway: Gateway) -> None:
    """A later batch about the account alone waits for an earlier batch's account side; one about
    users does not.
    """
    account, turns = apart(gateway), Turns()
    held = gateway.backend.holding["first/user"] = asyncio.Event()
    alone = {"type": "group", "messageId": "second", "groupId": account}
    names = (f"u{number}" for number in range(100))
    here = gateway.shard_of("users", "user_id:u")
    other = next(each for each in names if gateway.shard_of("users", f"user_id:{each}") != here)
    track = {"type": "track", "messageId": "third", "userId": other, "event": "Seen"}
    sending = [
        asyncio.create_task(gateway.send(group("first", "u", account), turns=turns)),
        asyncio.create_task(gateway.send(alone, turns=turns)),
        asyncio.create_task(gateway.send(track, turns=turns)),
    ]
    await sending[2]

    assert [["third/user"]] == gateway.backend.appends
    held.set()
    await asyncio.gather(*sending)
    stored = [name for call in gateway.backend.appends for name in call]
    assert stored.index("first/account") < stored.index("second/account")


async def test_links_keep_the_order_of_their_stream_and_collection(gateway: Gateway) -> None:
    """Users' links are handed over when their sides are stored; accounts' ones follow, each in
    the order of the stream, however late an earlier batch is.
    """
    turns = Turns()
    account = apart(gateway)
    linking = {"context": {"externalIds": [_external("users", "email", "a@example.com")]}}
    accounts = {"context": {"externalIds": [_external("accounts", "crm_id", "c")]}}
    held = gateway.backend.holding["first/account"] = asyncio.Event()
    first = group("first", "u", account, **linking)
    first["context"]["externalIds"] += accounts["context"]["externalIds"]
    sending = [
        asyncio.create_task(gateway.send(first, turns=turns)),
        asyncio.create_task(
            gateway.send({**group("second", "u", account), **accounts}, turns=turns)
        ),
    ]
    await gateway.backend.linked.wait()

    assert [["first/user"]] == gateway.backend.links
    held.set()
    await asyncio.gather(*sending)
    decided = [name for call in gateway.backend.links for name in call if "account" in name]
    assert ["first/account", "second/account"] == decided


def _external(collection: str, type_: str, value: str) -> dict[str, str]:
    return {"id": value, "type": type_, "collection": collection, "encoding": "none"}


async def test_a_side_that_could_not_be_stored_is_swept(gateway: Gateway) -> None:
    """While the account's shard is away the caller is told so; the mark stands, and any gateway's
    sweep finishes it, the one that began it included.
    """
    account = apart(gateway)
    gateway.backend.away.add(gateway.shard_of("accounts", f"group_id:{account}"))
    with pytest.raises(ShardUnavailableError):
        await gateway.send(group("m", "u", account))
    assert 1 == gateway.backend.owed_count()
    with pytest.raises(ShardUnavailableError):
        await gateway.ingestor.sweeper.sweep(LATER_US)
    gateway.backend.away.clear()
    other = Gateway(gateway.backend)
    swept = await asyncio.gather(
        other.ingestor.sweeper.sweep(LATER_US), gateway.ingestor.sweeper.sweep(LATER_US)
    )

    assert [1, 1] == list(swept)
    assert 0 == gateway.backend.owed_count()
    assert (True, True) == gateway.are_linked("u", account)
    assert ["m"] == gateway.backend.service.events(f"group_id:{account}", "accounts")
    (again,) = await gateway.send(group("m", "u", account))
    assert again.is_duplicate
    assert again.account_segment_id.startswith("acc_")


async def test_a_repetition_finishes_what_is_owed(gateway: Gateway) -> None:
    """The event sent again, to another gateway and with another group, finishes the first."""
    account = apart(gateway)
    gateway.backend.away.add(gateway.shard_of("accounts", f"group_id:{account}"))
    with pytest.raises(ShardUnavailableError):
        await gateway.send(group("m", "u", account))
    gateway.backend.away.clear()
    other = Gateway(gateway.backend)
    (outcome,) = await other.send(group("m", "u", "another"))

    assert not outcome.is_duplicate
    assert 0 == gateway.backend.owed_count()
    assert (True, True) == gateway.are_linked("u", account)
    assert (False, False) == gateway.are_linked("u", "another")
    assert [] == gateway.backend.service.events("group_id:another", "accounts")


async def test_a_whole_call_sent_again_has_no_effect(gateway: Gateway) -> None:
    """It is a duplicate, with the profiles of both sides, and nothing is cleared again."""
    (first,) = await gateway.send(group("m", "u", "g"))
    clears = gateway.backend.clears_count
    (again,) = await gateway.send(group("m", "u", "g"))

    assert again.is_duplicate
    assert (first.segment_id, first.account_segment_id) == (
        again.segment_id,
        again.account_segment_id,
    )
    assert clears == gateway.backend.clears_count
    assert ["m"] == gateway.backend.service.events("group_id:g", "accounts")


async def test_a_mark_that_is_not_cleared_in_time_is_pending(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both sides are durable, but the user does not show the account yet: not RESOLVED."""
    account = apart(gateway)
    await gateway.send({"type": "track", "messageId": "t", "userId": "u", "event": "Seen"})
    cleared = asyncio.Event()
    clear_owed = gateway.backend.clear_owed

    async def clear_later(*arguments: Any) -> None:
        await cleared.wait()
        await clear_owed(*arguments)

    monkeypatch.setattr(gateway.backend, "clear_owed", clear_later)
    (outcome,) = await gateway.send(group("m", "u", account), deadline_s=0.05)

    assert outcome.outcome is Outcome.PENDING
    assert 0 == await gateway.ingestor.sweeper.sweep(LATER_US), "it is under way here"
    cleared.set()
    await gateway.settle()
    assert (True, True) == gateway.are_linked("u", account)


async def test_a_sweep_does_not_overtake_a_batch_of_its_own_gateway(gateway: Gateway) -> None:
    """A shard that answers late holds the accounts' sides back, and the gateway's sweep sees it."""
    first, second = apart_users(gateway)
    held = gateway.backend.holding["m1/user"] = asyncio.Event()
    sending = asyncio.create_task(gateway.send(group("m1", first, "g"), group("m2", second, "g")))
    await gateway.backend.appended.wait()

    assert 1 == gateway.backend.owed_count()
    assert 0 == await gateway.ingestor.sweeper.sweep(LATER_US)
    held.set()
    await sending
    await gateway.settle()
    assert ["m1", "m2"] == sorted(gateway.backend.service.events("group_id:g", "accounts"))
    assert ["m1/account", "m2/account"] == [
        each for call in gateway.backend.appends for each in call if each.endswith("/account")
    ]


async def test_an_owed_side_is_stored_as_it_was_promoted(gateway: Gateway) -> None:
    """Rules that become newer in between do not hold it up, and do not change it."""
    account = apart(gateway)
    held = gateway.backend.holding["m/account"] = asyncio.Event()
    sending = asyncio.create_task(gateway.send(group("m", "u", account)))
    await gateway.backend.appended.wait()
    gateway.backend.service.set_rules({"blocked": [{"exact": account}]})
    newest = Gateway(gateway.backend)
    # Shows the newer rules to all shards.
    for number in range(20):
        await newest.send(
            {"type": "track", "messageId": "t", "userId": f"n{number}", "event": "Seen"}
        )
    held.set()
    (outcome,) = await sending

    assert outcome.account_segment_id.startswith("acc_")
    assert (True, True) == gateway.are_linked("u", account)
