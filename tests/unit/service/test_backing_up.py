"""`CreateBackup` at a gateway: what it answers, and that what fails leaves nothing behind."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

import pytest

from tests.unit.machines.one_control import OneControl
from unify_grpc._pb.unify.v1 import operations_service_pb2
from unify_grpc.machines.audit_trail import AuditQuery
from unify_grpc.machines.backup_part import BackupPart, Effect
from unify_grpc.machines.backup_records import (
    COPIED,
    COPYING,
    FULL,
    OVER,
    BackupCommand,
    CopiedFile,
    Copy,
    End,
    Hold,
    Look,
    PartReply,
    Release,
    StoreFacts,
)
from unify_grpc.machines.control_records import ADMIN_TOKEN, Credential
from unify_grpc.machines.versions import MACHINE_VERSIONS
from unify_grpc.service import backing_up
from unify_grpc.service.backing_up import Backuper
from unify_grpc.service.calls import Call
from unify_grpc.service.directory import Caller
from unify_grpc.service.errors import (
    BackupExistsError,
    BackupFailedError,
    BackupRunningError,
    RequestIdReusedError,
    RequestInvalidError,
    ShardUnavailableError,
    StoreFullError,
    UnifyError,
)

if TYPE_CHECKING:
    from unify_grpc.machines.backup_records import AnyBackupCommand, BackupManifest
    from unify_grpc.machines.control_commands import Administered, AnyCommand

PARTS = ["control", "merge-0", "shard-0"]
FACTS = StoreFacts("d1", 1, 2, 0)
FILE_BYTES = 40
IMPATIENT_S = 0.2
PATIENT_S = 5.0
REQUEST_ID = "0a6b7c1e-2f3d-4c5b-8a9f-1e2d3c4b5a69"


class Directory:
    """A directory in memory."""

    def __init__(self) -> None:
        self.manifest: BackupManifest | None = None
        self.attempts: set[str] = set()
        """That have left something in it."""
        self.is_used = False
        self.room_bytes = 1000
        self.finish_fails: UnifyError | None = None
        self.removed = asyncio.Event()

    async def find_manifest(self) -> BackupManifest | None:
        """Returns what a finished backup says."""
        return self.manifest

    async def make(self, backup: str) -> int:
        """Takes it if it is empty."""
        if self.is_used or self.manifest or self.attempts:
            raise BackupExistsError
        self.attempts.add(backup)
        return self.room_bytes

    async def finish(self, manifest: BackupManifest) -> None:
        """Makes it a backup."""
        if self.finish_fails:
            raise self.finish_fails
        self.manifest = manifest

    async def remove(self, backup: str, *, is_described: bool) -> None:
        """Removes what an attempt has left."""
        del is_described
        self.attempts.discard(backup)
        self.removed.set()


class Cluster:
    """Parts that hold nothing but promises, and a control that remembers requests."""

    backup_parts = PARTS

    def __init__(self) -> None:
        self.control = OneControl()
        self.control.found("admin")
        self.parts = {name: BackupPart(10 + at) for at, name in enumerate(PARTS)}
        self.directories: dict[str, Directory] = {}
        self.asked: list[tuple[str, BackupCommand]] = []
        self.silent: tuple[str, type] | None = None
        """A part, and what it never answers."""
        self.failing: tuple[type, PartReply] | None = None
        """What the last part answers to a command."""
        self.reached: dict[type, asyncio.Event] = {}
        """Set when somebody is asked such a thing."""
        self.now_s = 0.0

    def backup_target(self, directory: str) -> Directory:
        """Returns a directory."""
        return self.directories.setdefault(directory, Directory())

    async def administer(self, command: AnyCommand) -> Administered:
        """Writes a request down."""
        return self.control.administer(command)

    async def back_up(self, part: str, command: AnyBackupCommand) -> PartReply:
        """Has a part do its share."""
        self.asked.append((part, command))
        self.reached.setdefault(type(command), asyncio.Event()).set()
        await asyncio.sleep(0)
        if self.silent and self.silent[0] == part and isinstance(command, self.silent[1]):
            await asyncio.Event().wait()
        if self.failing and part == PARTS[-1] and isinstance(command, self.failing[0]):
            return self.failing[1]
        return self._answer(part, command)

    def _answer(self, name: str, command: AnyBackupCommand) -> PartReply:
        part = self.parts[name]
        backup = part.backup
        state, effect = part.take(command, self.now_s)
        if effect is Effect.COPY:
            self._attempts(part).add(backup)
            part.copied(backup)
        elif effect is Effect.DROP:
            for directory in self.directories.values():
                directory.attempts.discard(backup)
        files = (CopiedFile(f"{name}/log/data.mdb", FILE_BYTES, ""),) if state == COPIED else ()
        return PartReply(state, part.life, FILE_BYTES, FACTS, files)

    def _attempts(self, part: BackupPart) -> set[str]:
        directory, _, attempt = part.directory.rpartition("/")
        assert attempt == part.backup
        return self.directories[directory].attempts

    def is_at_rest(self) -> bool:
        """Whether no part is taken up by a backup."""
        return not any(part.backup for part in self.parts.values())


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    """Parts that nobody has asked for anything."""
    monkeypatch.setattr(backing_up, "LOOK_PAUSE_S", 0.0)
    return Cluster()


def request(directory: str = "/backup", request_id: str = "") -> Any:
    """What a caller asks for."""
    return operations_service_pb2.CreateBackupRequest(directory=directory, request_id=request_id)


async def create(cluster: Cluster, asked: Any) -> Any:
    """Has a gateway of its own make a backup, as if it had been asked by an administrator."""
    credential = Credential(1, 1, 1, b"hash", ADMIN_TOKEN, 0, 0, "adm", "admin", [], 0)
    call = Call("OperationsService/CreateBackup", "call", Caller(credential, None))
    return await Backuper(cast("Any", cluster)).create(asked, call)


async def refused(cluster: Cluster, asked: Any, error: type[UnifyError]) -> UnifyError:
    """Checks that a backup is refused, that nobody is held and that nothing is left."""
    with pytest.raises(error) as raised:
        await create(cluster, asked)
    assert not any(directory.attempts for directory in cluster.directories.values())
    return raised.value


async def test_a_backup_is_made_and_described(cluster: Cluster) -> None:
    """The answer tells of all files together; the description is of this request."""
    answer = await create(cluster, request("/a/../backup", REQUEST_ID))
    manifest = cluster.directories["/backup"].manifest

    assert manifest is not None
    assert ("/a/../backup", 3 * FILE_BYTES) == (answer.directory, answer.size_bytes)
    assert manifest.snapshot_us == answer.snapshot_time.ToMicroseconds()
    assert (FACTS, REQUEST_ID.replace("-", "")) == (manifest.facts, manifest.request_id)
    assert MACHINE_VERSIONS == manifest.machine_versions
    assert {manifest.backup} == cluster.directories["/backup"].attempts
    assert cluster.is_at_rest()


async def test_nobody_is_let_go_before_all_hold_still(cluster: Cluster) -> None:
    """The first release comes after the last hold, the first copy after the last release."""
    await create(cluster, request())
    order = [type(command) for _, command in cluster.asked]

    assert [Hold] * 3 + [Release] * 3 + [Copy] * 3 == [
        each for each in order if each in {Hold, Release, Copy}
    ]


async def test_a_repetition_is_answered_alike(cluster: Cluster) -> None:
    """The same request again finds its backup, at any gateway, and copies nothing."""
    first = await create(cluster, request(request_id=REQUEST_ID))
    asked_count = len(cluster.asked)
    second = await create(cluster, request(request_id=REQUEST_ID))

    assert first == second
    assert asked_count == len(cluster.asked)


async def test_without_a_request_id_a_repetition_is_another_backup(cluster: Cluster) -> None:
    """It finds the directory used."""
    await create(cluster, request())

    with pytest.raises(BackupExistsError):
        await create(cluster, request())
    assert cluster.directories["/backup"].manifest is not None
    assert cluster.is_at_rest()


async def test_a_request_id_is_for_one_directory(cluster: Cluster) -> None:
    """With another directory it is refused, whether or not the first backup is still there."""
    await create(cluster, request(request_id=REQUEST_ID))
    cluster.directories["/backup"].manifest = None

    await create_fails(cluster, request("/elsewhere", REQUEST_ID), RequestIdReusedError)


async def create_fails(cluster: Cluster, asked: Any, error: type[UnifyError]) -> None:
    """Checks that a request is refused before anybody is asked for anything."""
    asked_count = len(cluster.asked)
    with pytest.raises(error):
        await create(cluster, asked)
    assert asked_count == len(cluster.asked)


@pytest.mark.parametrize("directory", ["", "backup", "./backup", "/a\0b", "/" + "a" * 5000])
async def test_a_directory_has_to_be_absolute(cluster: Cluster, directory: str) -> None:
    """What is no path on the service's machine is refused with its field."""
    await create_fails(cluster, request(directory), RequestInvalidError)


async def test_all_faults_are_told(cluster: Cluster) -> None:
    """The directory's and the request id's."""
    with pytest.raises(RequestInvalidError) as raised:
        await create(cluster, request("backup", "no uuid"))

    assert ["directory", "request_id"] == [field for field, _ in raised.value.violations]


async def test_a_used_directory_is_refused_and_left_alone(cluster: Cluster) -> None:
    """Nobody is held for it, and the next backup finds everybody free."""
    cluster.backup_target("/backup").is_used = True
    await refused(cluster, request(), BackupExistsError)

    assert Hold not in {type(command) for _, command in cluster.asked}
    assert cluster.is_at_rest()
    await create(cluster, request("/other"))


async def test_one_backup_at_a_time(cluster: Cluster) -> None:
    """Whichever gateway is asked second refuses, and the first goes on undisturbed."""
    cluster.reached[Look] = asyncio.Event()
    first = asyncio.create_task(create(cluster, request("/first")))
    await cluster.reached[Look].wait()
    with pytest.raises(BackupRunningError):
        await create(cluster, request("/second"))
    await first

    assert cluster.directories["/first"].manifest is not None
    assert not cluster.directories["/second"].attempts
    await create(cluster, request("/second"))


async def test_a_second_backup_to_the_same_directory_removes_nothing(cluster: Cluster) -> None:
    """Refused while the first still copies, it does not clean up what is not its own."""
    cluster.reached[Look] = asyncio.Event()
    first = asyncio.create_task(create(cluster, request()))
    await cluster.reached[Look].wait()
    with pytest.raises(BackupRunningError):
        await create(cluster, request())

    answer = await first
    assert 3 * FILE_BYTES == answer.size_bytes
    assert 1 == len(cluster.directories["/backup"].attempts)


@pytest.mark.parametrize("kind", [Hold, Release, Copy, Look])
async def test_a_part_that_does_not_answer_is_named(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, kind: type
) -> None:
    """The backup fails within seconds, and all others are free for the next."""
    cluster.silent = ("shard-0", kind)
    monkeypatch.setattr(backing_up, "ANSWER_S", IMPATIENT_S)
    error = await refused(cluster, request(), ShardUnavailableError)

    assert {"actor": "shard-0"} == error.metadata
    assert {("shard-0", End)} <= {(part, type(command)) for part, command in cluster.asked}
    cluster.silent = None
    monkeypatch.setattr(backing_up, "ANSWER_S", PATIENT_S)
    await create(cluster, request())


async def test_a_part_that_answers_to_nothing_is_told_in_vain(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody waits for ever for the answer to an end either; the part ends by itself."""
    cluster.silent = ("shard-0", BackupCommand)
    monkeypatch.setattr(backing_up, "ANSWER_S", IMPATIENT_S)
    monkeypatch.setattr(backing_up, "END_ANSWER_S", IMPATIENT_S)
    await refused(cluster, request(), ShardUnavailableError)


async def test_a_control_that_does_not_answer_is_named(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The request cannot be written down then, and nobody is asked for anything."""

    async def never(_: AnyCommand) -> Administered:
        await asyncio.Event().wait()
        raise AssertionError

    monkeypatch.setattr(cluster, "administer", never)
    monkeypatch.setattr(backing_up, "ANSWER_S", IMPATIENT_S)
    error = await refused(cluster, request(), ShardUnavailableError)

    assert {"actor": "control"} == error.metadata
    assert [] == cluster.asked


async def test_a_part_that_started_anew_ends_the_backup(cluster: Cluster) -> None:
    """Its present life knows of no hold."""
    cluster.failing = (Release, PartReply(OVER))
    await refused(cluster, request(), ShardUnavailableError)


async def test_a_copy_that_does_not_fit_is_a_full_store(cluster: Cluster) -> None:
    """Found out while it is written, or before."""
    cluster.failing = (Look, PartReply(FULL))
    await refused(cluster, request(), StoreFullError)
    cluster.failing = None
    cluster.backup_target("/small").room_bytes = 3 * FILE_BYTES - 1
    await refused(cluster, request("/small"), StoreFullError)


async def test_a_description_that_cannot_be_written_leaves_nothing(cluster: Cluster) -> None:
    """The copies were taken over; they are removed by whoever took them."""
    cluster.backup_target("/backup").finish_fails = BackupFailedError("why")
    await refused(cluster, request(), BackupFailedError)


async def test_a_full_control_is_backed_up(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That nothing can be written down any more is no reason to have no copy either."""

    async def refuse(_: AnyCommand) -> Administered:
        raise StoreFullError

    monkeypatch.setattr(cluster, "administer", refuse)
    assert 3 * FILE_BYTES == (await create(cluster, request())).size_bytes


@pytest.mark.parametrize("kind", [Hold, Release, Copy, Look])
async def test_a_caller_who_hangs_up_ends_the_backup(cluster: Cluster, kind: type) -> None:
    """Whenever that is, everybody is told, and nothing is left."""
    cluster.reached[kind] = asyncio.Event()
    cluster.failing = (Look, PartReply(COPYING, 12, 1, FACTS))
    making = asyncio.create_task(create(cluster, request()))
    await cluster.reached[kind].wait()
    making.cancel()
    with pytest.raises(asyncio.CancelledError):
        await making
    await cluster.directories["/backup"].removed.wait()

    assert cluster.is_at_rest()
    assert not cluster.directories["/backup"].attempts
    assert cluster.directories["/backup"].manifest is None
    cluster.failing = None
    await create(cluster, request())


async def test_every_request_is_in_the_audit_trail(cluster: Cluster) -> None:
    """Who had all data copied, and where to; a repetition under its id leaves one entry."""
    await create(cluster, request(request_id=REQUEST_ID))
    await create(cluster, request(request_id=REQUEST_ID))
    entries = [
        entry
        for entry in cluster.control.machine.audit.read(AuditQuery(0, None, None, 0, 100)).entries
        if entry.action == "CreateBackup"
    ]

    assert ["adm"] == [entry.actor for entry in entries]
    assert b'"directory":"/backup"' in entries[0].details
