"""Reads traits of people, one page each, and compares them with what was sent."""

from __future__ import annotations

import asyncio
import json
import time
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final

import grpc

from bench.conversation import Reads
from bench.profile_check import CALL_TIMEOUT_S, CHECKSUM_BYTES, profile_name
from unify_grpc._pb.unify.v1 import profile_service_pb2, profile_service_pb2_grpc

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.ledger import Name

TRAITS_PAGE: Final = 20
STABLE: Final = "email"
"""The trait that no event of a person changes."""
_CHANNEL_OPTIONS = [("grpc.use_local_subchannel_pool", 1)]
"""So that each caller has a connection of its own."""


class TraitReader:
    """Callers that read traits, each its next page when it has the one before it."""

    def __init__(
        self, address: str, access_token: str, people: Sequence[tuple[Name, bytes]]
    ) -> None:
        """Takes whose traits are read, by an identifier each, and what they are, as JSON."""
        self._address = address
        self._metadata = (("authorization", f"Bearer {access_token}"),)
        self._people = people
        self._answers_ms: list[float] = []
        self._wrong: list[str] = []
        self._is_changing = False
        self._is_ended = False

    async def read(self, callers: int, count: int) -> Reads:
        """Makes so many reads, shared among callers; every trait has to be the one expected."""
        each = count // callers
        return await self._run(callers, each)

    async def read_beside(self, callers: int, sending: asyncio.Future[Any]) -> Reads:
        """Reads until sending has ended; names of traits and what is stable are compared."""
        self._is_changing = True
        sending.add_done_callback(self._end)
        return await self._run(callers, None)

    def _end(self, sending: object) -> None:
        del sending
        self._is_ended = True

    async def _run(self, callers: int, count: int | None) -> Reads:
        began = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            running = [
                group.create_task(self._call(number, callers, count)) for number in range(callers)
            ]
        seconds = time.perf_counter() - began
        digest = blake2b(b"".join(each.result() for each in running), digest_size=CHECKSUM_BYTES)
        return Reads(seconds, self._answers_ms, self._wrong, digest.hexdigest())

    async def _call(self, number: int, callers: int, count: int | None) -> bytes:
        """Makes one caller's reads; returns a digest of what was read."""
        digest = blake2b(digest_size=CHECKSUM_BYTES)
        async with grpc.aio.insecure_channel(self._address, _CHANNEL_OPTIONS) as channel:
            # A read's time is not that of connecting.
            await channel.channel_ready()
            stub: Any = profile_service_pb2_grpc.ProfileServiceStub(channel)
            done = 0
            while done < count if count is not None else not self._is_ended:
                name, expected = self._people[(number + done * callers) % len(self._people)]
                done += 1
                request = profile_service_pb2.ListTraitsRequest(
                    name=profile_name(name), page_size=TRAITS_PAGE
                )
                began = time.perf_counter()
                response = await stub.ListTraits(
                    request, metadata=self._metadata, timeout=CALL_TIMEOUT_S
                )
                self._answers_ms.append((time.perf_counter() - began) * 1000)
                traits = {each.name: json.loads(each.value_json) for each in response.traits}
                digest.update(repr(sorted(traits.items())).encode())
                self._compare(name, traits, json.loads(expected))
        return digest.digest()

    def _compare(self, name: Name, traits: dict[str, Any], expected: dict[str, Any]) -> None:
        if self._is_changing:
            is_right = traits.keys() == expected.keys() and traits[STABLE] == expected[STABLE]
        else:
            is_right = traits == expected
        if not is_right:
            self._wrong.append(f"the traits of {name} are {traits}, not {expected}")
