"""The directory of a backup: what makes it one, and what is refused in one sentence."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

import lmdb
import pytest
from msgspec.structs import replace

from unify_grpc.machines.backup_records import (
    BACKUP_FORMAT,
    BackupManifest,
    CopiedFile,
    StoreFacts,
)
from unify_grpc.storage.backup_directory import (
    BACKUP_FILE,
    BackupDirectory,
    DirectoryUnusableError,
    DirectoryUsedError,
    check_files,
    read_backup,
)
from unify_grpc.storage.errors import StorageFullError, StoreRefusedError
from unify_grpc.storage.manifest import STORE_FORMAT

if TYPE_CHECKING:
    from pathlib import Path

DATA = b"what a store holds"
DIGEST = "dd18a316718b9f66c2989e78daeed73cd597dc891e15fc9abc405c276653fd95"
MANIFEST = BackupManifest(
    facts=StoreFacts("d1", 1, STORE_FORMAT, lmdb.version()[0]),
    backup="b1",
    request_id="",
    snapshot_us=1_800_000_000_000_000,
    files=(CopiedFile("shard-0/log/data.mdb", len(DATA), DIGEST),),
)


def made(tmp_path: Path, manifest: BackupManifest = MANIFEST) -> BackupDirectory:
    """A finished backup with one file."""
    directory = BackupDirectory(tmp_path / "backup")
    directory.make(manifest.backup)
    path = tmp_path / "backup" / "b1" / "shard-0" / "log" / "data.mdb"
    path.parent.mkdir(parents=True)
    path.write_bytes(DATA)
    directory.finish(manifest)
    return directory


def test_a_finished_backup_describes_itself(tmp_path: Path) -> None:
    """What was written last is read again, and its files are what it says."""
    directory = made(tmp_path)

    assert MANIFEST == read_backup(directory.path) == directory.find_manifest()
    assert len(DATA) == MANIFEST.size_bytes
    assert 0o600 == stat.S_IMODE((directory.path / BACKUP_FILE).stat().st_mode)
    assert 0o700 == stat.S_IMODE(directory.path.stat().st_mode)


def test_only_an_empty_directory_is_taken(tmp_path: Path) -> None:
    """One that is absent is made with those above it; one with anything in it is left alone."""
    absent = tmp_path / "a" / "b"
    BackupDirectory(absent).make("b1")
    with pytest.raises(DirectoryUsedError):
        BackupDirectory(absent).make("b2")
    (absent / "b1").rmdir()
    BackupDirectory(absent).make("b2")


def test_what_an_attempt_left_before_it_copied_is_in_nobodys_way(tmp_path: Path) -> None:
    """A coordinator that was killed then cannot clean up; one with copies stays as it is."""
    left = tmp_path / "0123456789abcdef"
    left.mkdir()
    BackupDirectory(tmp_path).make("b1")
    assert ["b1"] == [each.name for each in tmp_path.iterdir()]
    (tmp_path / "b1").rmdir()

    (left / "shard-0").mkdir(parents=True)
    with pytest.raises(DirectoryUsedError):
        BackupDirectory(tmp_path).make("b1")
    assert (left / "shard-0").exists()


@pytest.mark.parametrize("path", ["file", "file/below"])
def test_a_file_is_no_directory(tmp_path: Path, path: str) -> None:
    """What cannot be made or read is said with the system's words."""
    (tmp_path / "file").touch()
    with pytest.raises(DirectoryUnusableError, match="Not a directory"):
        BackupDirectory(tmp_path / path).make("b1")


@pytest.mark.parametrize("mode", [0o720, 0o702])
def test_a_directory_that_others_may_write_is_refused(tmp_path: Path, mode: int) -> None:
    """They could put something else in place of the copies, and have it written or removed."""
    tmp_path.chmod(mode)
    with pytest.raises(DirectoryUnusableError, match="writable by nobody else"):
        BackupDirectory(tmp_path).make("b1")
    assert not list(tmp_path.iterdir())


def test_a_directory_of_somebody_else_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its owner may write there at any time."""
    monkeypatch.setattr("unify_grpc.storage.copies.os.geteuid", lambda: tmp_path.stat().st_uid + 1)
    with pytest.raises(DirectoryUnusableError, match="must belong to the user"):
        BackupDirectory(tmp_path).make("b1")


@pytest.mark.parametrize("linked", ["b1", "b1/shard-0", "b1/shard-0/log"])
def test_links_are_not_followed_where_copies_are_removed(tmp_path: Path, linked: str) -> None:
    """Whatever stands in place of a copy, files elsewhere stay."""
    live = tmp_path / "b1" / "shard-0" / "log"
    live.mkdir(parents=True)
    (live / "data.mdb").write_bytes(DATA)
    link = tmp_path / "backup" / linked
    link.parent.mkdir(parents=True)
    link.symlink_to(tmp_path / linked)
    BackupDirectory(tmp_path / "backup").remove("b1", ["shard-0"], is_described=True)

    assert DATA == (live / "data.mdb").read_bytes()


def test_what_an_attempt_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    """Files of another attempt stay; a directory that was made for it goes when it is empty."""
    directory = BackupDirectory(tmp_path / "backup")
    directory.make("b1")
    for attempt in ("b1", "b2"):
        log = directory.path / attempt / "shard-0" / "log"
        log.mkdir(parents=True)
        (log / "data.mdb").write_bytes(DATA)
    directory.remove("b1", ["shard-0", "shard-1"], is_described=False)

    assert ["b2"] == [each.name for each in directory.path.iterdir()]
    directory.remove("b2", ["shard-0"], is_described=False)
    assert not directory.path.exists()


def test_a_directory_that_was_there_stays(tmp_path: Path) -> None:
    """Nobody asked for an empty directory to be removed."""
    directory = BackupDirectory(tmp_path)
    directory.make("b1")
    directory.remove("b1", ["shard-0"], is_described=False)

    assert tmp_path.exists()


def test_the_reserve_of_data_on_the_same_disk_is_no_room(tmp_path: Path) -> None:
    """A backup may not bring the service to where it refuses events."""
    directory = BackupDirectory(tmp_path)
    free = directory.room_bytes(tmp_path, 0)

    assert 0 < free
    assert 0 == directory.room_bytes(tmp_path, 1 << 60)
    assert 0 < directory.room_bytes(tmp_path / "absent", 1 << 60)


def test_a_description_that_does_not_fit_is_a_full_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The backup is none then, and what was begun can be removed."""
    directory = BackupDirectory(tmp_path / "backup")
    directory.make("b1")

    def no_room(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("unify_grpc.storage.backup_directory.os.fsync", no_room)
        with pytest.raises(StorageFullError):
            directory.finish(MANIFEST)
    assert directory.find_manifest() is None
    directory.remove("b1", [], is_described=True)
    assert not directory.path.exists()


def test_what_could_not_be_finished_is_no_backup(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A description that has its name but may not be durable goes with the copies, and first."""

    def fail(_: Path) -> None:
        raise OSError(5, "Input/output error")

    directory = BackupDirectory(tmp_path / "backup")
    directory.make("b1")
    monkeypatch.setattr("unify_grpc.storage.backup_directory.sync_directory", fail)
    with pytest.raises(DirectoryUnusableError, match="Input/output error"):
        directory.finish(MANIFEST)
    assert (directory.path / BACKUP_FILE).exists()
    directory.remove("b1", ["shard-0"], is_described=True)
    assert not directory.path.exists()


@pytest.mark.parametrize("data", [None, DATA[1:]])
def test_a_backup_without_its_files_is_no_answer(tmp_path: Path, data: bytes | None) -> None:
    """Whoever asks again is not told that there is a backup whose files are gone or cut short."""
    directory = made(tmp_path)
    path = directory.path / "b1" / "shard-0" / "log" / "data.mdb"
    path.unlink()
    if data is not None:
        path.write_bytes(data)

    with pytest.raises(StoreRefusedError, match="is not as it was written"):
        directory.find_manifest()


def test_a_description_that_may_not_be_read_is_said_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A backup of another user is there, and is not taken for none."""
    directory = made(tmp_path)

    def refuse(_: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.read_bytes", refuse)
    with pytest.raises(StoreRefusedError, match=r"backup\.json cannot be read: Permission denied"):
        read_backup(directory.path)


def test_a_directory_that_cannot_be_looked_into_is_said_so(tmp_path: Path) -> None:
    """A name that no directory can have is found out before anything else."""
    with pytest.raises(DirectoryUnusableError, match="File name too long"):
        BackupDirectory(tmp_path / ("a" * 300)).find_manifest()


def test_an_unfinished_backup_is_none(tmp_path: Path) -> None:
    """Without its description a directory is not restored, whatever is in it."""
    directory = made(tmp_path)
    (directory.path / BACKUP_FILE).unlink()

    assert directory.find_manifest() is None
    for path in (directory.path, tmp_path / "absent"):
        with pytest.raises(StoreRefusedError, match="holds no finished backup"):
            read_backup(path)


@pytest.mark.parametrize("at", [0, 20, -3])
def test_a_damaged_description_is_refused(tmp_path: Path, at: int) -> None:
    """One flipped bit anywhere in it is found."""
    path = made(tmp_path).path / BACKUP_FILE
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)

    with pytest.raises(StoreRefusedError, match=r"is damaged: its backup\.json"):
        read_backup(path.parent)


@pytest.mark.parametrize("data", [b"", b"{}\n", b"\xff\xfe\n\xff\n"])
def test_anything_else_in_its_place_is_refused(tmp_path: Path, data: bytes) -> None:
    """An empty or foreign file of that name is no description."""
    path = made(tmp_path).path / BACKUP_FILE
    path.write_bytes(data)

    with pytest.raises(StoreRefusedError, match="is damaged"):
        read_backup(path.parent)


@pytest.mark.parametrize(
    ("manifest", "said"),
    [
        (replace(MANIFEST, format=BACKUP_FORMAT + 1), "made by a newer version"),
        (
            replace(MANIFEST, facts=replace(MANIFEST.facts, store_format=STORE_FORMAT + 1)),
            "made by a newer version",
        ),
        (
            replace(MANIFEST, facts=replace(MANIFEST.facts, store_format=STORE_FORMAT - 1)),
            "made by another version",
        ),
        (replace(MANIFEST, facts=replace(MANIFEST.facts, lmdb_version=9)), "LMDB 9"),
    ],
)
def test_another_version_is_refused(tmp_path: Path, manifest: BackupManifest, said: str) -> None:
    """Formats that this version does not read are named."""
    directory = made(tmp_path, manifest)

    with pytest.raises(StoreRefusedError, match=said):
        read_backup(directory.path)


def test_files_are_compared_with_their_checksums(tmp_path: Path) -> None:
    """A flipped bit, another length and an absent file are found, and the file is named."""
    directory = made(tmp_path)
    copies = directory.path / "b1"
    path = copies / "shard-0" / "log" / "data.mdb"
    file = MANIFEST.files[0]

    check_files(copies, MANIFEST.files)
    for data in (DATA.replace(b"w", b"v", 1), DATA + b"\0", b""):
        path.write_bytes(data)
        with pytest.raises(StoreRefusedError, match=rf"{file.path} is not what was written"):
            check_files(copies, [file])
    path.unlink()
    with pytest.raises(StoreRefusedError, match=rf"{file.path} cannot be read"):
        check_files(copies, [file])
