"""Logs of actors: files that never fail whoever writes to them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from unify_grpc.telemetry.logs import LogFile, configure_logging, get_logger

if TYPE_CHECKING:
    from pathlib import Path


def test_an_actor_logs_lines_of_json_to_its_file(tmp_path: Path) -> None:
    """Each line is an object that says which part wrote it; a second start appends."""
    for _ in range(2):
        configure_logging("info", tmp_path / "actor.log")
        get_logger("shard-0").info("shard_started", records_replayed_count=3)
    lines = [msgspec.json.decode(each) for each in (tmp_path / "actor.log").read_bytes().split()]

    assert 2 == len(lines)
    assert {("shard-0", "shard_started", 3)} == {
        (each["part"], each["event"], each["records_replayed_count"]) for each in lines
    }


def test_a_log_without_room_fails_nobody(tmp_path: Path) -> None:
    """On a full disk lines are lost and nothing is raised: /dev/full says that it is one."""
    path = tmp_path / "actor.log"
    path.symlink_to("/dev/full")
    configure_logging("info", path)
    get_logger("shard-0").warning("storage_full")
    LogFile(path).write("a line")

    assert path.is_char_device()
