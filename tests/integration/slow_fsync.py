"""A disk whose fsync takes as long as a test says: a library that is loaded before the others."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.service import Service

NEEDED: Final = "needs a C compiler (`cc`)"
VARIABLE: Final = "SLOW_FSYNC_MS_FILE"
SOURCE: Final = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static void be_slow(void) {
    const char *path = getenv("SLOW_FSYNC_MS_FILE");
    FILE *file = path ? fopen(path, "r") : NULL;
    int ms = 0;
    if (!file) return;
    if (fscanf(file, "%d", &ms) != 1) ms = 0;
    fclose(file);
    struct timespec pause = {ms / 1000, (ms % 1000) * 1000000L};
    nanosleep(&pause, NULL);
}

int fsync(int descriptor) {
    static int (*original)(int);
    if (!original) original = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
    be_slow();
    return original(descriptor);
}

int fdatasync(int descriptor) {
    static int (*original)(int);
    if (!original) original = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
    be_slow();
    return original(descriptor);
}
"""


class NoCompilerError(Exception):
    """This machine cannot compile the library."""


class SlowFsync:
    """The library, and the file that says how slow it is."""

    def __init__(self, directory: Path) -> None:
        """Compiles it.

        Raises:
            NoCompilerError: there is none.
        """
        self._library = directory / "slow_fsync.so"
        self._file = directory / "fsync_ms"
        self.set_ms(0)
        source = directory / "slow_fsync.c"
        source.write_text(SOURCE)
        command = ["cc", "-shared", "-fPIC", "-O1", "-o", str(self._library), str(source), "-ldl"]
        try:
            subprocess.run(command, check=True, capture_output=True)
        except FileNotFoundError as error:
            raise NoCompilerError(NEEDED) from error

    def slow_down(self, service: Service) -> None:
        """Has a service that is not started yet use it."""
        service.settings |= {"LD_PRELOAD": str(self._library), VARIABLE: str(self._file)}

    def set_ms(self, delay_ms: int) -> None:
        """Says how long each fsync takes from now on, beyond what the disk needs."""
        new = self._file.with_suffix(".new")
        new.write_text(str(delay_ms))
        new.rename(self._file)
