"""Backups of a running service, and what is served from them."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Self

import pytest
from click.testing import CliRunner, Result
from unify_client import (
    BackupExists,
    BackupRunning,
    EventStatus,
    RequestIdReused,
    RequestInvalid,
    RetryPolicy,
    ScopeMissing,
    ServiceError,
    ShardUnavailable,
    StorageFull,
    UnifyClient,
    group,
    identify,
    track,
)

from actors.command_line import main
from tests.integration.service import ACCESS_TOKEN, ADMIN_TOKEN, WRITE_KEY, Service
from tests.integration.small_disks import DisksRefusedError, SmallDisks
from tests.integration.waiting import eventually

if TYPE_CHECKING:
    from pathlib import Path

    from unify_client import Backup, Event

pytestmark = [pytest.mark.ray, pytest.mark.timeout(240)]
KINDS = ("identify", "track", "group")
KILLS = 3
SMALL_BYTES = 40_000
"""Less than the smallest backup, whose files have three pages each."""
REQUESTS_MIN = 12
"""That are acked before a backup is asked for, and again while it is made or after it."""


def events_of(number: int) -> list[Event]:
    """A request: a new person, two who turn out to be one, an account, and somebody known."""
    name, other = f"u{number}", f"a{number // 2}"
    return [
        identify(
            user_id=name,
            anonymous_id=f"a{number}",
            message_id=f"new-{number}",
            traits={"email": f"u{number}@example.com"},
        ),
        track("Seen", anonymous_id=f"a{number}", message_id=f"known-{number}"),
        identify(
            anonymous_id=other,
            message_id=f"merge-{number}",
            traits={"email": f"shared{number // 3}@example.com"},
        ),
        group(f"g{number % 5}", user_id=name, message_id=f"group-{number}"),
    ]


class Writer:
    """Sends requests one after another and keeps a book of what was acknowledged."""

    def __init__(self, service: Service) -> None:
        self.acked: list[int] = []
        self.deleted: list[int] = []
        """Numbers whose `anonymous_id` was parted from its user."""
        self._service = service
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._write)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()

    def has(self, count: int) -> bool:
        """Whether so many requests are acknowledged, or it has failed."""
        return len(self.acked) >= count or not self._thread.is_alive()

    def _write(self) -> None:
        address = self._service.address
        with (
            UnifyClient(address, key=WRITE_KEY, timeout_s=30) as writer,
            UnifyClient(address, key=ACCESS_TOKEN, timeout_s=30) as reader,
        ):
            number = 0
            while not self._stopping.is_set():
                assert all(each.stored for each in writer.ingest(events_of(number)))
                self.acked.append(number)
                if number % 4 == 1:
                    reader.delete_external_ids(f"user_id:u{number}", [f"anonymous_id:a{number}"])
                    self.deleted.append(number)
                number += 1


def unify(*arguments: object, address: str = "") -> Result:
    """Runs `unify` as an administrator."""
    environment = {"UNIFY_ADDRESS": address, "UNIFY_TOKEN": ADMIN_TOKEN}
    words = [str(each) for each in arguments]
    return CliRunner().invoke(main, words, env=environment, catch_exceptions=False)


def check_restored(service: Service, acked: list[int], deleted: list[int], last: int) -> None:
    """Checks a service that was restored.

    Args:
        service: started on the restored directory.
        acked: requests acknowledged before the backup was asked for.
        deleted: deletions acknowledged before that.
        last: the number of the last request that was sent at all.
    """
    with (
        UnifyClient(service.address, key=WRITE_KEY, timeout_s=30) as writer,
        UnifyClient(service.address, key=ACCESS_TOKEN, timeout_s=30) as reader,
    ):
        for number in deleted:
            known = reader.get_profile(f"user_id:u{number}").external_ids
            assert f"a{number}" not in {each.id for each in known}
        places: dict[str, str] = {}
        for number in range(last + 1):
            events = events_of(number)
            again = writer.ingest(events)
            statuses = {each.status for each in again}
            if number in acked:
                assert {EventStatus.DUPLICATE} == statuses, number
            assert statuses <= {EventStatus.DUPLICATE, EventStatus.STORED}
            for each in again:
                assert each.segment_id is not None
                places[events[each.index].message_id] = each.segment_id
        shown: dict[str, list[str]] = {}
        for message_id, segment_id in places.items():
            profile = reader.get_profile(segment_id).segment_id
            if profile not in shown:
                listed = reader.list_events(profile, types=KINDS)
                shown[profile] = [each.message_id for each in listed]
            assert 1 == shown[profile].count(message_id), message_id
        for number in range(last + 1):
            links = [each.segment_id for each in reader.list_links(f"user_id:u{number}")]
            assert len(links) == len(set(links))


def check_goes_on(service: Service) -> None:
    """Checks that new spaces, keys and links work, and that numbers go on where they were."""
    with UnifyClient(service.address, key=ADMIN_TOKEN, timeout_s=30) as admin:
        before = admin.get_status()
        space = admin.create_space("made after")
        assert {"dev", "made after"} <= {each.name for each in admin.list_spaces()}
        with UnifyClient(service.address, key=space.write_key, timeout_s=30) as writer:
            results = writer.ingest(
                [event for number in range(8) for event in events_of(1000 + number)]
            )
        assert {EventStatus.STORED} == {each.status for each in results}
        after = admin.get_status()
    assert before.merge_actors[0].journal_sequence < after.merge_actors[0].journal_sequence
    for was, now in zip(before.shards, after.shards, strict=True):
        assert was.log_position < now.log_position


def test_a_backup_of_a_busy_service_is_restored(tmp_path: Path) -> None:
    """Cut while novel links, merges, deletions and group calls go on; what was acknowledged before
    it was asked for is there once, sending everything again doubles nothing, and the service goes
    on from it.
    """
    with Service(tmp_path / "data", "--shards", "3", "--gateways", "2") as service:
        with Writer(service) as writer:
            eventually(lambda: writer.has(REQUESTS_MIN), "requests are acknowledged")
            acked, deleted = list(writer.acked), list(writer.deleted)
            made = unify("backup", tmp_path / "backup", address=service.address)
            assert 0 == made.exit_code, made.stderr
            count = len(writer.acked)
            eventually(lambda: writer.has(count + REQUESTS_MIN), "more are acknowledged after it")
        last = writer.acked[-1]
        assert last > acked[-1] + REQUESTS_MIN
    restored = unify("restore", tmp_path / "backup", "--data-dir", tmp_path / "restored")
    assert 0 == restored.exit_code, restored.stderr
    verified = unify("verify", "--data-dir", tmp_path / "restored")
    assert 0 == verified.exit_code, verified.stdout

    with Service(tmp_path / "restored") as service:
        check_restored(service, acked, deleted, last)
        check_goes_on(service)
    verified = unify("verify", "--data-dir", tmp_path / "restored")
    assert 0 == verified.exit_code, verified.stdout


def test_backups_are_refused_or_made_again(tmp_path: Path) -> None:
    """What the method promises of directories, request ids, credentials and a second backup."""
    first, again = tmp_path / "first", "f3c1b2a4-5d6e-4f70-8192-a3b4c5d6e7f8"
    with (
        Service(tmp_path / "data", "--shards", "2") as service,
        UnifyClient(service.address, key=ADMIN_TOKEN, timeout_s=30) as admin,
        UnifyClient(service.address, key=ACCESS_TOKEN) as reader,
        UnifyClient(service.address, key=WRITE_KEY) as writer,
    ):
        writer.ingest(events_of(0))
        made = admin.create_backup(str(first), request_id=again)
        assert made == admin.create_backup(str(first), request_id=again)
        with pytest.raises(BackupExists):
            admin.create_backup(str(first))
        with pytest.raises(RequestIdReused):
            admin.create_backup(str(tmp_path / "other"), request_id=again)
        for unusable in ("relative", str(first / "backup.json"), "/proc/nowhere"):
            with pytest.raises(RequestInvalid) as raised:
                admin.create_backup(unusable)
            assert ["directory"] == [each.field for each in raised.value.violations]
        for client in (reader, writer):
            with pytest.raises(ScopeMissing):
                client.create_backup(str(tmp_path / "other"))
        assert not (tmp_path / "other").exists()
        actions = [each.action for each in admin.list_audit_entries()]
        assert "CreateBackup" in actions

        two = [tmp_path / "two", tmp_path / "three"]
        with ThreadPoolExecutor(2) as threads:
            made_both = list(threads.map(lambda each: _made(admin, each), two))
        done = [isinstance(each, BackupRunning) or each.size_bytes > 0 for each in made_both]
        assert [True, True] == done
        for directory, result in zip(two, made_both, strict=True):
            assert directory.exists() != isinstance(result, BackupRunning)


def _made(admin: UnifyClient, directory: Path) -> Backup | BackupRunning:
    try:
        return admin.create_backup(str(directory))
    except BackupRunning as error:
        return error


def test_a_backup_that_does_not_fit_leaves_nothing(tmp_path: Path) -> None:
    """On a disk with too little room nothing is begun; the service and other disks are as ever."""
    small = tmp_path / "small"
    small.mkdir()
    with contextlib.ExitStack() as stack:
        try:
            disks = stack.enter_context(SmallDisks())
        except DisksRefusedError as error:
            pytest.skip(f"not run: {error}")
        disks.mount(small, SMALL_BYTES)
        service = Service(tmp_path / "data", "--shards", "2")
        service.wrapper = disks.wrapper
        stack.enter_context(service)
        admin = stack.enter_context(UnifyClient(service.address, key=ADMIN_TOKEN, timeout_s=30))
        with pytest.raises(StorageFull):
            admin.create_backup(str(small / "backup"))

        assert [] == list(disks.inside(small).iterdir())
        assert 0 < admin.create_backup(str(tmp_path / "backup")).size_bytes


@pytest.mark.parametrize("victim", ["ShardActor", "MergeActor", "ControlActor"])
def test_a_backup_with_a_part_that_dies_leaves_nothing(victim: str, tmp_path: Path) -> None:
    """A part that does not answer, and then dies, ends the backup within seconds and with a
    reason; everybody else goes on, and a later backup works.
    """
    directory = tmp_path / "backup"
    no_repetition = RetryPolicy(deadline_s=0)
    with (
        Service(tmp_path / "data", "--shards", "2") as service,
        UnifyClient(
            service.address, key=ADMIN_TOKEN, timeout_s=30, retry=no_repetition
        ) as impatient,
        UnifyClient(service.address, key=ADMIN_TOKEN, timeout_s=60) as admin,
        UnifyClient(service.address, key=WRITE_KEY, timeout_s=60) as writer,
    ):
        writer.ingest(events_of(0))
        stopped = service.actor_pid(victim)
        os.kill(stopped, signal.SIGSTOP)
        with pytest.raises(ShardUnavailable) as raised:
            impatient.create_backup(str(directory))
        assert raised.value.metadata["actor"]
        assert not directory.exists()
        os.kill(stopped, signal.SIGKILL)
        eventually(lambda: service.actor_pids(victim) not in ([], [stopped]), "it is back")

        assert all(each.stored for each in writer.ingest(events_of(1)))
        assert 0 < admin.create_backup(str(directory)).size_bytes
    assert 0 == unify("restore", directory, "--data-dir", tmp_path / "restored").exit_code


@pytest.mark.parametrize("victim", ["ShardActor", "MergeActor", "ControlActor"])
def test_a_part_killed_at_any_moment_makes_no_half_backup(victim: str, tmp_path: Path) -> None:
    """Killed while backups are made one after another, each of them is whole or not there."""
    refused = 0
    no_repetition = RetryPolicy(deadline_s=0)
    with (
        Service(tmp_path / "data", "--shards", "2") as service,
        UnifyClient(service.address, key=ADMIN_TOKEN, timeout_s=60, retry=no_repetition) as admin,
        Writer(service) as writer,
    ):
        eventually(lambda: writer.has(5), "requests are acknowledged")
        for number in range(KILLS):
            directory = tmp_path / f"backup-{number}"
            killer = threading.Timer(number * 0.08, _kill, [service, victim])
            killer.start()
            error = _failure(admin, directory)
            killer.join()
            assert (error is None) == directory.exists()
            assert error is None or error.code in {"UNAVAILABLE", "ABORTED"}, error
            refused += error is not None
            eventually(lambda: bool(service.actor_pids(victim)), "it is back")
            count = len(writer.acked)
            eventually(lambda count=count: writer.has(count + 2), "the service goes on")  # type: ignore[misc]  # bound early
    for number in range(KILLS):
        directory = tmp_path / f"backup-{number}"
        target = tmp_path / f"restored-{number}"
        if directory.exists():
            done = unify("restore", directory, "--data-dir", target)
            assert 0 == done.exit_code, done.stderr
            verified = unify("verify", "--data-dir", target)
            assert 0 == verified.exit_code, verified.stdout
    sys.stderr.write(f"{refused} of {KILLS} backups were refused\n")


def _failure(admin: UnifyClient, directory: Path) -> ServiceError | None:
    """Has a backup made; returns why it was not."""
    try:
        admin.create_backup(str(directory))
    except ServiceError as error:
        return error
    return None


def _kill(service: Service, victim: str) -> None:
    for number in service.actor_pids(victim):
        os.kill(number, signal.SIGKILL)
