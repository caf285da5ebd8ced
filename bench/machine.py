"""What a figure depends on besides the code: machine, load, disk, versions, commit."""

from __future__ import annotations

import os
import platform
import subprocess
import time
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
_LIBRARIES = ("grpcio", "protobuf", "ray", "lmdb", "msgspec")
_PROBES = 25
_PROBE_BYTES = 400_000


def describe_machine() -> str:
    """Returns processor, memory, system and versions in one line."""
    memory_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    versions = ", ".join(f"{name} {version(name)}" for name in _LIBRARIES)
    return (
        f"{os.cpu_count()} cores of {_processor()}, {memory_bytes / 2**30:.0f} GiB, "
        f"{platform.system()} {platform.release()}, Python {platform.python_version()}; {versions}"
    )


def describe_load(directory: Path) -> str:
    """Returns the load average, and what a synchronous write to a directory's disk costs now."""
    load = " ".join(f"{each:.2f}" for each in os.getloadavg())
    times_ms = sorted(_probe_ms(directory / "probe") for _ in range(_PROBES))
    return (
        f"load average {load}; append of {_PROBE_BYTES // 1000} KB with fsync: "
        f"p50 {times_ms[_PROBES // 2]:.2f} ms, max {times_ms[-1]:.2f} ms"
    )


def describe_commit() -> str:
    """Returns the commit that is run, and whether files differ from it."""
    try:
        commit = _git("rev-parse", "--short=12", "HEAD")
        changed = _git("status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return commit + (f" with {len(changed.splitlines())} changed files" if changed else "")


def _git(*arguments: str) -> str:
    # No optional locks: a bench only looks.
    command = ["git", "--no-optional-locks", "-C", str(ROOT), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.machine()


def _probe_ms(path: Path) -> float:
    """Appends to a file as a batch is appended to a log; the file is removed."""
    with path.open("ab", buffering=0) as file:
        began = time.perf_counter()
        file.write(bytes(_PROBE_BYTES))
        os.fsync(file.fileno())
        took_s = time.perf_counter() - began
    path.unlink()
    return took_s * 1000
