"""A flood of one space over HTTP, by `wrk`, for as long as a context is open."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

import grpc

from bench.service import ADMIN_TOKEN
from bench.wrk import TIMEOUT_S, basic
from unify_grpc._pb.unify.v1 import space_service_pb2, space_service_pb2_grpc

if TYPE_CHECKING:
    from types import TracebackType

SCRIPT: Final = Path(__file__).parent / "flood.lua"
_CALL_TIMEOUT_S: Final = 20.0


def create_space(address: str, name: str) -> str:
    """Creates a space over gRPC; returns its write key."""
    with grpc.insecure_channel(address) as channel:
        stub: Any = space_service_pb2_grpc.SpaceServiceStub(channel)
        created = stub.CreateSpace(
            space_service_pb2.CreateSpaceRequest(name=name),
            metadata=(("authorization", f"Bearer {ADMIN_TOKEN}"),),
            timeout=_CALL_TIMEOUT_S,
        )
    return str(created.write_key)


class Flood:
    """Callers who send batches without a pause, whatever they are answered."""

    def __init__(self, address: str, key: str, name: str, *, callers: int, batch: int) -> None:
        """Begins.

        Args:
            address: of the HTTP side.
            key: write key of the space that is flooded.
            name: of this flood, in message ids.
            callers: connections.
            batch: events in a call.
        """
        count = str(callers)
        command = ["wrk", "-t", count, "-c", count, "-d", f"{TIMEOUT_S}s", "--timeout", "60s"]
        command += ["-s", str(SCRIPT), f"http://{address}/", basic(key), f"{name}-", str(batch)]
        self._process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Ends it."""
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(_CALL_TIMEOUT_S)
        finally:
            self._process.kill()
            self._process.wait()
