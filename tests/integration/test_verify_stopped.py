"""`unify verify --data-dir`: everything holds, or it is said what does not, on real files."""

from __future__ import annotations

import json
import os
import shutil
from hashlib import sha256
from typing import TYPE_CHECKING

import lmdb
import msgspec
import pytest
from click.testing import CliRunner

from actors import names, stopped_stores
from actors.command_line import main
from actors.preflight import PROGRESS_FILE
from tests.integration.stopped_service import (
    flipped,
    kill,
    leave,
    open_store,
    plant,
    rewrite,
    store_names,
    stored,
)
from tests.unit.machines.frames import batch, frame
from tests.unit.verification.stored import SHARDS, sound_stores
from unify_grpc.machines import journal, rows
from unify_grpc.machines.rows import MemberRow
from unify_grpc.machines.shard_machine import ShardMachine
from unify_grpc.storage.manifest import lock_directory
from unify_grpc.storage.positions import POSITION_KEY
from unify_grpc.storage.records import HEAD_BYTES, seal

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from click.testing import Result

SOUND, FOUND, NOT_CHECKED = 0, 1, 2
SHARD = names.shard_name(0)


@pytest.fixture(scope="module")
def _left(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return leave(tmp_path_factory.mktemp("left") / "data")


@pytest.fixture
def data(_left: Path, tmp_path: Path) -> Path:
    """A data directory that was stopped in order and is sound."""
    directory = tmp_path / "data"
    shutil.copytree(_left, directory)
    assert_sound(directory)
    return directory


def verify(directory: Path, *flags: str) -> Result:
    """Runs the command."""
    return CliRunner().invoke(main, ["verify", "--data-dir", str(directory), *flags])


def findings(directory: Path) -> list[tuple[str, str, str]]:
    """Returns (part, invariant, description) of what the command finds."""
    result = verify(directory, "--json")
    said = json.loads(result.output)
    assert result.exit_code == (FOUND if said["findings"] else SOUND)
    assert said["sound"] == (not said["findings"])
    assert said["findings_count"] >= len(said["findings"])
    return [(each["part"], each["invariant"], each["description"]) for each in said["findings"]]


def found(directory: Path) -> set[tuple[str, str]]:
    """Returns (part, invariant) of what the command finds."""
    return {(part, invariant) for part, invariant, _ in findings(directory)}


def assert_sound(directory: Path) -> None:
    """Asserts that the command finds nothing."""
    result = verify(directory)
    assert result.exit_code == SOUND, result.output
    assert result.output.startswith("sound: ")
    assert result.output.endswith(" records checked\n")


def hashes(directory: Path) -> dict[str, str]:
    """Returns a hash of every file."""
    files = [each for each in sorted(directory.rglob("*")) if each.is_file()]
    return {str(each): sha256(each.read_bytes()).hexdigest() for each in files}


def test_it_changes_no_file(data: Path) -> None:
    """A verification only looks."""
    before = hashes(data)
    verify(data)

    assert before == hashes(data)


def test_a_flipped_byte_in_any_row_is_found(data: Path) -> None:
    """Of each row of each store, whatever table it is of, one changed bit is told."""
    for name in store_names():
        changed = {
            key: flipped(value)
            for key, value in stored(data, name, "state").items()
            if len(value) > HEAD_BYTES
        }
        rewrite(data, name, "state", dict(changed))

        told = [text for part, kind, text in findings(data) if (part, kind) == (name, "checksums")]
        assert len(told) == len(changed) > 0


def test_a_flipped_byte_in_any_log_record_is_found(data: Path) -> None:
    """Of each record of each log one changed bit is told, by the record's number."""
    for name in store_names():
        records = stored(data, name, "log")
        rewrite(data, name, "log", {key: flipped(value) for key, value in records.items()})

        told = {text for part, kind, text in findings(data) if (part, kind) == (name, "checksums")}
        expected = {
            f"log record {int.from_bytes(key, 'big')} does not match its checksum"
            for key in records
        }
        assert expected <= told


def test_a_missing_log_record_is_found(data: Path) -> None:
    """A log is whole from its first record on, also in front of the checkpoint."""
    for name in store_names():
        rewrite(data, name, "log", {(2).to_bytes(8, "big"): None})

        assert (name, "whole_log", "log record 2 is missing") in findings(data)


def test_a_circle_of_bindings_is_found(data: Path) -> None:
    """Two members that are bound to each other are on no profile."""
    stores = sound_stores()
    one, other = stores.place("user_id", "u1"), stores.place("user_id", "u2")
    for place, root in ((one, other.member), (other, one.member)):
        plant(data, names.shard_name(place.shard), rows.MEMBER + place.member, _bound_to(root))

    told = findings(data)

    assert any(text.endswith("bound in a circle of 2") for _, _, text in told)


def test_an_identifier_bound_to_a_dead_profile_is_found(data: Path) -> None:
    """What a profile was absorbed into is where its members are."""
    stores = sound_stores()
    place = stores.place("anonymous_id", "a2")
    merged = journal.decode_profile(
        stores.merge.rows[journal.PROFILE + (stores.row(place).root or b"")]
    )
    dead = next(member for member, *_ in merged.members if member != stores.row(place).root)
    plant(data, names.shard_name(place.shard), rows.MEMBER + place.member, _bound_to(dead))

    assert (names.shard_name(place.shard), "profiles_equal_everywhere") in found(data)


def test_a_profile_whose_shard_and_merge_actor_differ_is_found(data: Path) -> None:
    """A profile is the same at its home and at the merge actor."""
    root = sound_stores().row(sound_stores().place("user_id", "u1")).root
    assert root is not None
    home = names.shard_name(SHARDS.shard_of(root))

    def change(row: bytes) -> bytes:
        profile = rows.decode_profile(row)
        return rows.encode(msgspec.structs.replace(profile, merges=profile.merges + 1))

    plant(data, home, rows.PROFILE + root, change)

    assert (home, "profiles_equal_everywhere") in found(data)


def test_a_tail_is_replayed_in_memory(data: Path) -> None:
    """A service that was killed leaves a tail; what it gives is checked, and nothing is written."""
    _append(data)
    before = hashes(data)

    assert_sound(data)
    assert before == hashes(data)


def test_a_tail_that_gives_no_rows_is_found(data: Path) -> None:
    """A damaged tail is told, and so is whatever else is wrong."""
    number = _append(data)
    key = number.to_bytes(8, "big")
    rewrite(data, SHARD, "log", {key: flipped(stored(data, SHARD, "log")[key])})
    flip_one(data, names.CONTROL)

    assert {(SHARD, "whole_log"), (names.CONTROL, "checksums")} == found(data)


def test_a_damaged_checkpoint_is_found(data: Path) -> None:
    """A store whose checkpoint cannot be told is told of and not opened; others still are."""
    with_checkpoint = lmdb.open(str(data / SHARD / "state"), readonly=True, lock=False)
    with with_checkpoint.begin() as rows:
        position = bytes(rows.get(POSITION_KEY) or b"")
    with_checkpoint.close()
    rewrite(data, SHARD, "state", {POSITION_KEY: flipped(position)})
    flip_one(data, names.CONTROL)

    assert {(SHARD, "checksums"), (names.CONTROL, "checksums")} <= found(data)
    assert (SHARD, "checksums", "the checkpoint does not match its checksum") in findings(data)


def test_a_log_that_ends_before_its_checkpoint_is_found(data: Path) -> None:
    """The same of a store whose log is not the one that its rows were made of."""
    rewrite(data, SHARD, "log", dict.fromkeys(stored(data, SHARD, "log")))
    flip_one(data, names.CONTROL)

    assert {(SHARD, "whole_log"), (names.CONTROL, "checksums")} <= found(data)


def test_a_damaged_note_of_progress_is_found(data: Path) -> None:
    """How far stores were is not known then; what they are is checked all the same."""
    (data / PROGRESS_FILE).write_bytes(b"{")
    flip_one(data, SHARD)

    assert {(names.CONTROL, "whole_log"), (SHARD, "checksums")} <= found(data)


def test_a_tail_of_another_version_cannot_be_checked(data: Path) -> None:
    """Nothing can be said about rows that this version does not replay."""
    key = _append(data).to_bytes(8, "big")
    sealed = stored(data, SHARD, "log")[key]
    rewrite(data, SHARD, "log", {key: seal(sealed[HEAD_BYTES:], 99)})

    assert_not_checked(data, "machine version 99")


def test_broken_pages_are_found(data: Path) -> None:
    """A file whose pages are broken is told of and not opened; other stores still are."""
    path = data / SHARD / "state" / "data.mdb"
    content = bytearray(path.read_bytes())
    for at in range(2 * 4096, len(content), 4096):
        content[at + 10 : at + 12] = b"\xff\xff"
    path.write_bytes(bytes(content))
    flip_one(data, names.CONTROL)

    assert {(SHARD, "structure"), (names.CONTROL, "checksums")} == found(data)


def test_a_store_that_is_older_than_it_was_is_found(data: Path) -> None:
    """A store whose log ends before where it was last seen is not the newest copy."""
    (data / PROGRESS_FILE).write_text(json.dumps({SHARD: [1, 9_999]}))

    assert (SHARD, "whole_log") in found(data)


def test_what_is_served_cannot_be_checked_here(data: Path) -> None:
    """Somebody who serves a directory has it to itself; the refusal says what to do instead."""
    descriptor = lock_directory(data)
    try:
        assert_not_checked(data, "is being served: verify it by --address")
    finally:
        os.close(descriptor)


def test_a_store_that_an_actor_still_holds_cannot_be_checked(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An actor that outlives its service holds its store, and is waited for a while only."""
    monkeypatch.setattr(stopped_stores, "HELD_S", 0.0)
    store = open_store(data, SHARD)
    try:
        assert_not_checked(data, "is being served")
    finally:
        kill(store)


def test_no_data_directory_cannot_be_checked(tmp_path: Path, data: Path) -> None:
    """What is no data directory, or lacks a store, is refused, and nothing is made of it."""
    assert_not_checked(tmp_path, "holds no deployment")
    assert_not_checked(tmp_path / "nothing", "holds no deployment")
    assert not (tmp_path / "nothing").exists()
    shutil.rmtree(data / SHARD)
    assert_not_checked(data, f"{SHARD} is missing")


def assert_not_checked(directory: Path, why: str) -> None:
    """Asserts that the command gives up, and why."""
    result = verify(directory)
    assert result.exit_code == NOT_CHECKED, result.output
    assert why in result.stderr
    assert result.stderr.count("\n") == 1


def flip_one(directory: Path, name: str) -> None:
    """Changes a bit of a store's first row."""
    key, value = next(iter(stored(directory, name, "state").items()))
    rewrite(directory, name, "state", {key: flipped(value)})


def _bound_to(root: bytes) -> Callable[[bytes], bytes]:
    def change(data: bytes) -> bytes:
        row = MemberRow.unpack(data)
        row.root = root
        return row.pack()

    return change


def _append(directory: Path) -> int:
    """Stores an event of a new identifier at the first shard, which is killed then."""
    store = open_store(directory, SHARD)
    machine = ShardMachine(0, store, dedupe_window_days=30)
    machine.load()
    event = batch(frame("email:new@0", message_id="new", stamp_us=2_000_000_000_000_000))
    decision = machine.append(event, store.next_number)
    assert decision.record is not None
    number = store.append(decision.record)
    store.publish(decision.changes, number)
    kill(store)
    return number
