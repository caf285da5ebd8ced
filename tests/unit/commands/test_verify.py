"""What `unify verify` prints of a running service."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from actors import stopped_stores
from actors.command_line import main
from unify_grpc._pb.unify.v1 import operations_service_pb2

if TYPE_CHECKING:
    from pathlib import Path

    from unify_client.testing import FakeUnify

    from tests.unit.commands.conftest import Unify


def answer(count: int, shown: int) -> operations_service_pb2.VerifyResponse:
    """Returns an answer with findings, of which some are told."""
    return operations_service_pb2.VerifyResponse(
        sound=not count,
        findings=[
            operations_service_pb2.VerifyFinding(
                part="shard-1", invariant="checksums", description=f"row m {each:02}\n"
            )
            for each in range(shown)
        ],
        findings_count=count,
        records_checked_count=42,
    )


def test_what_is_sound_is_said_in_one_line(fake: FakeUnify, unify: Unify) -> None:
    """Nothing found: exit code 0, and how much was looked at."""
    fake.reply("Verify", answer(0, 0))
    done = unify("verify")

    assert (0, "sound: 42 records checked\n") == (done.exit_code, done.stdout)


def test_each_finding_has_a_line(fake: FakeUnify, unify: Unify) -> None:
    """Part, invariant, what is wrong; the last line counts, also what is not shown."""
    fake.reply("Verify", answer(3, 2))
    done = unify("verify")

    assert 1 == done.exit_code
    assert [
        "shard-1: checksums: row m 00\\n",
        "shard-1: checksums: row m 01\\n",
        "3 findings, the first 2 shown: 42 records checked",
    ] == done.stdout.splitlines()


def test_findings_for_programs(fake: FakeUnify, unify: Unify) -> None:
    """`--json` prints one document with all that is known."""
    fake.reply("Verify", answer(1, 1))
    done = unify("verify", "--json")

    assert 1 == done.exit_code
    assert {
        "sound": False,
        "findings": [{"part": "shard-1", "invariant": "checksums", "description": "row m 00\n"}],
        "findings_count": 1,
        "records_checked_count": 42,
    } == json.loads(done.stdout)


@pytest.mark.parametrize(
    ("code", "reason"),
    [("UNAVAILABLE", "SHARD_UNAVAILABLE"), ("PERMISSION_DENIED", "SCOPE_MISSING")],
)
def test_what_cannot_be_checked_has_an_exit_code_of_its_own(
    fake: FakeUnify, unify: Unify, code: str, reason: str
) -> None:
    """A part that is away, or a token that may not, says nothing about the stores."""
    for _ in range(50):
        fake.fail_next("Verify", code, reason=reason, detail="why")
    done = unify("verify")

    assert 2 == done.exit_code
    assert f"unify: {reason}: why" in done.stderr


@pytest.mark.parametrize("error", [KeyboardInterrupt(), MemoryError()])
def test_an_unexpected_end_is_no_finding(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, error: BaseException
) -> None:
    """Else whoever runs it each night is told that the stores are damaged."""

    def fails(_: Path) -> None:
        raise error

    monkeypatch.setattr(stopped_stores, "verify_stopped", fails)
    done = CliRunner().invoke(main, ["verify", "--data-dir", str(tmp_path)])

    assert 2 == done.exit_code


def test_a_service_or_a_directory_has_to_be_named() -> None:
    """Without a token there is nobody to ask, and without a directory nothing to look at."""
    done = CliRunner().invoke(main, ["verify"], env={"UNIFY_TOKEN": ""})

    assert 2 == done.exit_code
    assert "--data-dir" in done.stderr
