"""Carries administrative changes out, and waits until they act everywhere."""

from __future__ import annotations

import asyncio
import time
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

import msgspec

from unify_grpc.identity.rules import Rules
from unify_grpc.machines.batch import CALL_ID_BYTES, pack_batch
from unify_grpc.machines.control_commands import (
    ACCESS_TOKEN_NOT_FOUND,
    REQUEST_ID_REUSED,
    REQUEST_INVALID,
    RULES_CHANGED,
    SOURCE_NOT_FOUND,
    SPACE_NAME_TAKEN,
    SPACE_NOT_FOUND,
)
from unify_grpc.machines.control_records import ADMIN_TOKEN
from unify_grpc.service.errors import (
    AccessTokenNotFoundError,
    RequestIdReusedError,
    RequestInvalidError,
    RulesChangedError,
    SourceNotFoundError,
    SpaceNameTakenError,
    SpaceNotFoundError,
    UnifyError,
)

if TYPE_CHECKING:
    from unify_grpc.machines.control_commands import Administered, AnyCommand, NewRules
    from unify_grpc.machines.control_records import RulesVersion
    from unify_grpc.service.backend import Backend
    from unify_grpc.service.calls import Call
    from unify_grpc.service.directory import SpaceDirectory

REFUSALS: Final[dict[str, type[UnifyError]]] = {
    SPACE_NAME_TAKEN: SpaceNameTakenError,
    SPACE_NOT_FOUND: SpaceNotFoundError,
    SOURCE_NOT_FOUND: SourceNotFoundError,
    ACCESS_TOKEN_NOT_FOUND: AccessTokenNotFoundError,
    RULES_CHANGED: RulesChangedError,
    REQUEST_ID_REUSED: RequestIdReusedError,
}


class Administration:
    """Changes of spaces, rules and credentials.

    A change that control has made stands, whatever fails after it. Its caller then repeats it with
    the same request id, which makes nothing anew and waits for the rest.
    """

    def __init__(self, backend: Backend, directory: SpaceDirectory) -> None:
        self._backend = backend
        self._directory = directory

    async def carry_out(self, command: AnyCommand) -> Administered:
        """Makes a change; returns when every gateway knows of it.

        Raises:
            UnifyError: what control refuses it for.
        """
        done = await self._administer(command)
        await self._directory.spread(done.revision)
        return done

    async def set_rules(self, command: NewRules) -> Administered:
        """Changes a space's rules; returns when they act in every part of the service.

        Shards go first: one that knows the new version refuses what was promoted under an older
        one, so no gateway that is late can go on by it. Then the merge actor, for its decisions.
        """
        done = await self._administer(command)
        assert done.rules is not None, "who sets rules is told them"
        await self._show_shards(command.space, done.rules)
        await self._backend.adopt_rules(command.space, done.rules)
        await self._directory.spread(done.revision)
        return done

    async def _administer(self, command: AnyCommand) -> Administered:
        done = await self._backend.administer(command)
        if done.refusal == REQUEST_INVALID:
            raise RequestInvalidError(done.violations)
        if done.refusal:
            raise REFUSALS[done.refusal]
        return done

    async def _show_shards(self, space: int, rules: RulesVersion) -> None:
        """Shows every shard a version of the rules, by a batch that has nothing else in it."""
        names = Rules.from_document(
            msgspec.json.decode(rules.document), rules.version
        ).searchable_traits
        version = [(space, rules.version)]
        shown = pack_batch(bytes(CALL_ID_BYTES), version, [], {space: names})
        shards = range(self._backend.shard_map.shard_count)
        await asyncio.gather(*(self._backend.append(shard, shown) for shard in shards))


def facts_of(call: Call, request: Any) -> dict[str, Any]:
    """Returns what every command says of the call that it came by."""
    credential = call.caller.credential
    asked = call.method.encode() + b"\0" + request.SerializeToString(deterministic=True)
    return {
        "author": credential.credential_id,
        "author_name": credential.name,
        "now_us": time.time_ns() // 1000,
        "call_id": call.request_id,
        "request_id": request.request_id.replace("-", "").lower(),
        "caller_space": 0 if credential.kind == ADMIN_TOKEN else credential.space,
        "content": sha256(asked).digest(),
    }
