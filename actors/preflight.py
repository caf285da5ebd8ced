"""Looks at every store of a data directory before Ray starts, and refuses what would not run.

An actor that cannot open its store is started again for ever, and says so in its own log only:
what can be seen beforehand is said here, once, in one sentence.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Final

import msgspec

from actors import names
from unify_grpc.machines import control_machine, merge_machine, shard_machine
from unify_grpc.storage.errors import StoreHeldError, StoreRefusedError, means_no_room
from unify_grpc.storage.inspection import Progress, inspect_store
from unify_grpc.storage.manifest import sync_directory

if TYPE_CHECKING:
    from pathlib import Path

    from actors.data_dir import Deployment

PROGRESS_FILE: Final = "progress.json"
HELD_S: Final = 15.0
"""How long the actors of a service that was killed may take to end."""
_PAUSE_S: Final = 0.1


def store_names(deployment: Deployment) -> list[str]:
    """Returns the names of all stores, control's first."""
    shards = [names.shard_name(each) for each in range(deployment.shard_count)]
    return [names.CONTROL, names.MERGE, *shards]


def check_stores(directory: Path, deployment: Deployment) -> None:
    """Refuses stores that may not be opened, or that are older than when they were last seen.

    Args:
        directory: held by this process, so nobody else starts actors on it.
        deployment: what it says of itself.

    Raises:
        StoreRefusedError: the first store that would not run, and why.
    """
    seen = read_progress(directory)
    progress = {each: _inspect(directory, deployment, each) for each in store_names(deployment)}
    for store, found in progress.items():
        before = seen.get(store, Progress(0, 0))
        if found.epoch < before.epoch or found.last_number < before.last_number:
            message = (
                f"{directory / store} is older than when it was last served, so other stores know "
                "more than it: restore a backup of all, or put its newest files back"
            )
            raise StoreRefusedError(message)
    _write_progress(directory, progress)


def note_progress(directory: Path, deployment: Deployment) -> None:
    """Writes down how far all stores are, once their actors have ended in order.

    A copy that was made of one of them before, put back alone, is refused from now on.
    """
    progress = {each: _inspect(directory, deployment, each) for each in store_names(deployment)}
    _write_progress(directory, progress)


def read_progress(directory: Path) -> dict[str, Progress]:
    """Returns how far each store was when last seen; nothing of what was never seen."""
    try:
        data = (directory / PROGRESS_FILE).read_bytes()
        return msgspec.json.decode(data, type=dict[str, Progress])
    except FileNotFoundError:
        return {}
    except msgspec.DecodeError as error:
        message = (
            f"{directory / PROGRESS_FILE} is damaged: remove it if the stores are as they were"
        )
        raise StoreRefusedError(message) from error


def _write_progress(directory: Path, progress: dict[str, Progress]) -> None:
    temporary = directory / (PROGRESS_FILE + ".new")
    try:
        with temporary.open("wb") as file:
            file.write(msgspec.json.encode(progress))
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(directory / PROGRESS_FILE)
        sync_directory(directory)
    except OSError as error:
        # A full disk keeps nobody from reading; what was written down before still holds.
        temporary.unlink(missing_ok=True)
        if not means_no_room(error):
            raise


def _inspect(directory: Path, deployment: Deployment, store: str) -> Progress:
    """Waits for an actor whose service was killed to let its store go."""
    deadline = time.monotonic() + HELD_S
    while True:
        try:
            manifest = deployment.manifest(store)
            return inspect_store(directory / store, manifest, machine_version(store))
        except StoreHeldError:
            if time.monotonic() > deadline:
                raise
            time.sleep(_PAUSE_S)


def machine_version(store: str) -> int:
    """Returns the version of the machine that writes a store's log."""
    if store == names.CONTROL:
        return control_machine.MACHINE_VERSION
    return merge_machine.MACHINE_VERSION if store == names.MERGE else shard_machine.MACHINE_VERSION
