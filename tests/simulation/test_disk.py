"""The store of the service on a disk that fails at one place, which the test says."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from tests.simulation.disk import Disk, Environment, Fate, Trouble
from tests.simulation.disk_store import DiskStore
from tests.simulation.nodes import Crashed
from unify_grpc.storage.errors import CommitUnknownError, StorageFullError, StoreFencedError

if TYPE_CHECKING:
    from tests.simulation.nodes import ShardNode

pytestmark = pytest.mark.simulation


class Fates:
    """Circumstances that a test decides."""

    def __init__(self) -> None:
        self.next: dict[str, Fate] = {}
        """By environment, of its next write transaction."""
        self.is_lasting = False

    def fate_of(self, environment: Environment) -> Fate | None:
        """Decides what happens to a write transaction that begins."""
        name = environment.name
        return self.next.get(name) if self.is_lasting else self.next.pop(name, None)

    def is_running(self, disk: Disk) -> bool:
        """Says that somebody only looks."""
        del disk
        return False

    def before_read(self, environment: Environment) -> None:
        """Does nothing."""

    def meanwhile(self, store: DiskStore) -> None:
        """Does nothing."""

    def around_commit(self, environment: Environment) -> None:
        """Does nothing."""


def opened() -> tuple[Fates, Disk, DiskStore]:
    """Returns an empty store; nothing of it checkpoints by itself."""
    fates = Fates()
    node = cast("ShardNode", SimpleNamespace(name="s0"))
    disk = Disk(fates, node)
    return fates, disk, DiskStore(disk, 1 << 30)


def written() -> tuple[Fates, Disk, DiskStore]:
    """Returns a store with one record and its row."""
    fates, disk, store = opened()
    store.publish({b"a": b"1"}, store.append(b"one"))
    return fates, disk, store


def test_what_is_committed_survives_a_loss_of_power() -> None:
    """A record that was appended is there, and so is a checkpoint that was written."""
    _, disk, store = written()
    store.begin_checkpoint()
    store.run_thread()
    store.append(b"two")
    disk.lose_power()
    store = store.crashed()

    assert {1: b"one", 2: b"two"} == store.log
    assert [(2, b"two")] == list(store.tail())
    assert {b"a": b"1"} == store.rows


@pytest.mark.parametrize("trouble", [Trouble.MAP_FULL, Trouble.DISK_FULL])
@pytest.mark.parametrize("at_put", [0, None])
def test_a_refused_record_leaves_nothing(trouble: Trouble, at_put: int | None) -> None:
    """Without room nothing is written, and the next record takes the same number."""
    fates, _, store = written()
    fates.next["log"] = Fate(trouble, at_put, is_found=False, is_durable=False)

    with pytest.raises(StorageFullError):
        store.append(b"refused")
    assert 2 == store.append(b"two")
    assert {1: b"one", 2: b"two"} == store.crashed().log


@pytest.mark.parametrize("is_found", [False, True])
def test_an_error_in_a_commit_leaves_its_outcome_open(*, is_found: bool) -> None:
    """The process has to end, and the next finds the record or does not."""
    fates, _, store = written()
    fates.next["log"] = Fate(Trouble.ERROR, None, is_found, is_durable=True)

    with pytest.raises(CommitUnknownError):
        store.append(b"two")
    assert is_found == (2 in store.crashed().log)


def test_whoever_opens_a_store_makes_durable_what_it_finds() -> None:
    """What the next process found, after one that ended in its commit, is never taken away."""
    fates, disk, store = written()
    fates.next["log"] = Fate(Trouble.END, None, is_found=True, is_durable=False)
    with pytest.raises(Crashed):
        store.append(b"two")
    store = store.crashed()
    disk.lose_power()

    assert [b"one", b"two"] == [record for _, record in store.tail()]
    assert {1: b"one", 2: b"two"} == store.crashed().log


def test_without_room_too_an_opening_makes_durable_what_it_finds() -> None:
    """Where the epoch cannot be raised the files are still synced."""
    fates, disk, store = written()
    fates.next["log"] = Fate(Trouble.END, None, is_found=True, is_durable=False)
    with pytest.raises(Crashed):
        store.append(b"two")
    full = Fate(Trouble.MAP_FULL, None, is_found=False, is_durable=False)
    fates.next, fates.is_lasting = {"log": full, "state": full}, True
    store = store.crashed()
    disk.lose_power()

    assert {1: b"one", 2: b"two"} == store.log


def test_a_checkpoint_takes_effect_as_a_whole_or_not_at_all() -> None:
    """Wherever it is cut, a start finds the rows and the position of one checkpoint."""
    for at_put in range(4):
        fates, _, store = written()
        store.publish({b"b": b"2", b"c": None}, store.append(b"two"))
        store.begin_checkpoint()
        fates.next["state"] = Fate(Trouble.END, at_put, is_found=False, is_durable=False)
        with pytest.raises(Crashed):
            store.run_thread()
        store = store.crashed()

        assert ({}, 0) == (store.rows, store.checkpoint_position)
        assert [b"one", b"two"] == [record for _, record in store.tail()]


def test_rows_of_a_checkpoint_without_room_stay() -> None:
    """They are read as before, below what came meanwhile, and written with the next checkpoint."""
    fates, _, store = written()
    store.begin_checkpoint()
    store.publish({b"a": b"2"}, store.append(b"two"))
    fates.next["state"] = Fate(Trouble.MAP_FULL, None, is_found=False, is_durable=False)
    store.run_thread()
    store.publish({b"b": b"3"}, store.append(b"three"))

    assert ({b"a": b"2", b"b": b"3"}, 0) == (store.rows, store.checkpoint_position)
    store.begin_checkpoint()
    store.run_thread()
    assert 3 == store.crashed().checkpoint_position


def test_the_earlier_of_two_processes_ends_with_its_next_write() -> None:
    """The one that opened a store first appends nothing more and writes no checkpoint."""
    _, _, earlier = written()
    later = earlier.crashed()

    with pytest.raises(StoreFencedError):
        earlier.append(b"two")
    earlier.begin_checkpoint()
    earlier.run_thread()
    with pytest.raises(StoreFencedError):
        earlier.begin_checkpoint()
    assert 2 == later.append(b"two")
    assert 0 == later.crashed().checkpoint_position


def test_a_bug_in_a_checkpoint_is_not_taken_for_a_fault() -> None:
    """What a simulated disk does not know of shows at once, and does not pass for a bad disk."""
    _, disk, store = written()
    store.begin_checkpoint()
    cast("Any", disk.state).begin = None

    with pytest.raises(TypeError):
        store.run_thread()
