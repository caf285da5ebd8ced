"""The directories of a backup's copies: whose they may be, and how they are removed.

Whoever may write above them could put a link to the live stores in place of a copy. So they are
made only where nobody else may write, and are gone through without following a link.
"""

from __future__ import annotations

import os
import stat
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from unify_grpc.storage.environments import DATA_FILE
from unify_grpc.storage.manifest import ENVIRONMENTS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_FLAGS: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_OTHERS_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH


def is_ours_alone(directory: Path) -> bool:
    """Whether nobody but this process's user, and root, may write there; `OSError` if unknown."""
    found = directory.stat()
    return found.st_uid == os.geteuid() and not found.st_mode & _OTHERS_WRITE


def remove_copy(directory: Path) -> None:
    """Removes the copy of a part, and the attempt's directory above it if it is empty then.

    What cannot be removed stays, and so does whatever is below a link.
    """
    with suppress(OSError), _opened(directory.parent.parent) as backup:
        name = directory.parent.name
        with suppress(OSError), _below(backup, name) as attempt:
            _remove_part(attempt, directory.name)
        os.rmdir(name, dir_fd=backup)


def _remove_part(attempt: int, name: str) -> None:
    with _below(attempt, name) as part:
        for environment in ENVIRONMENTS:
            with suppress(OSError), _below(part, environment) as files:
                os.unlink(DATA_FILE, dir_fd=files)
            with suppress(OSError):
                os.rmdir(environment, dir_fd=part)
    os.rmdir(name, dir_fd=attempt)


@contextmanager
def _opened(directory: Path) -> Iterator[int]:
    """Opens a directory that the caller named, by a link if they like."""
    descriptor = os.open(directory, _FLAGS & ~os.O_NOFOLLOW)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def _below(above: int, name: str) -> Iterator[int]:
    """Opens a directory in another, which has to be one."""
    descriptor = os.open(name, _FLAGS, dir_fd=above)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
