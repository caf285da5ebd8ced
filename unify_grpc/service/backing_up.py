"""`CreateBackup`: all stores as they are at one instant, copied while the service goes on.

What is asked of whom, and when, is decided in `machines/backup_barrier.py`; here it is asked. An
attempt ends in order whatever becomes of its caller: one who hangs up, or whose deadline passes,
ends it, and then nothing of it is left.

Which request a backup answers is kept in two places. The backup itself names it, so a repetition
with the directory finds its answer there for as long as that is kept. Control, which writes every
request into the audit trail, knows for a day that the same id came with another directory.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import posixpath
import secrets
import time
from typing import TYPE_CHECKING, Any, Final

import msgspec

from unify_grpc._pb.unify.v1 import header_pb2, operations_service_pb2
from unify_grpc.machines.backup_barrier import BackupBarrier, Cause, Phase
from unify_grpc.machines.backup_records import BackupManifest, End, Look
from unify_grpc.machines.control_commands import REQUEST_ID_REUSED, Occurrence
from unify_grpc.machines.versions import MACHINE_VERSIONS
from unify_grpc.service.administration import facts_of
from unify_grpc.service.backend import CommandFailedError
from unify_grpc.service.checks import request_id_violations
from unify_grpc.service.errors import (
    BackupFailedError,
    BackupRunningError,
    RequestIdReusedError,
    RequestInvalidError,
    ShardUnavailableError,
    StoreDamagedError,
    StoreFullError,
    UnifyError,
)
from unify_grpc.service.profile_wire import time_to_wire
from unify_grpc.telemetry.logs import get_logger

if TYPE_CHECKING:
    from unify_grpc.machines.backup_barrier import Ask, Failure
    from unify_grpc.machines.backup_records import PartReply
    from unify_grpc.service.backend import Backend, BackupTarget
    from unify_grpc.service.calls import Call

ANSWER_S: Final = 5.0
"""For a part's answer to anything: a copy is asked about, never waited for."""
END_ANSWER_S: Final = 1.0
"""The same where a backup is given up: a part that is not heard gives it up by itself."""
LOOK_PAUSE_S: Final = 0.2
DIRECTORY_CHARS_MAX: Final = 4000
BACKUP_ID_BYTES: Final = 8
SILENT_TEXT: Final = "A part did not answer in time, or started anew; the backup was given up."


class Backuper:
    """Makes backups, for one gateway."""

    def __init__(self, backend: Backend) -> None:
        """Takes how the parts and the disk are reached."""
        self._backend = backend
        self._attempts: set[asyncio.Task[BackupManifest]] = set()

    async def create(self, request: Any, call: Call) -> Any:
        """Answers a `CreateBackupRequest`.

        Raises:
            UnifyError: there is no backup then, and nothing of it is left.
        """
        directory = check_create_backup(request)
        facts = facts_of(call, request)
        await self._write_down(directory, facts)
        target = self._backend.backup_target(directory)
        manifest = await target.find_manifest()
        if manifest is None or not _answers(manifest, facts["request_id"]):
            manifest = await self._make(target, directory, facts["request_id"])
        return operations_service_pb2.CreateBackupResponse(
            directory=request.directory,
            snapshot_time=time_to_wire(manifest.snapshot_us),
            size_bytes=manifest.size_bytes,
            header=header_pb2.ReplyHeader(request_id=call.request_id),
        )

    async def _write_down(self, directory: str, facts: dict[str, Any]) -> None:
        """Writes the request into the audit trail; refuses its id with another directory.

        Where control has no room for that the backup is made all the same: it is what helps then.
        """
        details = msgspec.json.encode({"directory": directory})
        occurrence = Occurrence(space=0, action="CreateBackup", details=details, **facts)
        try:
            async with asyncio.timeout(ANSWER_S):
                done = await self._backend.administer(occurrence)
        except TimeoutError:
            raise ShardUnavailableError(SILENT_TEXT, actor=self._backend.backup_parts[0]) from None
        except StoreFullError:
            get_logger("gateway").warning("backup_not_in_audit_trail", call_id=facts["call_id"])
            return
        if done.refusal == REQUEST_ID_REUSED:
            raise RequestIdReusedError

    async def _make(self, target: BackupTarget, directory: str, request_id: str) -> BackupManifest:
        attempt = _Attempt(self._backend, target, directory, request_id)
        task = asyncio.get_running_loop().create_task(attempt.run())
        self._attempts.add(task)
        task.add_done_callback(self._forget)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            attempt.stop()
            raise

    def _forget(self, task: asyncio.Task[BackupManifest]) -> None:
        self._attempts.discard(task)
        if not task.cancelled():
            task.exception()  # told to the caller, if there still is one


class _Attempt:
    """One attempt at a backup; not cancelled from outside but told to stop."""

    def __init__(
        self, backend: Backend, target: BackupTarget, directory: str, request_id: str
    ) -> None:
        self._backend = backend
        self._target = target
        self._request_id = request_id
        self._backup = secrets.token_hex(BACKUP_ID_BYTES)
        self._barrier = BackupBarrier(
            self._backup, backend.backup_parts, posixpath.join(directory, self._backup)
        )
        self._snapshot_us = 0
        self._stopping = asyncio.Event()
        self._log = get_logger("gateway").bind(backup=self._backup)

    def stop(self) -> None:
        """Has it end in order, without a backup unless that is finished already."""
        self._stopping.set()

    async def run(self) -> BackupManifest:
        """Makes the backup, or leaves nothing behind and raises why."""
        barrier, is_made = self._barrier, False
        try:
            await self._ask_all(barrier.begin())
            if barrier.phase is Phase.RESERVED:
                room_bytes = await self._target.make(self._backup)
                is_made = True
                await self._ask_all(barrier.hold(room_bytes))
        finally:
            # Also where the directory cannot be used: nothing has been asked for but the right.
            await self._ask_all(barrier.stop())
        if barrier.failure is not None:
            self._log.warning("backup_failed", cause=barrier.failure.cause.name)
            if is_made:
                await self._target.remove(self._backup, is_described=False)
            raise _error_of(barrier.failure)
        assert barrier.facts is not None, "all parts held still"
        manifest = BackupManifest(
            facts=barrier.facts,
            backup=self._backup,
            request_id=self._request_id,
            snapshot_us=self._snapshot_us,
            files=barrier.files,
            version=_software_version(),
            machine_versions=MACHINE_VERSIONS,
        )
        try:
            await self._target.finish(manifest)
        except UnifyError:
            await self._target.remove(self._backup, is_described=True)
            raise
        self._log.info("backup_made", size_bytes=manifest.size_bytes)
        return manifest

    async def _ask_all(self, asks: list[Ask]) -> None:
        """Asks, takes the answers, and asks what follows, until that is nothing."""
        barrier = self._barrier
        stopping = asyncio.ensure_future(self._stopping.wait())
        waiting = {asyncio.ensure_future(self._ask(each)) for each in asks}
        try:
            while barrier.asked:
                await asyncio.wait({stopping, *waiting}, return_when=asyncio.FIRST_COMPLETED)
                done = {each for each in waiting if each.done()}
                more: list[Ask] = []
                for task in done:
                    ask, reply = task.result()
                    if reply is None:
                        more += barrier.unanswered(ask)
                    else:
                        more += barrier.answered(ask, reply)
                waiting -= done
                if barrier.phase is Phase.RELEASING and not self._snapshot_us:
                    self._snapshot_us = time.time_ns() // 1000
                if stopping.done():
                    stopping = asyncio.ensure_future(asyncio.Event().wait())
                    more += barrier.stop()
                waiting |= {asyncio.ensure_future(self._ask(each)) for each in more}
        finally:
            for each in (stopping, *waiting):
                each.cancel()

    async def _ask(self, ask: Ask) -> tuple[Ask, PartReply | None]:
        """Asks one part; None if it does not answer in time."""
        if isinstance(ask.command, Look):
            await asyncio.sleep(LOOK_PAUSE_S)
        patience_s = END_ANSWER_S if isinstance(ask.command, End) else ANSWER_S
        try:
            async with asyncio.timeout(patience_s):
                return ask, await self._backend.back_up(ask.part, ask.command)
        except (
            TimeoutError,
            ShardUnavailableError,
            StoreFullError,
            StoreDamagedError,
            CommandFailedError,
        ) as error:
            self._log.warning("backup_part_silent", part=ask.part, error=type(error).__name__)
            return ask, None


def check_create_backup(request: Any) -> str:
    """Returns the directory of a good request, normalised.

    Raises:
        RequestInvalidError: with every fault.
    """
    directory: str = request.directory
    violations = []
    if not directory:
        violations.append(("directory", "is required"))
    elif len(directory) > DIRECTORY_CHARS_MAX or "\0" in directory:
        violations.append(("directory", f"has over {DIRECTORY_CHARS_MAX} characters, or a NUL"))
    elif not directory.startswith("/"):
        violations.append(("directory", "must be an absolute path"))
    violations.extend(request_id_violations(request))
    if violations:
        raise RequestInvalidError(violations)
    return posixpath.normpath(directory)


def _software_version() -> str:
    try:
        return importlib.metadata.version("unify")
    except importlib.metadata.PackageNotFoundError:  # run from its sources, not installed
        return ""


def _answers(manifest: BackupManifest, request_id: str) -> bool:
    return bool(request_id) and manifest.request_id == request_id


def _error_of(failure: Failure) -> UnifyError:
    """Returns what the caller is told."""
    match failure.cause:
        case Cause.RUNNING:
            return BackupRunningError()
        case Cause.FULL:
            return StoreFullError("There is not enough room for the backup.", full="disk")
        case Cause.FAILED:
            where = f"{failure.part}: " if failure.part else ""
            return BackupFailedError(f"The backup failed: {where}{failure.detail}.")
        case Cause.STOPPED:
            return BackupFailedError("Nobody waited for the backup any more.")
        case Cause.UNAVAILABLE:
            return ShardUnavailableError(SILENT_TEXT, actor=failure.part)
