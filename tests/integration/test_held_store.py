"""An actor that comes back before the system is done with the one that was killed."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

import pytest

from actors import hosting
from actors.hosting import HostedStore, open_store
from unify_grpc.storage.errors import StoreHeldError
from unify_grpc.storage.manifest import Manifest, create_store, lock_directory
from unify_grpc.storage.store import StoreLimits

if TYPE_CHECKING:
    from pathlib import Path

MANIFEST = Manifest(store="shard-0", deployment="dep_1", shard_count=2)


def hosted(directory: Path) -> HostedStore:
    """A store that was made just now."""
    create_store(directory, MANIFEST)
    limits = StoreLimits(map_bytes=1 << 24)
    return HostedStore(directory=directory, manifest=MANIFEST, limits=limits, log_level="info")


def test_it_waits_until_the_store_is_let_go(tmp_path: Path) -> None:
    """A store that is held for a moment is opened as soon as it is free, without a new start."""
    store = hosted(tmp_path)
    holder = lock_directory(tmp_path)
    letting_go = threading.Timer(0.3, os.close, [holder])
    letting_go.start()
    opened = open_store(store, 1)

    assert not letting_go.is_alive() or letting_go.finished.is_set()
    opened.close()


def test_it_says_who_holds_it_in_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that is not let go is refused in a sentence that names the directory."""
    monkeypatch.setattr(hosting, "HELD_S", 0.2)
    store = hosted(tmp_path)
    holder = lock_directory(tmp_path)
    with pytest.raises(StoreHeldError, match=f"another process holds {tmp_path}"):
        open_store(store, 1)
    os.close(holder)
