"""A service that is started again whenever it ends, as whoever looks after a real one would."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import threading
import time
from typing import TYPE_CHECKING, Final

from tests.chaos.kills import Target
from tests.chaos.victims import tree_of, victims_of
from tests.integration.service import Service, title_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from tests.chaos.findings import Findings
    from tests.chaos.victims import Victim

POLL_S: Final = 0.02
_ENDS_S = 60.0
"""What the processes of a dead service may take to end."""
_START_S = 150.0
"""A start takes 5 s on a quiet machine, and minutes on one that has much else to do."""
_STARTS_MAX = 4
"""In a row, before a service counts as one that does not start."""
_SELF_ENDED_CODE = 70


class Supervised:
    """A service at one port, with everything that it ever started."""

    def __init__(self, data_dir: Path, findings: Findings, *, shards: int, gateways: int) -> None:
        """Prepares it; frequent checkpoints, so that kills fall into them."""
        self.address = f"127.0.0.1:{_free_port()}"
        self.gateways = gateways
        self.findings = findings
        self.starts_count = 0
        self.service = Service(
            data_dir,
            *("--grpc-port", self.address.rpartition(":")[2], "--http-port", "0"),
            *("--shards", str(shards)),
            gateways=gateways,
            checkpoint_overlay_bytes_max=48 << 10,
            checkpoint_tail_bytes_max=64 << 10,
        )
        self._known: set[Victim] = set()

    def bring_up(self, cut: Callable[[], bool] | None = None) -> None:
        """Starts it until it serves.

        Args:
            cut: called once, in a thread, as it starts; whether it did what must end it.
        """
        for _ in range(_STARTS_MAX):
            if self._start(cut):
                self.remember()
                return
            self.reap()
            cut = None
        message = f"the service does not start: {self.service.log()[-1500:]}"
        raise AssertionError(message)

    def _start(self, cut: Callable[[], bool] | None) -> bool:
        """Starts it once; returns whether it serves, and whether it is going to."""
        self.starts_count += 1
        self.service.launch()
        if cut is None:
            return self.service.await_ready(_START_S)
        is_doomed: list[bool] = []
        cutting = threading.Thread(target=lambda: is_doomed.append(cut()))
        cutting.start()
        is_ready = self.service.await_ready(_START_S)
        cutting.join()
        return is_ready and not any(is_doomed)

    def remember(self) -> list[Victim]:
        """Notes which processes there are, and returns them."""
        tree = tree_of(self.service.pid)
        self._known.update(tree)
        return tree

    def victims_of(self, target: Target, give_up_s: float = 60.0) -> list[Victim]:
        """Returns a target's processes, once there are any; none if it does not come."""
        give_up = time.monotonic() + give_up_s
        self.remember()
        while not (found := victims_of(self.service.pid, target)):
            if self.service.has_ended or time.monotonic() > give_up:
                return []
            _wait(POLL_S)
        return found

    def successor_of(self, target: Target, before: Iterable[Victim]) -> Victim | None:
        """Waits for a process that takes a dead one's place; None if it does not come."""
        old, give_up = set(before), time.monotonic() + 10.0
        while not self.service.has_ended and time.monotonic() < give_up:
            found = [each for each in victims_of(self.service.pid, target) if each not in old]
            if found:
                return found[0]
            _wait(POLL_S)
        return None

    def reap(self, expected_of: Target | None = None) -> None:
        """Waits for the end of a service that was killed, or that has to end itself."""
        try:
            code = self.service.wait_for_exit()
        except subprocess.TimeoutExpired:
            self.findings.note("the service does not end itself", f"{expected_of} died")
            self.kill_all()
            return
        if expected_of is None:
            return
        line = f"unify ends: Ray's {'gcs_server' if expected_of is Target.GCS else 'raylet'} died"
        if code != _SELF_ENDED_CODE or line not in self.service.log():
            text = f"{expected_of} died, code {code}"
            self.findings.note("the service does not say why it ends", text)

    def stop(self) -> None:
        """Ends it in order, and checks that nothing of it is left."""
        self.remember()
        code = self.service.stop()
        if code:
            self.findings.note("a stop has a bad code", str(code))
        give_up = time.monotonic() + _ENDS_S
        while self._alive() and time.monotonic() < give_up:
            _wait(POLL_S)
        for victim in self._alive():
            text = title_of(victim.number)[:120]
            self.findings.note("a process is left over", f"{victim.number} {text}")

    def kill_all(self) -> None:
        """Leaves nothing behind, whatever became of it."""
        # It may never have been started, or have been waited for already.
        with contextlib.suppress(AssertionError):
            self.remember()
        for victim in self._alive():
            victim.kill()

    def _alive(self) -> list[Victim]:
        return [each for each in self._known if each.is_alive]


def _wait(seconds: float) -> None:
    """Between two looks at something that has no event to wait for."""
    threading.Event().wait(seconds)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
