"""The `Backend` over Ray: calls by actor name, repeated until they are answered."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import msgspec
import ray

from actors import names
from actors.hosting import STORAGE_FULL, RefusedError, decode_answer
from unify_grpc.machines.control_machine import Directory, NewSpace, SpaceCreated
from unify_grpc.machines.links import Append, Decided, PendingLink, decoder, encode
from unify_grpc.machines.reads import decode_answers, encode_questions
from unify_grpc.service.backend import CommandFailedError
from unify_grpc.service.errors import ShardUnavailableError, StoreFullError

if TYPE_CHECKING:
    from collections.abc import Callable

    from unify_grpc.machines.reads import Answer, Question
    from unify_grpc.placement.slots import ShardMap

PATIENCE_S = 30.0
"""How long a call is repeated; a shard is back after 2 to 4 seconds."""
RETRY_PAUSE_S = 0.05

_append = decoder(Append).decode
_decided = decoder(list[Decided]).decode
_directory = msgspec.msgpack.Decoder(Directory).decode
_space_created = msgspec.msgpack.Decoder(SpaceCreated).decode


class RayBackend:
    """Calls actors of the namespace `unify`, which others made."""

    def __init__(self, shard_map: ShardMap) -> None:
        self._shard_map = shard_map
        self._shards = [names.shard_name(shard) for shard in range(shard_map.shard_count)]
        self._handles: dict[str, Any] = {}

    @property
    def shard_map(self) -> ShardMap:
        """Which shard owns what."""
        return self._shard_map

    async def append(self, shard: int, batch: bytes) -> Append:
        """Stores a packed batch at a shard."""
        name = self._shards[shard]
        return _append(await self._call(name, lambda handle: handle.append.remote(batch)))

    async def link(self, links: list[PendingLink]) -> list[Decided]:
        """Has links decided, in their order; returns when they are visible."""
        data = encode(links)
        return _decided(await self._call(names.MERGE, lambda handle: handle.link.remote(data)))

    async def read(self, shard: int, questions: list[Question]) -> list[Answer]:
        """Has a shard answer questions."""
        data = encode_questions(questions)
        answers = await self._call(self._shards[shard], lambda handle: handle.read.remote(data))
        return decode_answers(questions, answers)

    async def directory(self) -> Directory:
        """Returns the spaces and who may call."""
        return _directory(await self._call(names.CONTROL, lambda each: each.directory.remote()))

    async def create_space(self, command: NewSpace) -> SpaceCreated:
        """Makes a space."""
        data = msgspec.msgpack.encode(command)
        return _space_created(
            await self._call(names.CONTROL, lambda handle: handle.create_space.remote(data))
        )

    async def _call(self, name: str, call: Callable[[Any], Any]) -> bytes:
        """Calls until there is an answer. A call that failed may have run: all are idempotent."""
        give_up = time.monotonic() + PATIENCE_S
        while True:
            try:
                handle = self._handles.get(name)
                if handle is None:
                    handle = self._handles[name] = ray.get_actor(name, namespace=names.NAMESPACE)
                return decode_answer(await call(handle))
            except RefusedError as refused:
                if str(refused) == STORAGE_FULL:
                    raise StoreFullError(actor=name) from refused
                raise CommandFailedError(f"{name} refused a command; its log says why") from refused
            except (ray.exceptions.RayActorError, ValueError) as error:
                self._handles.pop(name, None)
                if time.monotonic() > give_up:
                    raise ShardUnavailableError(actor=name) from error
                await asyncio.sleep(RETRY_PAUSE_S)
