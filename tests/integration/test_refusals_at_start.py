"""What `unify serve` refuses to start on: one clear sentence each, before Ray is started."""

from __future__ import annotations

import errno
import os
import shutil
import socket
from typing import TYPE_CHECKING, Any

import lmdb
import msgspec
import pytest
from click.testing import CliRunner

from actors import cluster
from actors.command_line import main
from actors.data_dir import DEPLOYMENT_FILE, FORMAT, open_data_dir
from actors.preflight import PROGRESS_FILE, check_stores, note_progress, read_progress
from unify_grpc.machines.shard_machine import MACHINE_VERSION
from unify_grpc.storage.manifest import STORE_FORMAT, lock_directory
from unify_grpc.storage.store import Store, StoreLimits

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

REFUSED = 2
"""The exit code of a command that was asked for what cannot be done."""
RECORD = b"a record that nobody reads here"
SHARD = "shard-0"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data directory of two shards that was stopped in order, one shard's log longer."""
    return make(tmp_path / "data", records=1, is_clean=True)


@pytest.fixture(autouse=True)
def _no_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is refused, it is before Ray."""

    def start_ray(*_: object) -> str:
        raise AssertionError("Ray was started on a directory that should have been refused")

    monkeypatch.setattr(cluster, "start_ray", start_ray)


def make(directory: Path, *, records: int, is_clean: bool) -> Path:
    """Makes a data directory whose first shard has records, all of them in its tail or none."""
    os.close(open_data_dir(directory, 2)[1])
    append(directory, records, MACHINE_VERSION, is_clean=is_clean)
    note_progress(directory, open_deployment(directory))
    return directory


def append(directory: Path, records: int, version: int, *, is_clean: bool) -> None:
    """Adds records to the first shard's log, as a process that ends in order or does not."""
    manifest = open_deployment(directory).manifest(SHARD)
    store = Store(directory / SHARD, manifest, version, StoreLimits(map_bytes=1 << 24))
    for _ in range(records):
        store.publish({b"a": RECORD}, store.append(RECORD))
    if is_clean:
        store.close()
        return
    store._transaction.abort()
    store._log.close()
    store._state.close()
    os.close(store._lock_descriptor)


def open_deployment(directory: Path) -> Any:
    """Returns what a data directory that nobody holds says of itself."""
    deployment, descriptor = open_data_dir(directory, 0)
    os.close(descriptor)
    return deployment


def refusal(directory: Path, *flags: str) -> str:
    """Returns what `unify serve` says when it does not start, which has to be one line."""
    arguments = ["serve", "--data-dir", str(directory), "--grpc-port", "0"]
    arguments += ["--http-port", "0", *flags]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == REFUSED, result.output
    lines = result.output.strip().splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith("unify: ")
    return lines[0]


def edit(path: Path, **changes: object) -> None:
    """Changes fields of a JSON file."""
    path.write_bytes(msgspec.json.encode({**msgspec.json.decode(path.read_bytes()), **changes}))


def empty(directory: Path) -> None:
    """Leaves a directory that is there and holds nothing, as a failed mount does."""
    shutil.rmtree(directory)
    directory.mkdir()


def replace_with_new(environment: Path) -> None:
    """Leaves an environment as it was when it was made."""
    empty(environment)
    lmdb.open(str(environment)).close()


def flip_in_tail(data: Path) -> None:
    """Changes bytes of records that a start would replay."""
    append(data, 3, MACHINE_VERSION, is_clean=False)
    path = data / SHARD / "log" / "data.mdb"
    content = path.read_bytes()
    path.write_bytes(content.replace(RECORD, RECORD.swapcase()))


def cut(path: Path) -> None:
    """Leaves only the first two pages of an environment, its meta pages."""
    with path.open("r+b") as file:
        file.truncate(2 * 4096)


def overwrite_head(path: Path) -> None:
    """Destroys both meta pages of an environment."""
    with path.open("r+b") as file:
        file.write(b"\xff" * 2 * 4096)


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "an empty directory where a store should be": (
        lambda data: empty(data / SHARD),
        "holds no store, though one was made there",
    ),
    "an empty directory where a log should be": (
        lambda data: empty(data / SHARD / "log"),
        "is missing or empty: restore",
    ),
    "the newer format of a store": (
        lambda data: edit(data / SHARD / "store.json", format=STORE_FORMAT + 1),
        "written by a newer version",
    ),
    "the newer format of a directory": (
        lambda data: edit(data / DEPLOYMENT_FILE, format=FORMAT + 1),
        "made by a newer version",
    ),
    "a store cut short": (
        lambda data: cut(data / SHARD / "log" / "data.mdb"),
        "is damaged: restore a backup",
    ),
    "a store whose head is gone": (
        lambda data: overwrite_head(data / "merge-0" / "state" / "data.mdb"),
        "is damaged: restore a backup",
    ),
    "a damaged manifest": (
        lambda data: (data / "control" / "store.json").write_bytes(b"{"),
        "store.json is damaged",
    ),
    "a damaged directory": (
        lambda data: (data / DEPLOYMENT_FILE).write_bytes(b"{"),
        "deployment.json is damaged",
    ),
    "a damaged note of progress": (
        lambda data: (data / PROGRESS_FILE).write_bytes(b"{"),
        "progress.json is damaged",
    ),
    "a tail of another version": (
        lambda data: append(data, 1, MACHINE_VERSION + 1, is_clean=False),
        "start and stop the version that wrote it first",
    ),
    "a damaged record of a tail": (
        flip_in_tail,
        "is damaged: restore a backup",
    ),
    "an empty log under a checkpoint": (
        lambda data: replace_with_new(data / SHARD / "log"),
        "the log ends before its checkpoint",
    ),
}


@pytest.mark.parametrize(("damage", "sentence"), DAMAGE.values(), ids=DAMAGE)
def test_damage_is_refused(damage: Callable[[Path], object], sentence: str, data: Path) -> None:
    """A directory that would not run is refused in one sentence, which says what to do."""
    damage(data)

    assert sentence in refusal(data)


def test_a_store_of_another_deployment_is_refused(data: Path, tmp_path: Path) -> None:
    """Stores of two deployments never serve together, though each of them is sound."""
    other = make(tmp_path / "other", records=1, is_clean=True)
    shutil.rmtree(data / SHARD)
    shutil.copytree(other / SHARD, data / SHARD)

    assert "not shard-0 of dep_" in refusal(data)


def test_another_shard_count_is_refused(data: Path) -> None:
    """A directory keeps the number of shards it was made for."""
    assert "made for 2 shards, not 3" in refusal(data, "--shards", "3")


def test_a_directory_in_use_is_refused(data: Path) -> None:
    """Two services never serve one directory."""
    descriptor = lock_directory(data)

    assert f"another process holds {data}" in refusal(data)
    os.close(descriptor)


def test_a_store_in_use_is_refused(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that some process does not let go is named."""
    monkeypatch.setattr("actors.preflight.HELD_S", 0.0)
    descriptor = lock_directory(data / SHARD)

    assert f"another process holds {data / SHARD}" in refusal(data)
    os.close(descriptor)


def test_a_directory_of_something_else_is_refused(tmp_path: Path) -> None:
    """A directory that holds other files is nobody's data directory."""
    (tmp_path / "notes.txt").write_text("mine")

    assert "is not empty and holds no deployment" in refusal(tmp_path)
    assert "mine" == (tmp_path / "notes.txt").read_text()


def test_an_older_copy_of_one_store_is_refused(data: Path, tmp_path: Path) -> None:
    """One store put back from a copy knows less than the others, so it is not served."""
    shutil.copytree(data / SHARD, tmp_path / "copy")
    append(data, 1, MACHINE_VERSION, is_clean=True)
    note_progress(data, open_deployment(data))
    shutil.rmtree(data / SHARD)
    shutil.copytree(tmp_path / "copy", data / SHARD)

    assert "is older than when it was last served" in refusal(data)


@pytest.mark.parametrize("flag", ["--grpc-port", "--http-port"])
def test_a_taken_port_is_refused_before_anything_is_made(flag: str, tmp_path: Path) -> None:
    """A start that cannot serve makes no deployment, whose admin token nobody would be shown."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = refusal(tmp_path / "new", flag, str(port))

    assert f"the port {port} of 127.0.0.1 is taken" in said
    assert not (tmp_path / "new").exists()


def test_one_port_for_both_is_refused(tmp_path: Path) -> None:
    """HTTP and gRPC each have their own."""
    said = refusal(tmp_path / "new", "--grpc-port", "9876", "--http-port", "9876")

    assert "http_port and grpc_port must not be the same" in said


@pytest.mark.parametrize("full", [errno.ENOSPC, errno.EDQUOT])
def test_no_room_keeps_nobody_from_starting(
    data: Path, monkeypatch: pytest.MonkeyPatch, full: int
) -> None:
    """A full disk and a used up quota leave what was written down before."""
    before = read_progress(data)
    append(data, 1, MACHINE_VERSION, is_clean=True)

    def refuse(_: int) -> None:
        raise OSError(full, os.strerror(full))

    monkeypatch.setattr("actors.preflight.os.fsync", refuse)
    check_stores(data, open_deployment(data))
    assert before == read_progress(data)
    assert not list(data.glob("*.new"))


def test_what_was_only_ended_too_soon_is_served(data: Path) -> None:
    """A tail, more records and more openings than were noted are what a crash leaves behind."""
    append(data, 2, MACHINE_VERSION, is_clean=False)
    deployment = open_deployment(data)
    before = read_progress(data)[SHARD]
    check_stores(data, deployment)

    assert before.last_number + 2 == read_progress(data)[SHARD].last_number
