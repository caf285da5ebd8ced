"""The bench's side of the sending process."""

from __future__ import annotations

import dataclasses
import json
import os
import queue
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any, Self

from bench.components import Partition
from bench.conversation import (
    BUILD,
    CHECK,
    DELETE,
    PARTITION,
    READ,
    READ_HTTP,
    SEND,
    SEND_HTTP,
    SEND_TO_NOBODY,
    Answered,
    Built,
    Checked,
    Deleted,
    Order,
    Reads,
    Sent,
)
from bench.ledger import Tally
from bench.machine import ROOT
from bench.service import BenchFailedError

if TYPE_CHECKING:
    from types import TracebackType

STEP_TIMEOUT_S = 900.0
END_TIMEOUT_S = 10.0


class ClientProcess:
    """Sends in a process of its own, so that its CPU is told apart and takes nobody's turn."""

    def __init__(self, order: Order) -> None:
        """Starts it; it begins at once to build what it will send."""
        self.order = order
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.client", json.dumps(dataclasses.asdict(order))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        self._lines: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._read, name="client output", daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Ends it."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.close()
            self._process.wait(0 if kind else END_TIMEOUT_S)
        except (subprocess.TimeoutExpired, BrokenPipeError):
            self._process.kill()
            self._process.wait()

    @property
    def number(self) -> int:
        """The process's number."""
        return self._process.pid

    def wait_built(self) -> Built:
        """Waits until everything is ready to be sent."""
        return _built(self._answer())

    def build(self, address: str) -> Built:
        """Has the next part built, where not all parts are built ahead."""
        return _built(self._do(BUILD, address))

    def send(self, address: str, *, events_per_s: int = 0, readers: int = 0) -> Sent:
        """Has the next part of the order sent.

        Args:
            address: the service's.
            events_per_s: at which rate; 0: as fast as answers come.
            readers: callers that read traits meanwhile.
        """
        fields = self._do(SEND, address, events_per_s, readers)
        reads = fields.pop("reads")
        return Sent(**fields, reads=Reads(**reads) if reads else None)

    def read(self, address: str, *, callers: int, count: int) -> Reads:
        """Has traits read by callers at once, so often in all."""
        return Reads(**self._do(READ, address, callers, count))

    def send_http(self, address: str) -> Sent:
        """Has the next part sent over HTTP, to the address of that."""
        return Sent(**self._do(SEND_HTTP, address))

    def send_to_nobody(self, address: str) -> Answered:
        """Has the next part sent to a handler that does nothing; it is still the next one."""
        return Answered(**self._do(SEND_TO_NOBODY, address))

    def read_http(self, address: str, *, callers: int, count: int, is_empty: bool) -> Answered:
        """Has traits read over HTTP, as `read` does; `is_empty`: the handler does nothing."""
        return Answered(**self._do(READ_HTTP, address, callers, count, int(is_empty)))

    def delete(self, address: str) -> Deleted:
        """Has the next identifier deleted."""
        return Deleted(**self._do(DELETE, address))

    def check(self, address: str) -> Checked:
        """Has profiles read back and compared with what is expected."""
        return Checked(**self._do(CHECK, address))

    def partition(self, address: str) -> Partition:
        """Has all that was sent put together as if nothing were limited."""
        return Partition(**self._do(PARTITION, address))

    def _do(self, step: str, address: str, *numbers: int) -> dict[str, Any]:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(" ".join([step, address, *map(str, numbers)]) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError as error:
            raise BenchFailedError("the sending process ended early") from error
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        try:
            line = self._lines.get(timeout=STEP_TIMEOUT_S)
        except queue.Empty:
            raise BenchFailedError(f"no answer within {STEP_TIMEOUT_S:.0f} s") from None
        if not line:
            raise BenchFailedError("the sending process ended early; its reason is above")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put("")


def _built(fields: dict[str, Any]) -> Built:
    return Built(**{**fields, "tallies": [_tally(each) for each in fields["tallies"]]})


def _tally(fields: dict[str, Any]) -> Tally:
    # Keys of JSON objects are texts.
    by_identifiers = {int(count): events for count, events in fields["by_identifiers"].items()}
    return Tally(**{**fields, "by_identifiers": by_identifiers})
