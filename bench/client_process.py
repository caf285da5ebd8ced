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

from bench.conversation import CHECK, DELETE, SEND, Built, Checked, Deleted, Order, Sent
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
        answer = self._answer()
        return Built([_tally(each) for each in answer["tallies"]], answer["combinations_counts"])

    def send(self, address: str) -> Sent:
        """Has the next part of the order sent."""
        return Sent(**self._do(SEND, address))

    def delete(self, address: str) -> Deleted:
        """Has the next identifier deleted."""
        return Deleted(**self._do(DELETE, address))

    def check(self, address: str) -> Checked:
        """Has profiles read back and compared with what is expected."""
        return Checked(**self._do(CHECK, address))

    def _do(self, step: str, address: str) -> dict[str, Any]:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(f"{step} {address}\n")
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


def _tally(fields: dict[str, Any]) -> Tally:
    # Keys of JSON objects are texts.
    by_identifiers = {int(count): events for count, events in fields["by_identifiers"].items()}
    return Tally(**{**fields, "by_identifiers": by_identifiers})
