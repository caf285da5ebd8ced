"""A store's part in backups over a real store: what it holds, keeps, copies and cleans up."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest

from tests.unit.storage.store_folder import EXPECTED, StoreFolder
from unify_grpc.machines.backup_records import (
    BUSY,
    COPIED,
    COPYING,
    FAILED,
    HELD,
    KEPT,
    OVER,
    RELEASED,
    Copy,
    End,
    Hold,
    Keep,
    Look,
    PartReply,
    Release,
    StoreFacts,
    decode_reply,
    encode,
)
from unify_grpc.storage.backing_up import StoreBackups
from unify_grpc.storage.cut import StoreCut
from unify_grpc.storage.manifest import STORE_FORMAT

if TYPE_CHECKING:
    from pathlib import Path

    from unify_grpc.storage.store import Store

pytestmark = pytest.mark.timeout(30)
SHORT_S = 0.05
LONG_S = 60.0


@pytest.fixture
def store(folder: StoreFolder) -> Store:
    """A store with some records."""
    opened = folder.open()
    for _ in range(20):
        opened.publish({b"row": b"value"}, opened.append(b"record"))
    return opened


def parts_of(store: Store, *, hold_s: float = LONG_S, lease_s: float = LONG_S) -> StoreBackups:
    """The backups of a store, patient unless told otherwise."""
    return StoreBackups(store, EXPECTED, hold_s=hold_s, lease_s=lease_s)


def copied(backups: StoreBackups, directory: Path) -> PartReply:
    """Brings a backup `b1` to the end of its copy."""
    held = backups.take(Hold("b1"))
    assert HELD == held.state
    backups.take(Release("b1", held.life))
    backups.take(Copy("b1", held.life, str(directory)))
    give_up = time.monotonic() + 20
    while (reply := backups.take(Look("b1", held.life))).state == COPYING:
        assert time.monotonic() < give_up
    return reply


def has_gone_on(store: Store) -> bool:
    """Whether the writer commits, in a moment or two."""
    writer = threading.Thread(target=lambda: store.append(b"more"), daemon=True)
    writer.start()
    writer.join(10)
    return not writer.is_alive()


def test_a_backup_is_held_copied_and_taken_over(store: Store, tmp_path: Path) -> None:
    """Each answer has what the coordinator needs of it; the copy stays when all is over."""
    backups = parts_of(store)
    held = backups.take(Hold("b1"))
    assert StoreFacts("d1", 2, STORE_FORMAT, 0) == held.facts
    assert 0 < held.size_bytes
    assert held.life
    reply = copied(backups, tmp_path / "b1")

    assert COPIED == reply.state
    assert {"shard-0/log/data.mdb", "shard-0/state/data.mdb"} == {each.path for each in reply.files}
    assert sum(each.size_bytes for each in reply.files) == reply.size_bytes
    assert KEPT == backups.take(Keep("b1", held.life)).state
    backups.close()
    for file in reply.files:
        assert file.size_bytes == (tmp_path / "b1" / file.path).stat().st_size


def test_commands_and_answers_travel_packed(store: Store) -> None:
    """What an actor is sent and sends is bytes."""
    backups = parts_of(store)
    reply = decode_reply(backups.answer(encode(Hold("b1"))))

    assert HELD == reply.state
    assert RELEASED == decode_reply(backups.answer(encode(Release("b1", reply.life)))).state
    backups.close()


def test_a_hold_ends_by_itself(store: Store) -> None:
    """Without its coordinator the writer goes on, and the release that comes late is told so."""
    backups = parts_of(store, hold_s=SHORT_S)
    held = backups.take(Hold("b1"))

    assert has_gone_on(store)
    assert OVER == backups.take(Release("b1", held.life)).state
    assert HELD == backups.take(Hold("b2")).state
    backups.close()


def test_a_copy_that_nobody_asks_for_is_removed(store: Store, tmp_path: Path) -> None:
    """When its coordinator has vanished the part cleans up without being told."""
    backups = parts_of(store, lease_s=SHORT_S)
    held = backups.take(Hold("b1"))
    backups.take(Release("b1", held.life))
    backups.take(Copy("b1", held.life, str(tmp_path / "b1")))
    give_up = time.monotonic() + 20
    while backups.take(Hold("b2")).state == BUSY:
        assert time.monotonic() < give_up

    assert not (tmp_path / "b1").exists()
    backups.close()


def test_an_end_removes_the_copy(store: Store, tmp_path: Path) -> None:
    """A backup that is given up leaves nothing, and the writer goes on."""
    backups = parts_of(store)
    copied(backups, tmp_path / "b1")

    assert OVER == backups.take(End("b1")).state
    assert not (tmp_path / "b1").exists()
    assert has_gone_on(store)


def test_an_end_lets_a_held_writer_go(store: Store) -> None:
    """A backup may be given up before all held still."""
    backups = parts_of(store)
    backups.take(Hold("b1"))
    backups.take(End("b1"))

    assert has_gone_on(store)


def test_closing_ends_what_is_under_way(store: Store, tmp_path: Path) -> None:
    """A store can be closed in the middle of a backup; its part takes none any more."""
    backups = parts_of(store)
    copied(backups, tmp_path / "b1")
    backups.close()
    store.append(b"more")

    assert OVER == backups.take(Hold("b2")).state
    assert not (tmp_path / "b1").exists()


def test_a_copy_that_fails_says_why(store: Store, tmp_path: Path) -> None:
    """The words are the system's, for the coordinator to pass on."""
    (tmp_path / "b1").write_text("no directory")
    backups = parts_of(store)
    reply = copied(backups, tmp_path / "b1")

    assert FAILED == reply.state
    assert "it cannot be written: " in reply.failure
    backups.close()


def test_a_copy_whose_thread_ends_by_anything_has_failed(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A part that says nothing of it would let a directory without its files be a backup."""

    def no_thread(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(StoreCut, "copy", no_thread)
    backups = parts_of(store)

    assert FAILED == copied(backups, tmp_path / "b1").state
    backups.close()


def test_another_life_of_the_part_has_another_number(store: Store) -> None:
    """A hold of a process that ended is not taken for one of its successor."""
    first, second = parts_of(store), parts_of(store)
    held = first.take(Hold("b1"))
    first.close()
    held_again = second.take(Hold("b1"))

    assert held.life != held_again.life
    assert OVER == second.take(Release("b1", held.life)).state
    second.close()


def test_a_writer_that_cannot_be_held_ends_the_backup_here(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a commit hangs for too long the part says that it takes no part."""
    monkeypatch.setattr("unify_grpc.storage.backing_up.CUT_WAIT_S", SHORT_S)
    blocking = store.cut(1.0)
    backups = parts_of(store)

    assert OVER == backups.take(Hold("b1")).state
    blocking.close()
    assert HELD == backups.take(Hold("b2")).state
    backups.close()
