"""A look at a store before anything is started on it: may it be opened, and how far is it."""

from __future__ import annotations

import os
from contextlib import closing
from typing import TYPE_CHECKING, NamedTuple

import lmdb

from unify_grpc.storage.environments import open_for_reading
from unify_grpc.storage.errors import StorageCorruptError, StoreRefusedError
from unify_grpc.storage.fence import read_epoch
from unify_grpc.storage.manifest import check_manifest, lock_directory, read_manifest
from unify_grpc.storage.positions import check_order, check_version, last_number, read_position
from unify_grpc.storage.records import unseal

if TYPE_CHECKING:
    from pathlib import Path

    from unify_grpc.storage.manifest import Manifest


class Progress(NamedTuple):
    """How far a store has come; neither number ever falls."""

    epoch: int
    """How often it was opened."""
    last_number: int
    """Of its log."""


def inspect_store(directory: Path, expected: Manifest, machine_version: int) -> Progress:
    """Returns how far a store is that nobody has open, and that may be opened.

    Reads the tail, which an opening would replay, and nothing of what was checkpointed.

    Raises:
        StoreRefusedError: held by another process, missing, another one, of another format or
            machine, or damaged; the text says which in one sentence.
    """
    check_manifest(read_manifest(directory), expected)
    descriptor = lock_directory(directory)
    try:
        return _inspect(directory, machine_version)
    except (lmdb.Error, StorageCorruptError) as error:
        message = f"{directory} is damaged: restore a backup"
        raise StoreRefusedError(message) from error
    finally:
        os.close(descriptor)


def _inspect(directory: Path, machine_version: int) -> Progress:
    with (
        closing(open_for_reading(directory / "log")) as log,
        closing(open_for_reading(directory / "state")) as state,
        state.begin() as rows,
        log.begin() as records,
    ):
        position, last = read_position(rows), last_number(records)
        check_order(position, last)
        for number in range(position + 1, last + 1):
            data = bytes(records.get(number.to_bytes(8, "big"), b""))
            unseal(data, f"log record {number}")
            check_version(data, machine_version)
        return Progress(read_epoch(records), last)
