"""`unify restore`: a data directory out of a backup, or one sentence why not."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path
from typing import NamedTuple

import pytest
from click.testing import CliRunner, Result
from msgspec.structs import replace

from actors import names
from actors.command_line import main
from actors.data_dir import Deployment, open_data_dir
from actors.preflight import check_stores, store_names
from actors.restoring import restore
from unify_grpc.machines.backup_records import (
    COPYING,
    BackupManifest,
    CopiedFile,
    Copy,
    Hold,
    Keep,
    Look,
    Release,
    StoreFacts,
)
from unify_grpc.machines.control_machine import MACHINE_VERSION as CONTROL_VERSION
from unify_grpc.machines.merge_machine import MACHINE_VERSION as MERGE_VERSION
from unify_grpc.machines.shard_machine import MACHINE_VERSION as SHARD_VERSION
from unify_grpc.machines.versions import MACHINE_VERSIONS
from unify_grpc.storage.backing_up import StoreBackups
from unify_grpc.storage.backup_directory import BACKUP_FILE, BackupDirectory, read_backup
from unify_grpc.storage.errors import StoreRefusedError
from unify_grpc.storage.manifest import lock_directory
from unify_grpc.storage.store import Store, StoreLimits

pytestmark = pytest.mark.timeout(60)
SHARDS = 2
RECORDS = 5
SNAPSHOT_US = 1_800_000_000_000_000
LIMITS = StoreLimits(map_bytes=1 << 24)


class DiskUsage(NamedTuple):
    """What the system says of a disk."""

    total: int
    used: int
    free: int


def version_of(store: str) -> int:
    """The version of a store's machine."""
    return {names.CONTROL: CONTROL_VERSION, names.MERGE: MERGE_VERSION}.get(store, SHARD_VERSION)


def opened(directory: Path, deployment: Deployment, store: str) -> Store:
    """Opens a store of a data directory."""
    return Store(directory / store, deployment.manifest(store), version_of(store), LIMITS)


def copied(store: Store, deployment: Deployment, name: str, to: Path) -> tuple[CopiedFile, ...]:
    """Copies a store as its actor does."""
    backups = StoreBackups(store, deployment.manifest(name))
    life = backups.take(Hold("b1")).life
    backups.take(Release("b1", life))
    backups.take(Copy("b1", life, str(to)))
    while (reply := backups.take(Look("b1", life))).state == COPYING:
        pass
    backups.take(Keep("b1", life))
    backups.close()
    return reply.files


@pytest.fixture
def backup(tmp_path: Path) -> Path:
    """A backup of a deployment whose stores have a record each that no checkpoint has."""
    deployment, descriptor = open_data_dir(tmp_path / "first", SHARDS)
    directory = BackupDirectory(tmp_path / "backup")
    directory.make("b1")
    files: tuple[CopiedFile, ...] = ()
    for name in store_names(deployment):
        store = opened(tmp_path / "first", deployment, name)
        for _ in range(RECORDS):
            store.publish({b"row": name.encode()}, store.append(b"record"))
        files += copied(store, deployment, name, directory.path / "b1")
        store.close()
    manifest = store_manifest(tmp_path / "first", deployment)
    directory.finish(
        BackupManifest(
            facts=manifest,
            backup="b1",
            request_id="",
            snapshot_us=SNAPSHOT_US,
            files=files,
            version="1.2.3",
            machine_versions=MACHINE_VERSIONS,
        )
    )
    os.close(descriptor)
    return directory.path


def store_manifest(directory: Path, deployment: Deployment) -> StoreFacts:
    """What all stores of a directory say of themselves."""
    store = opened(directory, deployment, names.MERGE)
    backups = StoreBackups(store, deployment.manifest(names.MERGE))
    facts = backups.take(Hold("b1")).facts
    backups.close()
    store.close()
    assert facts is not None
    return facts


def unify(*arguments: object) -> Result:
    """Runs `unify`."""
    return CliRunner().invoke(main, [str(each) for each in arguments], catch_exceptions=False)


def test_a_restored_directory_has_what_the_backup_has(backup: Path, tmp_path: Path) -> None:
    """Every store opens, replays its tail and goes on after its last record."""
    target = tmp_path / "restored"
    manifest = restore(backup, target)
    deployment, descriptor = open_data_dir(target, 0)

    assert SNAPSHOT_US == manifest.snapshot_us
    assert SHARDS == deployment.shard_count
    check_stores(target, deployment)
    for name in store_names(deployment):
        store = opened(target, deployment, name)
        assert [b"record"] * RECORDS == [record for _, record in store.tail()]
        assert RECORDS + 1 == store.append(b"more")
        store.close()
    os.close(descriptor)


def test_a_restored_directory_is_for_its_owner_alone(backup: Path, tmp_path: Path) -> None:
    """Directories are 0700 and files 0600."""
    target = tmp_path / "restored"
    restore(backup, target)

    for each in [target, *target.rglob("*")]:
        wanted = 0o700 if each.is_dir() else 0o600
        assert wanted == stat.S_IMODE(each.stat().st_mode) & ~0o044, each
        assert each.suffix != ".mdb" or wanted == stat.S_IMODE(each.stat().st_mode)


def test_a_restored_directory_is_a_deployment_of_its_own(backup: Path, tmp_path: Path) -> None:
    """A store of the first directory, which has gone on, does not fit into the second."""
    target = tmp_path / "restored"
    restore(backup, target)
    deployment, descriptor = open_data_dir(target, 0)
    shutil.rmtree(target / "shard-1")
    shutil.copytree(tmp_path / "first" / "shard-1", target / "shard-1")

    with pytest.raises(StoreRefusedError, match="the store is shard-1 of deployment"):
        check_stores(target, deployment)
    os.close(descriptor)


def test_the_command_says_what_it_made(backup: Path, tmp_path: Path) -> None:
    """How much, of which instant, how it is served, and what has to be done again."""
    target = tmp_path / "restored"
    done = unify("restore", backup, "--data-dir", target)

    assert 0 == done.exit_code
    assert "as of 2027-01-15 08:00:00Z to " in done.stdout
    assert f"`unify serve --data-dir {target}` serves it." in done.stdout
    assert "deleted and rules changed after 2027-01-15 08:00:00Z are as they were" in done.stdout
    assert unify("restore", backup, "--data-dir", tmp_path / "again").exit_code == 0


def refused(backup: Path, target: Path, said: str) -> None:
    """Checks that a restore is refused in one sentence, and leaves the target as it was."""
    before = sorted(target.rglob("*")) if target.exists() else None
    done = unify("restore", backup, "--data-dir", target)

    assert (1, "") == (done.exit_code, done.stdout)
    assert 1 == done.stderr.count("\n")
    assert done.stderr.startswith("unify: ")
    assert said in done.stderr
    assert before == (sorted(target.rglob("*")) if target.exists() else None)


def test_no_finished_backup_is_refused(backup: Path, tmp_path: Path) -> None:
    """An absent directory, and one whose backup was not finished."""
    refused(tmp_path / "absent", tmp_path / "restored", "holds no finished backup")
    (backup / BACKUP_FILE).unlink()
    refused(backup, tmp_path / "restored", "holds no finished backup")


def test_a_target_that_is_not_empty_is_refused(backup: Path, tmp_path: Path) -> None:
    """Nothing that is there is touched: neither another's files nor a data directory."""
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "note").write_text("mine")
    refused(backup, tmp_path / "other", "is not empty")
    refused(backup, tmp_path / "first", "is not empty")
    assert "mine" == (tmp_path / "other" / "note").read_text()


def test_a_damaged_backup_is_refused(backup: Path, tmp_path: Path) -> None:
    """One flipped bit of any file, and a file that is gone, are found before anything is made."""
    path = backup / "b1" / "shard-1" / "log" / "data.mdb"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    refused(backup, tmp_path / "restored", "is damaged: shard-1/log/data.mdb is not what was")
    path.unlink()
    refused(backup, tmp_path / "restored", "is damaged: shard-1/log/data.mdb cannot be read")


def test_a_backup_that_lists_other_files_is_refused(backup: Path, tmp_path: Path) -> None:
    """A description cannot have anything written beside the stores, nor leave a store out."""
    directory = BackupDirectory(backup)
    manifest = read_backup(backup)
    (backup / BACKUP_FILE).unlink()
    outside = CopiedFile("../outside", 0, "")
    for files in (manifest.files[1:], (*manifest.files, outside), manifest.files * 2):
        directory.finish(
            BackupManifest(
                facts=manifest.facts,
                backup=manifest.backup,
                request_id="",
                snapshot_us=0,
                files=files,
            )
        )
        refused(backup, tmp_path / "restored", "it does not list the files of its stores")
        (backup / BACKUP_FILE).unlink()


def test_a_copy_that_came_out_wrong_is_found(
    backup: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was written is read back; a disk that lies leaves no directory that could be served."""
    real = os.fsync

    def damage(descriptor: int) -> None:
        real(descriptor)
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        if path.match("merge-0/log/data.mdb"):
            os.pwrite(descriptor, b"\xff", 5000)

    monkeypatch.setattr("actors.restoring.os.fsync", damage)
    refused(backup, tmp_path / "restored", "merge-0/log/data.mdb is not what was written")
    monkeypatch.undo()
    restore(backup, tmp_path / "restored")


def test_a_log_of_another_version_is_refused(
    backup: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anything is copied, and with the version that restores it."""

    def copied(*_: object) -> None:
        raise AssertionError("what cannot be replayed was copied")

    monkeypatch.setattr("actors.restoring._write", copied)
    other = {**MACHINE_VERSIONS, "merge_machine": MERGE_VERSION + 1}
    monkeypatch.setattr("actors.restoring.MACHINE_VERSIONS", other)
    refused(backup, tmp_path / "restored", "was made by unify 1.2.3 (control machine ")


def test_a_backup_that_does_not_name_its_version_is_restored(backup: Path, tmp_path: Path) -> None:
    """Those of the first format do not; whether their logs are replayed is seen in the copy."""
    manifest = read_backup(backup)
    (backup / BACKUP_FILE).unlink()
    first = replace(manifest, format=1, version="", machine_versions={})
    BackupDirectory(backup).finish(first)

    assert first == restore(backup, tmp_path / "restored")


def test_no_room_is_said_before_anything_is_copied(
    backup: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """How much there is, and how much the backup takes."""
    monkeypatch.setattr("actors.restoring.shutil.disk_usage", lambda _: DiskUsage(9, 2, 7))
    refused(backup, tmp_path / "restored", "has room for 7 bytes, and the backup takes")


def test_what_an_unfinished_restore_left_may_be_removed(backup: Path, tmp_path: Path) -> None:
    """A restore that was killed is told apart from data, and from one that is under way."""
    (tmp_path / "restored").mkdir()
    (tmp_path / "restored" / "restoring").touch()
    (tmp_path / "restored" / "lock").touch()
    refused(backup, tmp_path / "restored", "that did not finish has left: remove it")
    descriptor = lock_directory(tmp_path / "restored")
    refused(backup, tmp_path / "restored", "another process holds")
    os.close(descriptor)
