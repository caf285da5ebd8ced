"""The `Backend` over Ray: calls by actor name, repeated until they are answered."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import msgspec
import ray

from actors import names
from actors.auditing import read_audit, walk_of
from actors.backup_target import LocalBackupTarget
from actors.hosting import DAMAGED, STORAGE_FULL, WAITS_FOR_ROOM, RefusedError, decode_answer
from unify_grpc.machines.audit_trail import AuditPage
from unify_grpc.machines.backup_records import decode_reply
from unify_grpc.machines.backup_records import encode as encode_backup
from unify_grpc.machines.control_commands import decode_administered
from unify_grpc.machines.control_commands import encode as encode_command
from unify_grpc.machines.control_records import DirectoryChanges, RulesVersion
from unify_grpc.machines.deletions import decode_deleted
from unify_grpc.machines.links import Append, Decided, PendingLink, decoder, encode
from unify_grpc.machines.merge_reads import decode_answer as decode_links_explained
from unify_grpc.machines.owed_sides import OwedSide
from unify_grpc.machines.part_reports import decode_merge_report, decode_shard_report
from unify_grpc.machines.reads import decode_answers, encode_questions
from unify_grpc.service.backend import CommandFailedError
from unify_grpc.service.errors import (
    ShardUnavailableError,
    StoreDamagedError,
    StoreFullError,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from unify_grpc.machines.audit_trail import AuditQuery
    from unify_grpc.machines.backup_records import AnyBackupCommand, PartReply
    from unify_grpc.machines.control_commands import Administered, AnyCommand
    from unify_grpc.machines.deletions import DeleteCommand, Deleted
    from unify_grpc.machines.merge_reads import ExplainLinks, LinksExplained
    from unify_grpc.machines.owed_sides import ClearedSide
    from unify_grpc.machines.part_reports import MergeReport, ShardReport
    from unify_grpc.machines.reads import Answer, Question
    from unify_grpc.placement.slots import ShardMap
    from unify_grpc.settings import Settings

PATIENCE_S = 30.0
"""How long a call is repeated; a shard is back after 2 to 4 seconds."""
RETRY_PAUSE_S = 0.05
FULL_TEXTS = {
    "disk": "There is no room on the disk; calls are taken again when there is.",
    "map": "A file has grown to map_bytes; calls are taken after a start with a larger one.",
}
_GONE = (ray.exceptions.RayActorError, ValueError)
"""An actor has ended, or there is none of that name."""
UNFINISHED_TEXT = "It has begun and waits for room; the same call can be made again."

_append = decoder(Append).decode
_decided = decoder(list[Decided]).decode
_owed = decoder(list[OwedSide]).decode
_directory_changes: Callable[[bytes], DirectoryChanges | None] = msgspec.msgpack.Decoder(
    DirectoryChanges | None
).decode
_rules: Callable[[bytes], RulesVersion | None] = msgspec.msgpack.Decoder(RulesVersion | None).decode
_audit_page = msgspec.msgpack.Decoder(AuditPage).decode
_count = msgspec.msgpack.Decoder(int).decode
_is_done = msgspec.msgpack.Decoder(bool).decode


class RayBackend:
    """Calls actors of the namespace `unify`, which others made."""

    def __init__(self, shard_map: ShardMap, settings: Settings) -> None:
        self._shard_map = shard_map
        self._shards = [names.shard_name(shard) for shard in range(shard_map.shard_count)]
        self._handles: dict[str, Any] = {}
        self._data_dir = settings.data_dir
        self._reserve_bytes = settings.reserve_bytes

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

    async def delete(self, command: DeleteCommand) -> Deleted:
        """Parts a profile from an identifier; returns when every shard has it."""
        data = encode(command)
        return decode_deleted(await self._call(names.MERGE, lambda each: each.delete.remote(data)))

    async def clear_owed(self, shard: int, sides: list[ClearedSide]) -> None:
        """Ends marks of user's sides at a shard: the account's are durable."""
        data = encode(sides)
        await self._call(self._shards[shard], lambda handle: handle.clear_owed.remote(data))

    async def list_owed(self, shard: int, *, before_us: int, sides_max: int) -> list[OwedSide]:
        """Returns a shard's sides received before a moment that owe their account's."""
        return _owed(
            await self._call(
                self._shards[shard], lambda handle: handle.list_owed.remote(before_us, sides_max)
            )
        )

    async def explain(self, question: ExplainLinks) -> LinksExplained:
        """Has the merge actor say how two identifiers were linked, or kept apart."""
        data = encode(question)
        return decode_links_explained(
            await self._call(names.MERGE, lambda handle: handle.explain.remote(data))
        )

    async def fill_search(self, shard: int) -> bool:
        """Has a shard go on making search complete; returns whether it is."""
        name = self._shards[shard]
        return _is_done(await self._call(name, lambda handle: handle.fill_search.remote()))

    def shard_name(self, shard: int) -> str:
        """Returns what a shard goes by in reports."""
        return self._shards[shard]

    def part_name(self, part: int) -> str:
        """Returns what a part of a verification goes by in reports."""
        return names.part_name(part)

    async def audit(self, part: int, request: bytes) -> tuple[bytes, float]:
        """Has a part answer a packed request of a verification; says what that cost, in seconds.

        A walk may end the part's process, over pages that the disk does not give any more. So it
        is repeated once, and given up before it ends the part again and again.
        """
        name = names.part_name(part)
        for repetitions_left in (1, 0):
            try:
                answer = await self._reach_once(name, lambda handle: handle.audit.remote(request))
                return read_audit(_read(name, answer))
            except _GONE as error:
                self._handles.pop(name, None)
                if not repetitions_left:
                    walk = walk_of(request)
                    text = f"{name} ended twice while it was verified: {walk}."
                    raise ShardUnavailableError(text, actor=name, walk=walk) from error
                await self._reach(name, lambda handle: handle.ping.remote())
        raise AssertionError("the last repetition returns or raises")

    @property
    def merge_name(self) -> str:
        """What the merge actor goes by in reports."""
        return names.MERGE

    async def shard_status(self, shard: int) -> ShardReport:
        """Returns how a shard is doing; ask it with a timeout."""
        name = self._shards[shard]
        return decode_shard_report(await self._call(name, lambda each: each.status.remote()))

    async def merge_status(self) -> MergeReport:
        """Returns how the merge actor is doing; ask it with a timeout."""
        return decode_merge_report(await self._call(names.MERGE, lambda each: each.status.remote()))

    @property
    def backup_parts(self) -> list[str]:
        """The names of all stores' parts, control's first."""
        return [names.CONTROL, names.MERGE, *self._shards]

    async def back_up(self, part: str, command: AnyBackupCommand) -> PartReply:
        """Has a part do its share of a backup; ask it with a timeout."""
        data = encode_backup(command)
        return decode_reply(await self._call(part, lambda handle: handle.back_up.remote(data)))

    def backup_target(self, directory: str) -> LocalBackupTarget:
        """Returns the directory of a backup on this machine."""
        return LocalBackupTarget(directory, self.backup_parts, self._data_dir, self._reserve_bytes)

    async def read(self, shard: int, questions: list[Question]) -> list[Answer]:
        """Has a shard answer questions."""
        data = encode_questions(questions)
        answers = await self._call(self._shards[shard], lambda handle: handle.read.remote(data))
        return decode_answers(questions, answers)

    async def renew_directory(self, gateway: str, revision: int) -> DirectoryChanges | None:
        """Returns what changed since the revision that a gateway holds; None: nothing."""
        return _directory_changes(
            await self._call(
                names.CONTROL, lambda handle: handle.renew_directory.remote(gateway, revision)
            )
        )

    async def leave_directory(self, gateway: str) -> None:
        """Says that a gateway serves no calls any more."""
        await self._call(names.CONTROL, lambda handle: handle.leave_directory.remote(gateway))

    async def count_gateways_behind(self, revision: int) -> int:
        """Returns how many live gateways may hold an older revision of the directory."""
        return _count(
            await self._call(
                names.CONTROL, lambda handle: handle.count_gateways_behind.remote(revision)
            )
        )

    async def administer(self, command: AnyCommand) -> Administered:
        """Makes an administrative change, or says why not."""
        data = encode_command(command)
        return decode_administered(
            await self._call(names.CONTROL, lambda handle: handle.administer.remote(data))
        )

    async def see_types(self, space: int, types: list[str]) -> None:
        """Has a space meet types of identifiers, as far as it welcomes them."""
        await self._call(names.CONTROL, lambda handle: handle.see_types.remote(space, types))

    async def adopt_rules(self, space: int, rules: RulesVersion) -> None:
        """Has the merge actor keep to rules from now on."""
        await self._call(
            names.MERGE,
            lambda handle: handle.adopt_rules.remote(space, rules.version, rules.document),
        )

    async def read_rules(self, space: int, version: int) -> RulesVersion | None:
        """Returns a version of a space's rules, None for one that never was."""
        return _rules(
            await self._call(names.CONTROL, lambda handle: handle.read_rules.remote(space, version))
        )

    async def list_audit(self, query: AuditQuery) -> AuditPage:
        """Returns a page of the audit trail."""
        data = encode(query)
        return _audit_page(
            await self._call(names.CONTROL, lambda handle: handle.list_audit.remote(data))
        )

    async def _call(self, name: str, call: Callable[[Any], Any]) -> bytes:
        """Calls until there is an answer. A call that failed may have run: all are idempotent."""
        return _read(name, await self._reach(name, call))

    async def _reach(self, name: str, call: Callable[[Any], Any]) -> Any:
        """Calls until an actor returns something."""
        give_up = time.monotonic() + PATIENCE_S
        while True:
            try:
                return await self._reach_once(name, call)
            except _GONE as error:
                self._handles.pop(name, None)
                if time.monotonic() > give_up:
                    raise ShardUnavailableError(actor=name) from error
                await asyncio.sleep(RETRY_PAUSE_S)

    async def _reach_once(self, name: str, call: Callable[[Any], Any]) -> Any:
        """Calls an actor; `_GONE` if it is not there, or ends."""
        handle = self._handles.get(name)
        if handle is None:
            handle = self._handles[name] = ray.get_actor(name, namespace=names.NAMESPACE)
        return await call(handle)


def _read(name: str, answer: bytes) -> bytes:
    """Returns what an actor answers; raises what a caller is told of its refusal."""
    try:
        return decode_answer(answer)
    except RefusedError as refused:
        raise _told(name, str(refused)) from refused


def _told(name: str, refusal: str) -> Exception:
    """Returns what a caller is told of an actor's refusal."""
    reason, _, full = refusal.partition(": ")
    if reason == STORAGE_FULL:
        return StoreFullError(FULL_TEXTS.get(full, ""), actor=name, full=full)
    if reason == WAITS_FOR_ROOM:
        return ShardUnavailableError(UNFINISHED_TEXT, actor=name)
    if reason == DAMAGED:
        return StoreDamagedError(actor=name)
    return CommandFailedError(f"{name} refused a command; its log says why")
