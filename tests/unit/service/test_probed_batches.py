"""Batches that first ask anchors under earlier rules: their order, and what they find half done."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from tests.unit.service.machine_backend import MachineBackend
from tests.unit.service.test_two_sides import Gateway, apart, group
from unify_grpc.identity.rules import Rules
from unify_grpc.machines.batch import pack_batch
from unify_grpc.machines.framing import EarlierRules
from unify_grpc.service.errors import ShardUnavailableError
from unify_grpc.service.turns import Turns

if TYPE_CHECKING:
    from unify_grpc.machines.framing import SpaceView

FOR_EVER = 2**62
EMAIL_FIRST = {"identifiers": [{"type": "email"}, {"type": "user_id"}]}


def after_a_change(space: SpaceView, earlier: dict[str, Any], newest: dict[str, Any]) -> SpaceView:
    """Returns a space whose rules were changed a moment ago."""
    version = space.rules.version
    held = Rules.from_document(earlier, version).meeting(())
    rules = Rules.from_document(newest, version + 1).meeting(())
    return replace(space, rules=rules, earlier=(EarlierRules(held, FOR_EVER),))


async def test_what_is_asked_first_is_not_overtaken() -> None:
    """A later batch of the stream, which asks nothing, is sent behind the one that asks."""
    backend = MachineBackend()
    backend.service.space = after_a_change(backend.service.space, EMAIL_FIRST, {})
    gateway, turns = Gateway(backend), Turns()
    user = gateway.shard_of("users", "user_id:u")
    email = next(
        each
        for each in (f"a{number}@example.com" for number in range(100))
        if gateway.shard_of("users", f"email:{each}") != user
    )
    held = backend.holding["first/user"] = asyncio.Event()
    asking = {"type": "identify", "messageId": "first", "userId": "u", "traits": {"email": email}}
    alone = {"type": "track", "messageId": "second", "userId": "u", "event": "Seen"}
    sending = [
        asyncio.create_task(gateway.send(each, turns=turns, is_resolved=False))
        for each in (asking, alone)
    ]
    for _ in range(20):
        await asyncio.sleep(0)
    assert [] == backend.appends
    held.set()
    await asyncio.gather(*sending)
    stored = [name for call in backend.appends for name in call]

    assert ["first/user", "first/user", "second/user"] == stored
    await gateway.settle()


async def test_an_account_side_that_is_owed_is_stored_whatever_the_rules_say_now() -> None:
    """The message was stored by an earlier attempt, so it is finished as it was promoted then."""
    gateway = Gateway()
    backend = gateway.backend
    account = apart(gateway)
    message = group("m", "u", account)
    backend.away = {gateway.shard_of("accounts", f"group_id:{account}")}
    with pytest.raises(ShardUnavailableError):
        await gateway.send(message)
    backend.away = set()
    nobody = {"blocked": [{"exact": "u"}, {"exact": account}]}
    backend.service.space = after_a_change(backend.service.space, {}, nobody)
    await gateway.directory.renew()
    (outcome,) = await gateway.send(message)

    assert outcome.rejection is None
    assert outcome.account_segment_id.startswith("acc_")
    assert 0 == backend.owed_count()
    assert (True, True) == gateway.are_linked("u", account)


async def test_what_asks_nobody_is_stored_though_a_question_is_refused() -> None:
    """A shard that knows newer rules refuses a question; the whole request is promoted again."""
    backend = MachineBackend()
    changed = backend.service.space = after_a_change(backend.service.space, EMAIL_FIRST, {})
    gateway = Gateway(backend)
    email, other = (
        next(each for each in names if gateway.shard_of("users", each) == shard)
        for shard, names in (
            (0, [f"email:a{number}@example.com" for number in range(100)]),
            (1, [f"user_id:u{number}" for number in range(100)]),
        )
    )
    newest = after_a_change(changed, {}, {})
    backend.service.space = replace(newest, earlier=changed.earlier)
    show_rules(backend, 0)
    asking = {
        "type": "identify",
        "messageId": "first",
        "userId": "u",
        "traits": {"email": email.removeprefix("email:")},
    }
    alone = {
        "type": "track",
        "messageId": "second",
        "userId": other.removeprefix("user_id:"),
        "event": "Seen",
    }
    outcomes = await gateway.send(asking, alone, is_resolved=False)

    assert [None, None] == [each.rejection for each in outcomes]
    assert [False, False] == [each.is_duplicate for each in outcomes]
    await gateway.settle()


async def test_what_a_user_holds_is_not_stored_under_an_account_as_well() -> None:
    """Of a message that is stored the rules of today make nothing else."""
    gateway = Gateway()
    backend = gateway.backend
    before = {"blocked": [{"exact": "g"}]}
    today = {"blocked": [{"exact": "u"}]}
    backend.service.space = replace(
        backend.service.space,
        rules=Rules.from_document(before, backend.service.space.rules.version).meeting(()),
    )
    await gateway.directory.renew()
    await gateway.send(group("m", "u", "g"))
    backend.service.space = after_a_change(backend.service.space, before, today)
    await gateway.directory.renew()
    (outcome,) = await gateway.send(group("m", "u", "g"))

    assert outcome.is_duplicate
    assert "" == outcome.account_segment_id
    assert ["m/user"] * 2 == [name for call in backend.appends for name in call]
    await gateway.settle()


async def test_accounts_of_what_was_refused_are_not_overtaken() -> None:
    """A later batch's accounts wait for those whose users' sides are promoted again."""
    backend = MachineBackend()
    gateway, turns = Gateway(backend), Turns()
    refused, taken, account = await one_shard_renewed(gateway)
    held = backend.holding["first/user"] = asyncio.Event()
    sending = [
        asyncio.create_task(gateway.send(group(name, user, account), turns=turns))
        for name, user in (("first", refused), ("second", taken))
    ]
    for _ in range(20):
        await asyncio.sleep(0)
    held.set()
    await asyncio.gather(*sending)
    stored = [name for call in backend.appends for name in call if name.endswith("/account")]

    assert ["first/account", "second/account"] == list(dict.fromkeys(stored))
    await gateway.settle()


async def test_accounts_of_what_was_refused_are_not_overtaken_in_their_batch() -> None:
    """Those of a batch's later events wait, too, stored though their users' sides are."""
    gateway = Gateway(MachineBackend())
    backend = gateway.backend
    refused, taken, account = await one_shard_renewed(gateway)
    alone = {"type": "group", "messageId": "third", "groupId": account}
    outcomes = await gateway.send(
        group("first", refused, account), group("second", taken, account), alone
    )
    stored = [name for call in backend.appends for name in call if not name.endswith("/user")]

    assert [None] * 3 == [each.rejection for each in outcomes]
    assert [False] * 3 == [each.is_duplicate for each in outcomes]
    assert ["first/account", "second/account", "third/account"] == list(dict.fromkeys(stored))
    assert 0 == backend.owed_count()
    await gateway.settle()


async def one_shard_renewed(gateway: Gateway) -> tuple[str, str, str]:
    """Changes the rules, and shows them to shard 0 alone.

    Returns:
        A user of that shard, one of another shard, and an account of a third.
    """
    backend = gateway.backend
    refused, taken = (
        next(each for each in users if gateway.shard_of("users", f"user_id:{each}") == shard)
        for shard, users in ((0, list("abcdefgh")), (1, list("ijklmnop")))
    )
    accounts = [f"g{number}" for number in range(100)]
    account = next(
        each for each in accounts if gateway.shard_of("accounts", f"group_id:{each}") == 2
    )
    await gateway.send(group("types", taken, account))  # they are met with it
    backend.appends.clear()
    backend.service.space = after_a_change(backend.service.space, {}, {})
    show_rules(backend, 0)
    return refused, taken, account


def show_rules(backend: MachineBackend, shard: int) -> None:
    """Shows a shard the rules that the space has by now."""
    space, here = backend.service.space, backend.service.shards[shard]
    shown = pack_batch(bytes(16), [(space.number, space.rules.version)], [])
    here.execute(here.machine.append(shown, here.store.next_number))
