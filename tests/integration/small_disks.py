"""Small disks for a service's directories: file systems in memory, in a namespace of their own.

They are seen by the processes that are started with `wrapper`, and here through `inside`; when
the context ends they are gone, whatever happened.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

if TYPE_CHECKING:
    from types import TracebackType

NEEDED: Final = "needs the right to mount a tmpfs (`unshare --user --mount`)"
FILLER: Final = "filler"
BLOCK_BYTES: Final = 4096
READY: Final = "ready"


class DisksRefusedError(Exception):
    """This machine does not let us mount anything."""


class SmallDisks:
    """A namespace for mounts, held by a process that ends when its standard input does."""

    def __init__(self) -> None:
        """Makes it.

        Raises:
            DisksRefusedError: the machine forbids it.
        """
        hold = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
        script = f"mount -t tmpfs -o size=64k tmpfs /mnt && umount /mnt && echo {READY} && exec cat"
        try:
            holder = subprocess.Popen(
                [*hold, script],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
        except OSError as error:
            raise DisksRefusedError(NEEDED) from error
        assert holder.stdout is not None
        self._holder: Any = holder
        if holder.stdout.readline().strip() != READY:
            self._end()
            raise DisksRefusedError(NEEDED)
        enter = ["nsenter", "--user", "--mount", "--preserve-credentials", "--target"]
        self.wrapper = [*enter, str(self._holder.pid)]
        """Runs a command that sees the disks."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._end()

    def _end(self) -> None:
        self._holder.stdin.close()
        self._holder.wait()
        self._holder.stdout.close()

    def mount(self, path: Path, size_bytes: int) -> None:
        """Puts a small disk over a directory, with what the directory holds."""
        options = f"size={size_bytes},mode=700"
        command = [*self.wrapper, "mount", "-t", "tmpfs", "-o", options, "tmpfs", str(path)]
        subprocess.run(command, check=True)
        shutil.copytree(path, self.inside(path), dirs_exist_ok=True)

    def inside(self, path: Path) -> Path:
        """Returns where a path is, as those see it who see the disks."""
        return Path(f"/proc/{self._holder.pid}/root{path}")

    def free_bytes(self, path: Path) -> int:
        """Returns what the disk under a path has room for."""
        found = os.statvfs(self.inside(path))
        return found.f_bavail * found.f_frsize

    def fill(self, path: Path, *, name: str = FILLER, left_bytes: int = 0) -> None:
        """Writes a file that takes a disk's room, but for what is to be left."""
        with (self.inside(path) / name).open("ab", buffering=0) as file:
            while (more := self.free_bytes(path) - left_bytes) > 0:
                try:
                    file.write(bytes(min(more, 1 << 20)))
                except OSError:
                    return

    def free(self, path: Path, *, name: str = FILLER) -> None:
        """Removes such a file."""
        (self.inside(path) / name).unlink()
