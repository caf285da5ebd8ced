"""Deletes one identifier of one profile through the API, and looks at it before and after."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple
from uuid import UUID

import grpc

from bench.conversation import Deleted
from bench.ledger import USER_ID
from bench.profile_check import CALL_TIMEOUT_S, identifier, profile_name
from unify_grpc._pb.unify.v1 import profile_service_pb2, profile_service_pb2_grpc

if TYPE_CHECKING:
    from random import Random

    from bench.ledger import Ledger, Name
    from bench.profile_check import ProfileCheck

IDENTIFIERS_MIN = 3
"""Of a profile that is parted from one: the others go on being known to belong together."""


class Deletion(NamedTuple):
    """An identifier to delete, and what its profile is before and after."""

    named: Name
    """By which the profile is named."""
    deleted: Name
    request_id: str
    before: tuple[list[Name], int]
    """As `Ledger.profile` returns it; so `after`."""
    after: tuple[list[Name], int]


def draw_deletion(ledger: Ledger, random: Random) -> Deletion:
    """Draws a member and one of their devices or addresses, and has the ledger delete that.

    Members are drawn by how many events they have: who is drawn will act again, so that what a
    deletion makes unknown is met in the traffic that follows.
    """
    members = [name for name in ledger.names() if name.type == USER_ID]
    profiles = [ledger.profile(name) for name in members]
    weights = [
        events_count if len(names) >= IDENTIFIERS_MIN else 0 for names, events_count in profiles
    ]
    if not any(weights):
        raise SystemExit("nobody has identifiers enough to delete one: warm up for longer")
    (number,) = random.choices(range(len(members)), weights)
    named, before = members[number], profiles[number]
    deleted = random.choice([name for name in before[0] if name != named])
    ledger.delete(deleted)
    request_id = str(UUID(int=random.getrandbits(128), version=4))
    return Deletion(named, deleted, request_id, before, ledger.profile(named))


async def delete_identifier(address: str, deletion: Deletion, check: ProfileCheck) -> Deleted:
    """Deletes an identifier; notes in `check` where the profile is not as it has to be."""
    named, deleted = deletion.named, deletion.deleted
    async with grpc.aio.insecure_channel(address) as channel:
        stub = profile_service_pb2_grpc.ProfileServiceStub(channel)
        # Found by what is deleted next; and the time below is not that of connecting.
        await check.read(stub, deleted, deletion.before)
        request = profile_service_pb2.DeleteExternalIdsRequest(
            name=profile_name(named),
            external_ids=[identifier(deleted)],
            request_id=deletion.request_id,
        )
        began = time.perf_counter()
        response = await stub.DeleteExternalIds(
            request, metadata=check.metadata, timeout=CALL_TIMEOUT_S
        )
        took_ms = (time.perf_counter() - began) * 1000
        if list(response.deleted_external_ids) != [identifier(deleted)]:
            check.wrong.append(f"{deleted} was to be deleted; the answer names another")
        await check.read(stub, named, deletion.after)
        await check.read_nothing(stub, deleted)
    return Deleted(took_ms, len(deletion.before[0]))
