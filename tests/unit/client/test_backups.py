"""Backups asked for by both clients."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from uuid import UUID

import grpc
import pytest
from unify_client import (
    AsyncUnifyClient,
    Backup,
    BackupExists,
    BackupFailed,
    BackupRunning,
    ServiceError,
    UnifyClient,
)
from unify_client.testing import FakeUnify

from tests.unit.client.driving import Driven, Failure
from unify_grpc._pb.unify.v1 import operations_service_pb2

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
MADE = operations_service_pb2.CreateBackupResponse(
    directory="/backup", snapshot_time=NOON, size_bytes=1234
)


@pytest.fixture
def fake() -> Iterator[FakeUnify]:
    """Serves for one test."""
    with FakeUnify() as service:
        yield service


def test_a_backup_is_repeated_under_one_id() -> None:
    """A part that restarts makes the client ask again, for the same backup and not another."""
    driven = Driven()
    made = driven.answer(
        "OperationsService",
        "CreateBackup",
        lambda: driven.client.create_backup("/backup"),
        Failure(grpc.StatusCode.UNAVAILABLE),
        MADE,
    )

    assert Backup(directory="/backup", snapshot_time=NOON, size_bytes=1234) == made
    first, second = (taken.request for taken in driven.taken)
    assert first == second
    assert UUID(first.request_id).version == 4


async def test_both_clients_ask_alike(fake: FakeUnify) -> None:
    """A request id of the caller's goes out as it is."""
    fake.reply("CreateBackup", MADE)
    with UnifyClient(fake.address, key="k") as client:
        made = client.create_backup("/backup", request_id="mine")
    async with AsyncUnifyClient(fake.address, key="k") as asynchronous:
        assert made == await asynchronous.create_backup("/backup", request_id="mine")

    first, second = (each.request for each in fake.received)
    assert first == second
    assert ("/backup", "mine") == (first.directory, first.request_id)


@pytest.mark.parametrize(
    ("code", "reason", "error"),
    [
        ("ALREADY_EXISTS", "BACKUP_EXISTS", BackupExists),
        ("ABORTED", "BACKUP_RUNNING", BackupRunning),
        ("ABORTED", "BACKUP_FAILED", BackupFailed),
    ],
)
def test_refusals_have_classes(
    fake: FakeUnify, code: str, reason: str, error: type[ServiceError]
) -> None:
    """Each is raised at once: to ask again does not help by itself."""
    fake.fail_next("CreateBackup", code, reason=reason)
    with UnifyClient(fake.address, key="k") as client, pytest.raises(error):
        client.create_backup("/backup")

    assert 1 == len(fake.received)
