"""A slow disk makes answers late and lets nothing grow: what cannot be stored soon is refused."""

from __future__ import annotations

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple

import grpc
import pytest
from unify_client import ProfileNotFound, UnifyClient, track

from tests.integration.administering import refusal_of
from tests.integration.service import ACCESS_TOKEN, WRITE_KEY, Service
from tests.integration.slow_fsync import NoCompilerError, SlowFsync
from tests.integration.waiting import eventually
from unify_grpc._pb.unify.v1 import ingest_service_pb2, ingest_service_pb2_grpc

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.ray, pytest.mark.timeout(180)]

WRITING = (("authorization", f"Bearer {WRITE_KEY}"),)
EVENTS = 50
CALLERS = 24
CALLS = 6
"""Of each caller; together the callers offer twice what the queues take."""
QUEUE_EVENTS_MAX = 300
DEADLINE_S = 10.0
GROWTH_BYTES_MAX = 200 << 20
SHARDS = 2


class Told(NamedTuple):
    """What a call was answered, and when."""

    request: Any
    took_s: float
    reason: str
    """Of a refusal; empty for an acknowledgement."""


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Service, SlowFsync]]:
    """A service whose disk is as slow as a test says."""
    directory = tmp_path_factory.mktemp("slow")
    try:
        disk = SlowFsync(directory)
    except NoCompilerError as error:
        pytest.skip(f"not run: {error}")
    service = Service(
        directory / "data", "--shards", str(SHARDS), queue_events_max=QUEUE_EVENTS_MAX
    )
    disk.slow_down(service)
    with service:
        yield service, disk
        disk.set_ms(0)


def offer(service: Service, name: str) -> list[Told]:
    """Has many callers send at once, each its next call when the one before is answered."""
    with (
        grpc.insecure_channel(service.address) as channel,
        ThreadPoolExecutor(CALLERS) as pool,
    ):
        stub = ingest_service_pb2_grpc.IngestServiceStub(channel)
        callers = [pool.submit(_call, stub, f"{name}-{each}") for each in range(CALLERS)]
        return [told for caller in callers for told in caller.result()]


def _call(stub: Any, name: str) -> list[Told]:
    told = []
    for call in range(CALLS):
        events = [
            track("Seen", user_id=f"{name}-{call}-{each}", message_id=f"{name}-{call}-{each}")
            for each in range(EVENTS)
        ]
        request = ingest_service_pb2.IngestRequest(events=events)
        began = time.monotonic()
        reason = ""
        try:
            stub.Ingest(request, metadata=WRITING, timeout=DEADLINE_S)
        except grpc.RpcError as error:
            reason = refusal_of(error).reason
        told.append(Told(request, time.monotonic() - began, reason))
    return told


def read_for(reader: UnifyClient, done: Any) -> list[float]:
    """Reads one profile again and again until something is done; returns how long each took."""
    times: list[float] = []
    while not done.done() or not times:
        began = time.monotonic()
        reader.get_profile("user_id:known")
        times.append(time.monotonic() - began)
    return times


def memory_bytes(service: Service) -> int:
    """The memory of gateway and shards that is nobody else's."""
    total = 0
    for number in [service.pid, *service.actor_pids("ShardActor")]:
        status = Path(f"/proc/{number}/status").read_text()
        total += int(status.partition("RssAnon:")[2].split()[0]) * 1024
    return total


@pytest.mark.parametrize("delay_ms", [5, 50, 500])
def test_a_slow_disk(slow: tuple[Service, SlowFsync], delay_ms: int) -> None:
    """Acknowledgements wait for the disk, what the queues cannot take is refused long before its
    deadline, reads wait for nothing, and memory does not grow.
    """
    service, disk = slow
    with (
        UnifyClient(service.address, key=WRITE_KEY) as writer,
        UnifyClient(service.address, key=ACCESS_TOKEN) as reader,
        ThreadPoolExecutor(1) as pool,
    ):
        writer.ingest([track("Seen", user_id="known")])
        memory = memory_bytes(service)
        disk.set_ms(delay_ms)
        offered = pool.submit(offer, service, f"slow-{delay_ms}")
        reads = read_for(reader, offered)
        told = offered.result()
        disk.set_ms(0)

    acked = [each.took_s for each in told if not each.reason]
    refused = [each.took_s for each in told if each.reason]
    assert {"", "SHARD_OVERLOADED"} >= {each.reason for each in told}
    assert min(acked) >= delay_ms / 1000
    assert max(acked) < DEADLINE_S
    assert memory_bytes(service) - memory < GROWTH_BYTES_MAX
    if delay_ms == 500:
        assert len(refused) > CALLERS
        assert median(refused) < delay_ms / 1000
        assert median(reads) < delay_ms / 1000


def test_nothing_is_acknowledged_before_a_slow_disk_has_it(
    slow: tuple[Service, SlowFsync],
) -> None:
    """Whatever is acknowledged survives the kill of every shard in the middle of slow commits."""
    service, disk = slow
    disk.set_ms(200)
    numbers = count()
    acked: list[str] = []
    with ThreadPoolExecutor(1) as pool, UnifyClient(service.address, key=WRITE_KEY) as writer:

        def write_until_killed() -> None:
            while service.actor_pids("ShardActor") == pids:
                names = [f"kept-{next(numbers)}" for _ in range(20)]
                writer.ingest([track("Seen", user_id=each, message_id=each) for each in names])
                acked.extend(names)

        pids = service.actor_pids("ShardActor")
        assert SHARDS == len(pids)
        writing = pool.submit(write_until_killed)
        eventually(lambda: len(acked) >= 60, "some is acknowledged")
        for number in pids:
            os.kill(number, signal.SIGKILL)
        disk.set_ms(0)
        writing.result()
    with UnifyClient(service.address, key=ACCESS_TOKEN) as reader:
        assert [] == [each for each in acked if not is_found(reader, each)]


def is_found(reader: UnifyClient, user_id: str) -> bool:
    """Whether somebody's only event is there, once."""
    try:
        events = list(reader.list_events(f"user_id:{user_id}"))
    except ProfileNotFound:
        return False
    return [user_id] == [each.message_id for each in events]
