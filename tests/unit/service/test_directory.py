"""Who is let in by a gateway, and until when."""

from __future__ import annotations

import asyncio
import base64
import time

import pytest

from tests.unit.machines.one_control import OneControl
from tests.unit.service.control_backend import ControlBackend
from unify_grpc.machines.control_records import ACCESS_TOKEN, WRITE_KEY
from unify_grpc.machines.gateway_leases import LEASE_S
from unify_grpc.service.directory import (
    DEDUPE_WINDOW_DAYS,
    RENEWAL_INTERVAL_S,
    US_PER_DAY,
    SpaceDirectory,
)
from unify_grpc.service.errors import (
    CredentialInvalidError,
    ShardUnavailableError,
    SpaceNotFoundError,
)


@pytest.fixture
def backend() -> ControlBackend:
    """A deployment with one space, and an admin token `admin`."""
    made = ControlBackend()
    made.control.create("one")
    return made


async def loaded(backend: ControlBackend) -> SpaceDirectory:
    """Returns a directory that has been loaded."""
    directory = SpaceDirectory(backend, ("refused",), backend.clock)  # type: ignore[arg-type]  # a part of it
    await directory.renew()
    return directory


async def test_keys_open_their_space(backend: ControlBackend) -> None:
    """A write key and a token open their own space, an admin token the one that is named."""
    backend.control.create("two")
    directory = await loaded(backend)
    basic = base64.b64encode(b"write-one:").decode()
    callers = [
        await directory.authenticate("Bearer token-two", ""),
        await directory.authenticate("Basic " + basic, "two"),
        await directory.authenticate("Bearer admin", "one"),
        await directory.authenticate("Bearer admin", "spa_two"),
        await directory.authenticate("Bearer admin", ""),
    ]

    assert ["two", "one", "one", "two", None] == [
        each.space.record.name if each.space else None for each in callers
    ]
    with pytest.raises(SpaceNotFoundError):
        await directory.authenticate("Bearer admin", "three")


@pytest.mark.parametrize("value", ["", "Bearer ", "Bearer unknown", "Basic ???", "write-one"])
async def test_nobody_else_is_let_in(backend: ControlBackend, value: str) -> None:
    """Without a key that control knows there is no way in."""
    directory = await loaded(backend)

    with pytest.raises(CredentialInvalidError):
        await directory.authenticate(value, "")


async def test_well_known_keys_are_refused(backend: ControlBackend) -> None:
    """A key that everybody knows opens nothing, even if control has it."""
    backend.control.create_source("dev", write_key="refused")

    with pytest.raises(CredentialInvalidError):
        await (await loaded(backend)).authenticate("Bearer refused", "")


async def test_a_new_key_is_asked_for(backend: ControlBackend) -> None:
    """A key made through another gateway works here at once; guesses cost control little."""
    directory = await loaded(backend)
    backend.control.create_source("shop")
    backend.now_s += RENEWAL_INTERVAL_S
    caller = await directory.authenticate("Bearer write-shop", "")
    asked = backend.renewals
    for guess in range(9):
        with pytest.raises(CredentialInvalidError):
            await directory.authenticate(f"Bearer guess-{guess}", "")

    assert "src_shop" == directory.source_id(caller.credential.source)
    assert asked == backend.renewals


async def test_a_revoked_key_is_out_with_the_next_renewal(backend: ControlBackend) -> None:
    """So is whoever was let in by it and calls for longer."""
    directory = await loaded(backend)
    caller = await directory.authenticate("Bearer write-one", "")
    assert caller == directory.check_again(caller)
    backend.control.revoke(WRITE_KEY, "src_one")
    await directory.renew()

    with pytest.raises(CredentialInvalidError):
        await directory.authenticate("Bearer write-one", "")
    with pytest.raises(CredentialInvalidError):
        directory.check_again(caller)


async def test_an_expired_token_is_out(backend: ControlBackend) -> None:
    """Its end comes by itself, without control."""
    now_us = time.time_ns() // 1000
    backend.control.create_token("past", expire_us=now_us - 1, now_us=now_us - 2)
    backend.control.create_token("future", expire_us=now_us + 10**9, now_us=now_us)
    directory = await loaded(backend)
    await directory.authenticate("Bearer token-future", "")

    with pytest.raises(CredentialInvalidError):
        await directory.authenticate("Bearer token-past", "")


async def test_without_control_nobody_is_let_in_for_long(backend: ControlBackend) -> None:
    """What a gateway knows may be wrong after a lease; until then, and from the next answer on,
    it goes by it.
    """
    directory = await loaded(backend)
    caller = await directory.authenticate("Bearer write-one", "")
    backend.is_up = False
    backend.now_s += LEASE_S
    await directory.authenticate("Bearer write-one", "")
    backend.now_s += 0.1
    with pytest.raises(ShardUnavailableError):
        await directory.authenticate("Bearer write-one", "")
    with pytest.raises(ShardUnavailableError):
        directory.check_again(caller)

    backend.is_up = True
    backend.now_s += RENEWAL_INTERVAL_S
    await directory.authenticate("Bearer write-one", "")
    assert caller == directory.check_again(caller)


async def test_a_lease_ends_before_control_forgets_the_gateway(backend: ControlBackend) -> None:
    """So no change is taken to act everywhere while a gateway still lets in by the old state."""
    directory = await loaded(backend)
    backend.is_up = False
    backend.control.revoke(WRITE_KEY, "src_one")
    revision = backend.control.machine.revision
    while backend.leases.count_behind(revision, backend.now_s):
        backend.now_s += 0.1

    with pytest.raises(ShardUnavailableError):
        await directory.authenticate("Bearer write-one", "")


async def test_a_change_waits_for_every_gateway(backend: ControlBackend) -> None:
    """Also for the one that did not make it, until that one has renewed."""
    here, there = await loaded(backend), await loaded(backend)
    done = backend.control.revoke(WRITE_KEY, "src_one")
    spreading = asyncio.ensure_future(here.spread(done.revision))
    for _ in range(20):
        await asyncio.sleep(0)
    assert not spreading.done()
    await there.renew()
    await spreading

    with pytest.raises(CredentialInvalidError):
        await there.authenticate("Bearer write-one", "")


async def test_nobody_waits_for_a_gateway_that_left(backend: ControlBackend) -> None:
    """A gateway that stops says so."""
    here, there = await loaded(backend), await loaded(backend)
    await there.leave()
    await here.spread(backend.control.revoke(WRITE_KEY, "src_one").revision)

    backend.is_up = False
    await here.leave()


async def test_rules_change_with_the_next_renewal(backend: ControlBackend) -> None:
    """A caller of a long call gets the present rules; keys of identifiers stay known."""
    directory = await loaded(backend)
    caller = await directory.authenticate("Bearer write-one", "")
    assert caller.space is not None
    backend.control.set_rules(b'{"caps": {"merges": 3}}')
    await directory.renew()
    present = directory.check_again(caller).space

    assert present is not None
    assert (2, 3) == (present.view.rules.version, present.view.rules.merges_max)
    assert caller.space.view.packed is present.view.packed


async def test_met_types_come_with_the_space(backend: ControlBackend) -> None:
    """A space that was asked to meet types has those that there was room for."""
    directory = await loaded(backend)
    space = await directory.see_types(directory.find_space("one"), ("phone", "NO TYPE"))

    assert frozenset({"phone"}) == space.view.rules.met_types
    assert 1 == space.view.rules.version


async def test_many_spaces_are_renewed_by_what_changed(backend: ControlBackend) -> None:
    """A change of one space is all that travels, however many there are."""
    for number in range(300):
        backend.control.create(f"space-{number}")
    directory = await loaded(backend)
    held = directory.spaces()
    backend.control.create_source("shop")
    backend.control.set_rules(b"{}", space=7)
    await directory.renew()

    assert 301 == len(held) == len(directory.spaces())
    assert [7] == [
        new.record.number
        for old, new in zip(held, directory.spaces(), strict=True)
        if old is not new
    ]
    assert ["src_one", "src_shop"] == [
        each.credential_id for each in directory.credentials_of(held[0], WRITE_KEY)
    ]
    assert ["tok_one"] == [
        each.credential_id for each in directory.credentials_of(held[0], ACCESS_TOKEN)
    ]


async def test_an_id_goes_before_a_name(backend: ControlBackend) -> None:
    """A space that is named like another's id does not hide it, whichever came first."""
    backend.control.create("spa_one")
    backend.control.create("spa_three")
    backend.control.create("three")
    directory = await loaded(backend)

    assert ["one", "three"] == [
        directory.find_space(name).record.name for name in ("spa_one", "spa_three")
    ]


async def test_a_restored_control_takes_the_place_of_what_was_known(
    backend: ControlBackend,
) -> None:
    """Keys of a state that was never there are out."""
    directory = await loaded(backend)
    backend.control.create("two")
    await directory.renew()
    backend.control = OneControl()
    backend.control.found()
    backend.control.create("other")
    await directory.renew()

    assert ["other"] == [space.record.name for space in directory.spaces()]
    with pytest.raises(CredentialInvalidError):
        await directory.authenticate("Bearer write-two", "")


async def test_anchors_of_rules_that_were_replaced_are_asked_for_a_lease_longer(
    backend: ControlBackend,
) -> None:
    """A gateway that missed the change stores under them until its lease is over."""
    document = b'{"identifiers": [{"type": "email"}, {"type": "user_id"}]}'
    newest = backend.control.set_rules(document).rules
    assert newest is not None
    directory = await loaded(backend)
    (earlier,) = directory.spaces()[0].view.earlier

    assert 1 == earlier.rules.version
    window_us = DEDUPE_WINDOW_DAYS * US_PER_DAY
    assert earlier.until_us > newest.created_us + window_us + LEASE_S * 1_000_000
