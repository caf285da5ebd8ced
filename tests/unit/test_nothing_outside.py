"""What unit tests may not touch raises when they do."""

from __future__ import annotations

import asyncio
import importlib
import socket
import time
from pathlib import Path

import lmdb
import pytest


def test_sleeping_raises() -> None:
    """A unit test that waits is a test of something else."""
    with pytest.raises(RuntimeError, match="may not sleep"):
        time.sleep(0)


def test_opening_lmdb_raises(tmp_path: Path) -> None:
    """LMDB belongs to the tests of storage."""
    with pytest.raises(RuntimeError, match="may not open LMDB"):
        lmdb.open(str(tmp_path))


def test_opening_a_socket_raises() -> None:
    """Sockets belong to the tests of the client and of the edges."""
    with pytest.raises(RuntimeError, match="may not open a socket"):
        socket.socket()


def test_starting_ray_raises() -> None:
    """Ray belongs to the tests of integration; where it is not imported yet it cannot be."""
    with pytest.raises((RuntimeError, ImportError)):
        importlib.import_module("ray").init()


def test_an_event_loop_still_runs() -> None:
    """Coroutines can be tested: the loop's own pipe is no new socket."""
    assert 3 == asyncio.run(asyncio.sleep(0, 3))
