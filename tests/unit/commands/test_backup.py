"""`unify backup`: asks the service for a copy and says in one line what became of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import Result
from unify_client.testing import FakeUnify

from actors.commands.printing import bytes_text
from unify_grpc._pb.unify.v1 import operations_service_pb2

Unify = Callable[..., Result]

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
MADE = operations_service_pb2.CreateBackupResponse(
    directory="/srv/backup", snapshot_time=NOON, size_bytes=12_345_678
)


def test_a_backup_is_told_in_one_line(fake: FakeUnify, unify: Unify) -> None:
    """How much, of which instant, where, and what to do with it; progress goes to stderr."""
    fake.reply("CreateBackup", MADE)
    done = unify("backup", "/srv/backup")

    assert 0 == done.exit_code
    assert (
        "Backed up 12.3 MB as of 2026-01-02 12:00:00Z to /srv/backup;"
        " `unify restore /srv/backup` makes a data directory of it.\n"
    ) == done.stdout
    assert "the service goes on" in done.stderr


def test_a_backup_for_programs(fake: FakeUnify, unify: Unify) -> None:
    """`--json` prints what the service answered, and nothing else; the id goes out as given."""
    fake.reply("CreateBackup", MADE)
    done = unify("backup", "/srv/backup", "--request-id", "mine", "--json")

    assert {
        "directory": "/srv/backup",
        "snapshot_time": "2026-01-02T12:00:00Z",
        "size_bytes": 12_345_678,
    } == json.loads(done.stdout)
    assert "" == done.stderr
    assert "mine" == fake.received[0].request.request_id


def test_a_relative_path_is_meant_from_here(
    fake: FakeUnify, unify: Unify, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The service is asked for an absolute one."""
    fake.reply("CreateBackup", MADE)
    monkeypatch.chdir(tmp_path)
    unify("backup", "monday")

    assert str(tmp_path / "monday") == fake.received[0].request.directory


def test_a_refusal_is_said_with_its_reason(fake: FakeUnify, unify: Unify) -> None:
    """One line, and exit code 1."""
    fake.fail_next(
        "CreateBackup", "ABORTED", reason="BACKUP_RUNNING", detail="Another backup is being made."
    )
    done = unify("backup", "/srv/backup")

    assert (1, "") == (done.exit_code, done.stdout)
    assert "unify: BACKUP_RUNNING: Another backup is being made." in done.stderr


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (2_500_000_000, "2.5 GB"),
        (10**15, "1000.0 TB"),
    ],
)
def test_sizes_come_in_the_unit_that_fits(count: int, text: str) -> None:
    """People read sizes, programs count bytes."""
    assert text == bytes_text(count)
