"""A real service for tests: `unify serve` in a process of its own, on loopback and a free port."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import TracebackType

ROOT = Path(__file__).resolve().parents[2]
WRITE_KEY = "dev_write_key"
ACCESS_TOKEN = "dev_access_token"
ADMIN_TOKEN = "dev_admin_token"
URL = re.compile(r"grpcs?://(\S+)")
READY = re.compile(r"unify is ready: grpcs?://(\S+) (https?://\S+)")
START_S = 60.0
STOP_S = 40.0


class Service:
    """A running service; stops with its context."""

    def __init__(
        self, data_dir: Path, *flags: str, is_dev: bool = True, **settings: object
    ) -> None:
        self.data_dir = data_dir
        self.flags = flags
        self.is_dev = is_dev
        self.settings = {f"UNIFY_{name.upper()}": str(value) for name, value in settings.items()}
        self.address = ""
        self.http_url = ""
        """Where HTTP is served, with the scheme."""
        self.gateway_addresses: list[str] = []
        """Of each gateway by itself, with the setting `gateway_ports`."""
        self.wrapper: list[str] = []
        """A command that runs the service's."""
        self.log_path = data_dir.parent / (data_dir.name + ".log")
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """Of the process that was started."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Starts the service and waits for its ready line."""
        self.launch()
        assert self.await_ready(), f"the service did not start: {self.log()[-2000:]}"

    def launch(self) -> None:
        """Starts the service and waits for nothing."""
        command = [*self.wrapper, sys.executable, "-m", "actors.command_line", "serve"]
        command += ["--dev"] if self.is_dev else []
        command += ["--data-dir", str(self.data_dir), "--grpc-port", "0"]
        command += ["--http-port", "0", *self.flags]
        paths = [str(ROOT), str(ROOT / "clients/python")]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), **self.settings}
        with self.log_path.open("a") as log:
            self._process = subprocess.Popen(
                command,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=environment,
                cwd=ROOT,
                # An interrupt at the terminal is for whoever looks after the service.
                process_group=0,
            )

    def await_ready(self, give_up_s: float = START_S) -> bool:
        """Waits for the ready line; False if the service ended, or took too long, before it."""
        assert self._process is not None
        assert self._process.stdout is not None
        watchdog = threading.Timer(give_up_s, self._process.kill)
        watchdog.start()
        for line in self._process.stdout:
            if found := READY.search(line):
                self.address, self.http_url = found[1], found[2]
                self.gateway_addresses = URL.findall(line)[1:]
                break
        watchdog.cancel()
        return bool(self.address)

    def stop(self) -> int:
        """Ends the service with SIGTERM and returns its exit code."""
        if self._process is None:
            return 0
        process, self._process = self._process, None
        self.address = ""
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        try:
            return process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        finally:
            assert process.stdout is not None
            process.stdout.close()

    @property
    def has_ended(self) -> bool:
        """Whether the process that was started is gone, and has not been waited for."""
        return self._process is not None and self._process.poll() is not None

    def wait_for_exit(self) -> int:
        """Waits until the service ends by itself and returns its exit code."""
        assert self._process is not None
        process, self._process = self._process, None
        self.address = ""
        code = process.wait(STOP_S)
        assert process.stdout is not None
        process.stdout.close()
        return code

    def log(self) -> str:
        """Returns everything the service has logged."""
        return self.log_path.read_text()

    def gateway_pids(self) -> list[int]:
        """Returns the processes of the gateways beside the first."""
        mine = descendants(self.pid)
        return sorted(each for each in mine if "actors.gateway_process" in title_of(each))

    def actor_pid(self, name: str) -> int:
        """Returns the process of an actor: `ShardActor`, `MergeActor` or `ControlActor`."""
        return self.actor_pids(name)[0]

    def actor_pids(self, name: str) -> list[int]:
        """Returns the processes below this service whose title names the actor class."""
        mine = descendants(self.pid)
        return sorted(number for number in mine if title_of(number).startswith(f"ray::{name}"))


def descendants(root: int) -> set[int]:
    """Returns all processes that a process started, directly or not."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError, IndexError, ValueError):
                rest = (entry / "stat").read_text().rpartition(")")[2].split()
                parents[int(entry.name)] = int(rest[1])
    found = {root}
    while True:
        more = {number for number, parent in parents.items() if parent in found} - found
        if not more:
            return found - {root}
        found |= more


def title_of(number: int) -> str:
    """Returns a process's title; empty if it is gone."""
    try:
        return Path(f"/proc/{number}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""
