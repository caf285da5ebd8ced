"""Verifications asked for by both clients."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from unify_client import AsyncUnifyClient, UnifyClient, Verification, VerifyFinding, VerifyRunning
from unify_client.testing import FakeUnify

from unify_grpc._pb.unify.v1 import operations_service_pb2

ANSWER = operations_service_pb2.VerifyResponse(
    sound=False,
    findings=[
        operations_service_pb2.VerifyFinding(
            part="shard-1", invariant="checksums", description="row m 00"
        )
    ],
    findings_count=2000,
    records_checked_count=3,
)


@pytest.fixture
def fake() -> Iterator[FakeUnify]:
    """Serves for one test."""
    with FakeUnify() as service:
        yield service


async def test_both_clients_tell_what_does_not_hold(fake: FakeUnify) -> None:
    """Faults of stores are an answer, not an error."""
    fake.reply("Verify", ANSWER)
    with UnifyClient(fake.address, key="k") as client:
        told = client.verify()
    async with AsyncUnifyClient(fake.address, key="k") as asynchronous:
        told_again = await asynchronous.verify(timeout_s=60)

    expected = Verification(
        sound=False,
        findings=(VerifyFinding(part="shard-1", invariant="checksums", description="row m 00"),),
        findings_count=2000,
        records_checked_count=3,
    )
    assert expected == told == told_again


def test_one_that_is_under_way_is_told(fake: FakeUnify) -> None:
    """Whoever asks for a second verification is told at once, and does not ask again and again."""
    fake.fail_next("Verify", "ABORTED", reason="VERIFY_RUNNING")
    with UnifyClient(fake.address, key="k") as client, pytest.raises(VerifyRunning):
        client.verify()

    assert 1 == len(fake.received)
