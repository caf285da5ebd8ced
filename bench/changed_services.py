"""The yardsticks `naive` and `ceiling` as a scenario runs them: the service with changed actors."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import grpc

from bench.components import describe_counts
from bench.conversation import Checked
from bench.service import ADMIN_TOKEN, Service
from unify_grpc._pb.unify.v1 import operations_service_pb2, operations_service_pb2_grpc
from unify_grpc.machines import rows
from unify_grpc.machines.rows import MemberRow
from unify_grpc.machines.shard_machine import MACHINE_VERSION
from unify_grpc.storage.manifest import read_manifest
from unify_grpc.storage.read_only import ReadOnlyStore

if TYPE_CHECKING:
    from bench.client_process import ClientProcess

CALL_TIMEOUT_S = 10.0
PROGRAM = "actors.command_line"


class _ChangedService(Service):
    name = ""
    """By which `yardstick_process` knows it."""

    def _command(self, shards: int, log_level: str) -> list[str]:
        usual = super()._command(shards, log_level)
        at = usual.index(PROGRAM)
        return [sys.executable, "-m", "bench.yardstick_process", self.name, *usual[at + 1 :]]


class NaiveService(_ChangedService):
    """The service with everything committed per batch."""

    name = "naive"

    def check(self, client: ClientProcess, address: str) -> Checked:
        """Compares profiles as usual; besides, no store may have a record without its rows."""
        checked = super().check(client, address)
        with grpc.insecure_channel(address) as channel:
            stub = operations_service_pb2_grpc.OperationsServiceStub(channel)
            status = stub.GetStatus(
                operations_service_pb2.GetStatusRequest(),
                metadata=(("authorization", f"Bearer {ADMIN_TOKEN}"),),
                timeout=CALL_TIMEOUT_S,
            )
        for each in status.shards:
            if not 0 < each.log_position == each.checkpoint_position:
                checked.wrong.append(
                    f"shard {each.shard} has {each.log_position} records "
                    f"and rows of {each.checkpoint_position}"
                )
        return checked


class CeilingService(_ChangedService):
    """The service with apply and links switched off."""

    name = "ceiling"

    _is_stopped = False

    def check(self, client: ClientProcess, address: str) -> Checked:
        """Stops it and reads the anchors' lists: as many events each as were sent.

        Keys are secret, so who is whose is not compared: the numbers of all anchors are.
        """
        expected = client.partition(address)
        self.stop()
        self._is_stopped = True
        counts: list[int] = []
        for directory in sorted(self.data_dir.glob("shard-*")):
            store = ReadOnlyStore(directory, read_manifest(directory), MACHINE_VERSION)
            for _, data in store.scan(rows.MEMBER):
                counts.append(MemberRow.unpack(data).event_count)
            store.close()
        wrong = []
        checksum = describe_counts(counts)
        if checksum != expected.anchors_checksum:
            wrong.append(f"{len(counts)} anchors have {sum(counts)} events, not as they were sent")
        if sum(counts) != expected.events_count:
            wrong.append(f"{sum(counts)} events are listed, not {expected.events_count}")
        return Checked(len(counts), wrong, checksum)

    def check_alive(self) -> None:
        """Raises `BenchFailedError` once it has ended without being told to."""
        if not self._is_stopped:
            super().check_alive()
