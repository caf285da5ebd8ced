"""A PostgreSQL of the system's packages, in a directory of its own, on a Unix socket alone."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from bench.service import BenchFailedError

if TYPE_CHECKING:
    from types import TracebackType

INSTALLED: Final = Path("/usr/lib/postgresql")
"""Where Debian keeps each major version's programs."""
USER: Final = "bench"
DATABASE: Final = "postgres"
_OWNERS: Final = ("postgres", "nobody")
"""Who runs the server where the bench is run by root, whom it refuses."""
WAL_BYTES_MAX: Final = 2 << 30
SETTINGS: Final = {
    "listen_addresses": "",
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "autovacuum": "on",
    "shared_buffers": "1GB",
    "wal_buffers": "64MB",
    "max_wal_size": f"{WAL_BYTES_MAX >> 20}MB",
    "checkpoint_timeout": "15min",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "maintenance_work_mem": "256MB",
}
"""Durable as the service is; otherwise as is best for writing, and no replication to feed."""
START_TIMEOUT_S: Final = 60.0
STOP_TIMEOUT_S: Final = 60.0
_POLL_S: Final = 0.05


def find_programs() -> Path | None:
    """Returns the directory of the newest server's programs, or None: none is installed."""
    found = [each.parent for each in INSTALLED.glob("*/bin/postgres")]
    if found:
        return max(found, key=lambda each: float(each.parent.name))
    postgres = shutil.which("postgres")
    return None if postgres is None else Path(postgres).resolve().parent


class PostgresServer:
    """Runs until its context ends; its files are the directory's owner's to free."""

    def __init__(self, directory: Path) -> None:
        """Makes a database in a directory that exists, and starts the server."""
        programs = find_programs()
        if programs is None:
            raise BenchFailedError("no PostgreSQL is installed")
        self._programs = programs
        self.data_dir = directory / "postgres"
        self.socket_dir = directory / "socket"
        self._output = directory / "postgres.log"
        self._identity = _identity()
        directory.chmod(0o711)  # whoever runs the server has to get through
        for each in (self.data_dir, self.socket_dir):
            each.mkdir(mode=0o700)
            if self._identity:
                os.chown(each, self._identity["user"], self._identity["group"])
        self._make(programs)
        settings = [f"--{name}={value}" for name, value in SETTINGS.items()]
        with self._output.open("wb") as output:
            self._process = subprocess.Popen(
                [programs / "postgres", "-D", self.data_dir, "-k", self.socket_dir, *settings],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=self.data_dir,
                start_new_session=True,
                **self._identity,
            )
        try:
            self._wait_ready(programs)
        except BaseException:
            self.stop()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stops it."""
        self.stop()

    @property
    def number(self) -> int:
        """The number of the process that all others of the server are children of."""
        return self._process.pid

    def describe(self) -> str:
        """Returns what the server calls itself, and how it is set."""
        said = subprocess.run(
            [str(self._programs / "postgres"), "--version"],
            check=True,
            capture_output=True,
            text=True,
        )
        settings = " ".join(f"{name}={value}" for name, value in SETTINGS.items() if value)
        return f"{said.stdout.strip()}: {settings}"

    def check_alive(self) -> None:
        """Raises `BenchFailedError` once the server has ended."""
        if self._process.poll() is not None:
            raise BenchFailedError(f"PostgreSQL ended: {self._output.read_text()[-1000:]}")

    def stop(self) -> None:
        """Ends it, and all its processes with it."""
        for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
            if self._process.poll() is None:
                self._process.send_signal(number)
                try:
                    self._process.wait(STOP_TIMEOUT_S)
                except subprocess.TimeoutExpired:
                    continue

    def _make(self, programs: Path) -> None:
        # Only making the files is not synchronised; the server's own writes are.
        options = ["--no-locale", "--encoding=UTF8", "--auth=trust", "--no-sync"]
        made = subprocess.run(
            [programs / "initdb", "-D", self.data_dir, f"--username={USER}", *options],
            capture_output=True,
            text=True,
            cwd=self.data_dir,
            check=False,
            **self._identity,
        )
        if made.returncode:
            raise BenchFailedError(f"initdb failed: {made.stderr.strip()}")

    def _wait_ready(self, programs: Path) -> None:
        give_up = time.monotonic() + START_TIMEOUT_S
        command = [str(programs / "pg_isready"), "-q", "-h", str(self.socket_dir)]
        while subprocess.run(command, check=False).returncode:
            self.check_alive()
            if time.monotonic() > give_up:
                raise BenchFailedError(f"PostgreSQL was not ready within {START_TIMEOUT_S:.0f} s")
            time.sleep(_POLL_S)


def _identity() -> dict[str, Any]:
    """Returns as whom to run it; nothing where the bench is not run by root."""
    if os.geteuid() != 0:
        return {}
    for name in _OWNERS:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
    raise BenchFailedError(f"there is none of the users {' and '.join(_OWNERS)} to run PostgreSQL")
