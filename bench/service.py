"""The service under test: the real one, in processes and a directory of its own."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from bench.machine import ROOT
from bench.processes import ProcessTree

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from bench.client_process import ClientProcess
    from bench.conversation import Checked
    from bench.processes import Usage

WRITE_KEY: Final = "dev_write_key"
ACCESS_TOKEN: Final = "dev_access_token"  # noqa: S105 - known on purpose, for loopback only
ADMIN_TOKEN: Final = "dev_admin_token"  # noqa: S105 - the same
START_TIMEOUT_S: Final = 90.0
STOP_TIMEOUT_S: Final = 60.0
_POLL_S: Final = 0.05
_READY: Final = "unify is ready: grpc://"
_TAIL_CHARS: Final = 2_000


class BenchFailedError(Exception):
    """A bench could not be run, or its result is not right; the text says what is wrong."""


class Service:
    """A service on loopback, with nothing left of it afterwards."""

    def __init__(
        self,
        directory: Path,
        *,
        shards: int,
        log_level: str = "warning",
        settings: Mapping[str, str] | None = None,
    ) -> None:
        """Starts it in a directory that exists, with settings as `UNIFY_*`; returns at once."""
        self.directory = directory
        self.data_dir = directory / "data"
        self._output = directory / "output"
        self._errors = directory / "errors"
        with self._output.open("wb") as output, self._errors.open("wb") as errors:
            self._process = subprocess.Popen(
                self._command(shards, log_level),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
                # An interrupt at the terminal is the bench's to pass on.
                start_new_session=True,
                env={
                    **os.environ,
                    "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'clients' / 'python'}",
                    "RAY_TMPDIR": str(directory),
                    # What the machine can do is measured, not what a space may.
                    "UNIFY_SPACE_READS_PER_S": "0",
                    **(settings or {}),
                },
            )
        self.http_address = ""
        """Of the HTTP side, once the service is ready."""
        self.tree = ProcessTree(self._process.pid, self.data_dir)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stops it as an operator would; what does not end by then is killed."""
        self.tree.parts()
        if kind is not None:
            sys.stderr.write(self.errors())
        self.stop()
        for number in self.tree.left_over():
            os.kill(number, signal.SIGKILL)

    def stop(self) -> None:
        """Ends it in order, if it can be; a second time it does nothing."""
        self._process.terminate()
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    @property
    def number(self) -> int:
        """The gateway's process number."""
        return self._process.pid

    def wait_ready(self) -> str:
        """Waits until calls are taken; returns the address."""
        give_up = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < give_up:
            for line in self._output.read_text().splitlines():
                if line.startswith(_READY):
                    address, *others = line.removeprefix(_READY).split()
                    for other in others:
                        self.http_address = other.removeprefix("http://")
                    return address
            self.check_alive()
            time.sleep(_POLL_S)
        raise BenchFailedError(f"the service was not ready within {START_TIMEOUT_S:.0f} s")

    def sample(self) -> dict[str, Usage]:
        """Returns the usage of each part."""
        return self.tree.sample()

    def check(self, client: ClientProcess, address: str) -> Checked:
        """Has what was stored compared with what has to be there."""
        return client.check(address)

    def _command(self, shards: int, log_level: str) -> list[str]:
        """Returns what starts it."""
        return [
            *(sys.executable, "-m", "actors.command_line", "serve", "--dev"),
            *("--data-dir", str(self.data_dir), "--grpc-port", "0", "--http-port", "0"),
            *("--shards", str(shards), "--log-level", log_level),
        ]

    def check_alive(self) -> None:
        """Raises `BenchFailedError` once the service has ended."""
        if self._process.poll() is not None:
            raise BenchFailedError(f"the service ended with {self._process.returncode}")

    def errors(self) -> str:
        """Returns the end of what it wrote to standard error."""
        return self._errors.read_text(errors="replace")[-_TAIL_CHARS:]


class BoundedDirectory:
    """A temporary directory for a run, on a disk that has room for it; removed afterwards."""

    def __init__(self, bytes_max: int) -> None:
        """Makes it; `BenchFailedError` where the disk has less than twice that room."""
        self.bytes_max = bytes_max
        # A short name: Ray puts sockets below it, whose paths have 107 bytes at most.
        self.path = Path(tempfile.mkdtemp(prefix="ub-"))
        if shutil.disk_usage(self.path).free < 2 * bytes_max:
            self.path.rmdir()
            raise BenchFailedError(f"{bytes_max >> 20} MB are needed below {self.path.parent}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Frees the disk."""
        shutil.rmtree(self.path, ignore_errors=True)
