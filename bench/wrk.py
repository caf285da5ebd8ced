"""Has `wrk` send requests that are written already: one thread and connection for each sender."""

from __future__ import annotations

import base64
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from bench.conversation import Answered
from bench.service import BenchFailedError

if TYPE_CHECKING:
    from collections.abc import Sequence

SCRIPT: Final = Path(__file__).parent / "requests.lua"
TIMEOUT_S: Final = 600
"""After which it stops by itself."""


class Request(NamedTuple):
    """A request, and a text that its answer has to hold."""

    method: str
    path: str
    needle: str
    body: bytes = b""


def is_installed() -> bool:
    """Whether `wrk` is on the PATH."""
    return shutil.which("wrk") is not None


def basic(key: str) -> str:
    """Returns a header that has a key as the user name of Basic."""
    return f"Basic {base64.b64encode(f'{key}:'.encode()).decode()}"


def send_all(address: str, key: str, senders: Sequence[Sequence[Request]]) -> Answered:
    """Sends the requests of each sender, the next one when the one before it is answered.

    Args:
        address: host and port, spoken to in HTTP.
        key: sent as the user name of Basic.
        senders: what each sends; none may be empty.

    Raises:
        BenchFailedError: an answer is not 200, or has not what it has to hold.
    """
    with tempfile.TemporaryDirectory(prefix="ub-wrk-") as directory:
        for number, requests in enumerate(senders):
            lines = b"".join(
                f"{method}\t{path}\t{needle}\t".encode() + body + b"\n"
                for method, path, needle, body in requests
            )
            Path(directory, str(number)).write_bytes(lines)
        return _run(address, key, directory, [len(each) for each in senders])


def _run(address: str, key: str, directory: str, counts: list[int]) -> Answered:
    threads = str(len(counts))
    command = ["wrk", "-t", threads, "-c", threads, "-d", f"{TIMEOUT_S}s", "--timeout", "60s"]
    command += ["-s", str(SCRIPT), f"http://{address}/", directory, basic(key)]
    right, ended, fields = 0, 0, dict[str, str]()
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        try:
            for line in process.stderr:
                name, _, rest = line.strip().partition(" ")
                fields[name] = rest
                if name == "answered":
                    right += int(rest)
                    ended += 1
                    if ended == len(counts):
                        process.send_signal(signal.SIGINT)
        finally:
            process.kill()
    if ended < len(counts) or "times" not in fields:
        raise BenchFailedError(f"wrk ended early: {ended} of {len(counts)} senders were answered")
    if right != sum(counts):
        raise BenchFailedError(f"{sum(counts) - right} of {sum(counts)} answers were not right")
    times_ms = [int(each) / 1000 for each in fields["times"].split()]
    return Answered(int(fields["took"]) / 1e6, times_ms, sum(counts))
