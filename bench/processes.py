"""What each process of a running service has used so far, from /proc."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

GATEWAY: Final = "gateway"
CLIENT: Final = "client"
RAY: Final = "ray"
"""Ray's own processes, taken together: node process, control store, monitors, idle workers."""
_TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Usage:
    """What a process has used since it began."""

    cpu_us: float
    written_bytes: int
    """Handed to the block layer: pages made dirty, whether or not they reached the disk yet."""
    anonymous_bytes: int
    """Resident memory without mapped files, which for a store would count its page cache."""

    def since(self, earlier: Usage) -> Usage:
        """Returns what was used since then; memory is as it is now."""
        return Usage(
            self.cpu_us - earlier.cpu_us,
            self.written_bytes - earlier.written_bytes,
            self.anonymous_bytes,
        )

    def plus(self, other: Usage) -> Usage:
        """Returns both together."""
        return Usage(
            self.cpu_us + other.cpu_us,
            self.written_bytes + other.written_bytes,
            self.anonymous_bytes + other.anonymous_bytes,
        )


NOTHING: Final = Usage(0, 0, 0)


class ProcessTree:
    """A service's processes, each by its part.

    A worker is recognised by the store it holds open, not by its title, so two shards are told
    apart, and one that was started again is found under its new number.
    """

    def __init__(self, root: int, data_dir: Path) -> None:
        """Takes the number of the gateway's process."""
        self._root = root
        self._data_dir = data_dir
        self._others: dict[int, str] = {}
        self._parts: dict[int, str] = {}
        self._started: dict[int, str] = {}

    def add(self, number: int, part: str) -> None:
        """Adds a process that is no part of the service, but whose usage counts."""
        self._others[number] = part

    def end_root(self) -> None:
        """Asks the gateway to end, and the others with it."""
        os.kill(self._root, signal.SIGTERM)

    def sample(self) -> dict[str, Usage]:
        """Returns the usage of each part; processes that end in between are left out."""
        usages: dict[str, Usage] = {}
        for number, part in self.parts().items():
            # A load generator that the client ran has ended by then.
            usage = usage_of(number, with_ended=number in self._others)
            if usage is not None:
                usages[part] = usages.get(part, NOTHING).plus(usage)
        return usages

    def parts(self) -> dict[int, str]:
        """Returns the part that each process plays, by process number."""
        parts = {self._root: GATEWAY, **self._others}
        for number in descendants(self._root):
            self._started.setdefault(number, _start_time(number))
            known = self._parts.get(number, RAY)
            # A worker opens its store some time after it began.
            parts[number] = self._parts[number] = (
                known if known != RAY else self._store_of(number) or RAY
            )
        return parts

    def left_over(self) -> list[int]:
        """Returns the processes below the gateway's, seen before, that still run."""
        return [
            number
            for number, started in self._started.items()
            if started and _start_time(number) == started
        ]

    def _store_of(self, number: int) -> str:
        try:
            for entry in Path(f"/proc/{number}/fd").iterdir():
                target = entry.readlink()
                if target.is_relative_to(self._data_dir):
                    inside = target.relative_to(self._data_dir).parts
                    if len(inside) > 1:
                        return inside[0]
        except OSError:
            pass
        return ""


def directory_bytes(directory: Path) -> int:
    """Returns the disk that a directory's files take up."""
    total = 0
    for parent, _, files in os.walk(directory):
        for name in files:
            try:
                total += os.lstat(Path(parent, name)).st_blocks * 512
            except OSError:
                continue
    return total


def descendants(root: int) -> list[int]:
    """Returns the numbers of a process's children, of their children, and so on."""
    children: dict[int, list[int]] = {}
    for number, parent in _parents():
        children.setdefault(parent, []).append(number)
    found: list[int] = []
    waiting = [root]
    while waiting:
        below = children.get(waiting.pop(), [])
        found += below
        waiting += below
    return found


def _parents() -> Iterable[tuple[int, int]]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            fields = _stat(int(entry.name))
            if fields:
                yield int(entry.name), int(fields[1])


def _stat(number: int) -> list[str]:
    """Returns the fields of a process after its name, from its state on; none if it has ended."""
    try:
        text = Path(f"/proc/{number}/stat").read_text()
    except OSError:
        return []
    fields = text.rpartition(")")[2].split()
    return [] if fields[0] == "Z" else fields


def _start_time(number: int) -> str:
    fields = _stat(number)
    return fields[19] if fields else ""


def usage_of(number: int, *, with_ended: bool = False) -> Usage | None:
    """Returns what a process has used; None if it has ended.

    Args:
        number: of the process.
        with_ended: its children that have ended are to count too. What those wrote always does.
    """
    fields = _stat(number)
    if not fields:
        return None
    # User and system time; the next two are those of children that were waited for.
    ticks = sum(int(each) for each in fields[11 : 15 if with_ended else 13])
    try:
        written = _field(f"/proc/{number}/io", "write_bytes")
        anonymous_kb = _field(f"/proc/{number}/status", "RssAnon")
    except OSError:
        return None
    return Usage(ticks / _TICKS_PER_S * 1e6, written, anonymous_kb * 1024)


def _field(path: str, name: str) -> int:
    for line in Path(path).read_text().splitlines():
        key, _, value = line.partition(":")
        if key == name:
            return int(value.split()[0])
    return 0
