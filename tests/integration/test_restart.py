"""Restarts: orderly, of one actor, and of everything at once in the middle of pending links."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from unify_client import (
    Ack,
    CredentialInvalid,
    EventStatus,
    Outcome,
    ProfileNotFound,
    UnifyClient,
    identify,
    track,
)

from tests.integration.service import ACCESS_TOKEN, ADMIN_TOKEN, WRITE_KEY, Service, descendants
from tests.integration.waiting import eventually

if TYPE_CHECKING:
    from unify_client import Event

pytestmark = [pytest.mark.ray, pytest.mark.timeout(120)]


def linking(number: int) -> Event:
    """An event that links three identifiers seen nowhere else."""
    return identify(
        user_id=f"u{number}",
        anonymous_id=f"a{number}",
        message_id=f"link-{number}",
        traits={"email": f"u{number}@example.com", "number": number},
    )


def are_linked(reader: UnifyClient, number: int) -> bool:
    """Whether all three are one profile, seen from each of them."""
    names = (f"user_id:u{number}", f"anonymous_id:a{number}", f"email:u{number}@example.com")
    profiles = [reader.get_profile(name) for name in names]
    return len({each.segment_id for each in profiles}) == 1 and all(
        len(each.external_ids) == len(names) for each in profiles
    )


def is_visible(reader: UnifyClient, number: int) -> bool:
    """The same, where parts of it may not be found yet."""
    try:
        return are_linked(reader, number)
    except ProfileNotFound:
        return False


def test_a_stopped_service_comes_back_as_it_was(tmp_path: Path) -> None:
    """After SIGTERM and a new start profiles, segment_ids, messages and tokens are what they were;
    another number of shards is refused in one sentence.
    """
    service = Service(tmp_path / "data", "--shards", "2")
    with service:
        with UnifyClient(service.address, key=WRITE_KEY) as writer:
            first = writer.ingest([linking(each) for each in range(30)])
        with UnifyClient(service.address, key=ACCESS_TOKEN) as reader:
            before = reader.get_profile("user_id:u7")
        assert 0 == service.stop()

    refused = subprocess.run(
        [
            *(sys.executable, "-m", "actors.command_line", "serve", "--dev", "--shards", "3"),
            *("--data-dir", str(tmp_path / "data"), "--grpc-port", "0", "--http-port", "0"),
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert 2 == refused.returncode
    assert "was made for 2 shards, not 3" in refused.stderr

    with service:
        with UnifyClient(service.address, key=ACCESS_TOKEN) as reader:
            assert before == reader.get_profile("user_id:u7")
            assert before == reader.get_profile(before.segment_id)
        with UnifyClient(service.address, key=WRITE_KEY) as writer:
            again = writer.ingest([linking(each) for each in range(30)])
        assert {EventStatus.DUPLICATE} == {each.status for each in again}
        assert [each.segment_id for each in first] == [each.segment_id for each in again]
        assert [each.outcome for each in first] == [each.outcome for each in again]


def test_links_pending_when_everything_dies_are_decided_after_the_start(tmp_path: Path) -> None:
    """Events acknowledged ACCEPTED are durable: kill -9 of all processes at once, with their
    links still pending, loses none, and the next start decides them without being asked.
    """
    service = Service(tmp_path / "data", "--shards", "3")
    with service:
        os.kill(service.actor_pid("MergeActor"), signal.SIGSTOP)  # so that nothing is decided
        with UnifyClient(service.address, key=WRITE_KEY) as writer:
            results = writer.ingest([linking(each) for each in range(40)], ack=Ack.ACCEPTED)
        assert {Outcome.PENDING} == {each.outcome for each in results}
        for number in (service.pid, *descendants(service.pid)):
            os.kill(number, signal.SIGKILL)
        service.wait_for_exit()

        service.start()
        with UnifyClient(service.address, key=ACCESS_TOKEN) as reader:
            for number in range(40):
                eventually(partial(is_visible, reader, number), f"link {number} is visible")
        with UnifyClient(service.address, key=WRITE_KEY) as writer:
            again = writer.ingest([linking(each) for each in range(40)])
        assert {(EventStatus.DUPLICATE, Outcome.CREATED)} == {
            (each.status, each.outcome) for each in again
        }


@pytest.mark.parametrize("victim", ["ShardActor", "MergeActor", "ControlActor"])
def test_a_killed_actor_comes_back_and_nothing_acknowledged_is_lost(
    victim: str, tmp_path: Path
) -> None:
    """An actor killed between and during batches is restarted; callers only wait, and every
    event is there once.
    """
    with (
        Service(tmp_path / "data", "--shards", "2") as service,
        UnifyClient(service.address, key=WRITE_KEY, timeout_s=30) as writer,
        UnifyClient(service.address, key=ACCESS_TOKEN, timeout_s=30) as reader,
    ):
        assert all(each.stored for each in writer.ingest([linking(each) for each in range(20)]))
        batches = [[linking(each), *_tracks(each)] for each in range(20, 60)]
        answered = 0
        for results in writer.ingest_stream(batches):
            assert all(each.stored for each in results)
            answered += 1
            if answered in {5, 20}:
                eventually(lambda: bool(service.actor_pids(victim)), f"{victim} is there")
                os.kill(service.actor_pid(victim), signal.SIGKILL)
        assert len(batches) == answered
        for number in range(60):
            assert are_linked(reader, number)
        for number in range(20, 60):
            listed = [each.message_id for each in reader.list_events(f"anonymous_id:a{number}")]
            assert [f"track-{number}-1", f"track-{number}-0"] == listed


def _tracks(number: int) -> list[Event]:
    return [
        track(f"Step {each}", user_id=f"u{number}", message_id=f"track-{number}-{each}")
        for each in range(2)
    ]


def test_links_that_nobody_hands_over_are_decided_after_the_merge_actor_died(
    tmp_path: Path,
) -> None:
    """With the merge actor dead and back, and nobody calling it, what was left is swept up."""
    with Service(tmp_path / "data", "--shards", "2") as service:
        with UnifyClient(service.address, key=WRITE_KEY) as writer:
            writer.ingest([linking(0)])
            merge = service.actor_pid("MergeActor")
            os.kill(merge, signal.SIGSTOP)
            writer.ingest([linking(each) for each in range(1, 20)], ack=Ack.ACCEPTED)
            os.kill(merge, signal.SIGKILL)
        with UnifyClient(service.address, key=ACCESS_TOKEN) as reader:
            for number in range(20):
                eventually(partial(is_visible, reader, number), f"link {number} is visible")


def test_well_known_keys_open_nothing_without_dev(tmp_path: Path) -> None:
    """A directory that once served with --dev does not let its known keys in without it; the
    token that was given does, and is nowhere in the logs.
    """
    with Service(tmp_path / "data", "--shards", "2"):
        pass
    token = "adm_of_this_test_only"
    service = Service(tmp_path / "data", is_dev=False, admin_token=token)
    with service:
        for key in (ADMIN_TOKEN, ACCESS_TOKEN):
            with UnifyClient(service.address, key=key) as client, pytest.raises(CredentialInvalid):
                client.get_space("dev")
        with UnifyClient(service.address, key=token) as admin:
            assert admin.create_space("mine").write_key
    assert token not in service.log()


def test_a_service_ends_itself_when_ray_dies(tmp_path: Path) -> None:
    """Without Ray's node process nothing can be repaired from inside: one line, a code, the end;
    the next start serves what was acknowledged.
    """
    service = Service(tmp_path / "data", "--shards", "2")
    with service:
        with UnifyClient(service.address, key=WRITE_KEY) as writer:
            writer.ingest([linking(1)])
        raylet = next(
            number
            for number in descendants(service.pid)
            if Path(f"/proc/{number}/comm").read_text().strip() == "raylet"
        )
        os.kill(raylet, signal.SIGKILL)
        assert 70 == service.wait_for_exit()
        assert "unify ends: Ray's raylet died" in service.log()

        service.start()
        with UnifyClient(service.address, key=ACCESS_TOKEN) as reader:
            assert are_linked(reader, 1)
