"""Kills a shard's process and looks from outside, call by call, when it serves again."""

from __future__ import annotations

import os
import signal
import time
from collections import deque
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import grpc
import msgspec

from bench.service import ACCESS_TOKEN, ADMIN_TOKEN, WRITE_KEY, BenchFailedError
from unify_grpc._pb.unify.v1 import (
    event_pb2,
    identity_pb2,
    ingest_service_pb2,
    ingest_service_pb2_grpc,
    operations_service_pb2,
    operations_service_pb2_grpc,
    profile_service_pb2,
    profile_service_pb2_grpc,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from bench.service import Service

PROBES: Final = 16
"""Identifiers that a probe is about: so many are on every shard."""
PROBE_INTERVAL_S: Final = 0.02
CALL_TIMEOUT_S: Final = 30.0
OUTAGE_S_MAX: Final = 60.0
MS: Final = 1000.0


class StartLine(msgspec.Struct):
    """What an actor's log says of a start."""

    event: str
    timestamp: str = ""
    open_ms: float = 0.0
    replay_ms: float = 0.0
    records_replayed_count: int = 0
    replayed_bytes: int = 0


@dataclass(frozen=True)
class Outage:
    """What one kill cost, in milliseconds from the kill, but where it says otherwise."""

    appended_ms: float
    """When the first append was answered that was sent after the kill."""
    read_ms: float
    """When the first read was."""
    ready_ms: float
    """When the shard had replayed its tail."""
    open_ms: float
    """How long the opening of the store took of that."""
    replay_ms: float
    """How long the replay did."""
    records_count: int
    """That were replayed."""
    replayed_bytes: int
    """Of them."""

    @property
    def restart_ms(self) -> float:
        """Until the actor's constructor ran: Ray notices, and starts a worker or takes one."""
        return self.ready_ms - self.open_ms - self.replay_ms

    @property
    def serving_ms(self) -> float:
        """Until both an append and a read were answered."""
        return max(self.appended_ms, self.read_ms)


class Outages:
    """Makes them; close it."""

    def __init__(self, service: Service, address: str) -> None:
        self._service = service
        self._channel: Any = grpc.insecure_channel(address)
        self._ingest = ingest_service_pb2_grpc.IngestServiceStub(self._channel)
        self._profiles = profile_service_pb2_grpc.ProfileServiceStub(self._channel)
        self._operations = operations_service_pb2_grpc.OperationsServiceStub(self._channel)
        self._number = 0
        self._append().result()

    def close(self) -> None:
        """Closes the connection."""
        self._channel.close()

    def shard_status(self, shard: int) -> Any:
        """Returns a shard's `ShardStatus`."""
        status = self._operations.GetStatus(
            operations_service_pb2.GetStatusRequest(),
            metadata=_bearer(ADMIN_TOKEN),
            timeout=CALL_TIMEOUT_S,
        )
        return next(each for each in status.shards if each.shard == shard)

    def kill(self, shard: int) -> Outage:
        """Kills a shard and returns when it served again."""
        store = self._service.data_dir / f"shard-{shard}"
        number = next(
            number for number, part in self._service.tree.parts().items() if part == store.name
        )
        starts_count = len(_starts(store))
        killed, killed_at = time.monotonic(), time.time()
        os.kill(number, signal.SIGKILL)
        appended, read = self._probe_until_served(killed)
        starts = _starts(store)
        if len(starts) != starts_count + 1:
            raise BenchFailedError(f"{store.name} started {len(starts) - starts_count} times")
        line = starts[-1]
        return Outage(
            appended_ms=appended * MS,
            read_ms=read * MS,
            ready_ms=(_seconds(line.timestamp) - killed_at) * MS,
            open_ms=line.open_ms,
            replay_ms=line.replay_ms,
            records_count=line.records_replayed_count,
            replayed_bytes=line.replayed_bytes,
        )

    def _probe_until_served(self, killed: float) -> tuple[float, float]:
        """Sends a fresh call of each kind again and again: one under way may be told late."""
        probes = [_Probe(self._append), _Probe(self._read)]
        while not all(probe.answered for probe in probes):
            if time.monotonic() - killed > OUTAGE_S_MAX:
                raise BenchFailedError(f"a shard did not serve within {OUTAGE_S_MAX:.0f} s")
            for probe in probes:
                probe.go_on()
            time.sleep(PROBE_INTERVAL_S)
        appended, read = (probe.answered - killed for probe in probes)
        return appended, read

    def _append(self) -> Any:
        self._number += 1
        events = [
            event_pb2.Event(
                type="track",
                name="Probe",
                user_id=f"probe-{each}",
                message_id=f"probe-{self._number}-{each}",
            )
            for each in range(PROBES)
        ]
        return self._ingest.Ingest.future(
            ingest_service_pb2.IngestRequest(events=events),
            metadata=_bearer(WRITE_KEY),
            timeout=CALL_TIMEOUT_S,
        )

    def _read(self) -> Any:
        names = [
            identity_pb2.ProfileName(
                identifier=identity_pb2.Identifier(type="user_id", value=f"probe-{each}")
            )
            for each in range(PROBES)
        ]
        return self._profiles.BatchGetProfiles.future(
            profile_service_pb2.BatchGetProfilesRequest(names=names),
            metadata=_bearer(ACCESS_TOKEN),
            timeout=CALL_TIMEOUT_S,
        )


class _Probe:
    """Calls of one kind, several under way, until one is answered."""

    def __init__(self, call: Callable[[], Any]) -> None:
        self._call = call
        self._under_way: deque[Any] = deque()
        self.answered = 0.0
        """When, by the clock of `time.monotonic`; 0: not yet."""

    def go_on(self) -> None:
        """Sends the next call, unless one was answered."""
        if self.answered:
            return
        call = self._call()
        call.add_done_callback(self._done)
        self._under_way.append(call)

    def _done(self, call: Any) -> None:
        if not call.cancelled() and call.exception() is None and not self.answered:
            self.answered = time.monotonic()


def _starts(store: Path) -> list[StartLine]:
    lines = (store / "actor.log").read_bytes().splitlines()
    decoded = [msgspec.json.decode(line, type=StartLine) for line in lines]
    return [line for line in decoded if line.event == "shard_started"]


def _seconds(timestamp: str) -> float:
    return datetime.fromisoformat(timestamp).timestamp()


def _bearer(key: str) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {key}"),)
