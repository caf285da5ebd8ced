"""Unit tests decide and compute: whoever reaches for Ray, a disk, a socket or a clock fails."""

from __future__ import annotations

import socket
import sys
from pathlib import Path
from typing import Any, NoReturn

import pytest
import structlog

UNIT = Path(__file__).parent
#: Folders that are about what is forbidden elsewhere.
MAY_OPEN_LMDB = UNIT / "storage"
MAY_OPEN_SOCKETS = UNIT / "client"


class _NoNewSocket(socket.socket):
    """A socket only of a descriptor that is there, as in the pipe by which a loop wakes itself."""

    def __init__(
        self,
        family: int = -1,
        type: int = -1,  # noqa: A002 - the name that callers use
        proto: int = -1,
        fileno: int | None = None,
    ) -> None:
        if fileno is None:
            raise RuntimeError("a unit test may not open a socket")
        super().__init__(family, type, proto, fileno)


@pytest.fixture(autouse=True)
def logging_as_at_first() -> None:
    """Has logs go where the test looks, whatever a test before it had set up."""
    structlog.reset_defaults()


@pytest.fixture(autouse=True)
def nothing_outside(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes starting Ray, opening LMDB or a socket, and sleeping raise."""
    monkeypatch.setattr("time.sleep", _refuse("sleep"))
    if not request.path.is_relative_to(MAY_OPEN_LMDB):
        monkeypatch.setattr("lmdb.open", _refuse("open LMDB"))
    if not request.path.is_relative_to(MAY_OPEN_SOCKETS):
        monkeypatch.setattr(socket, "socket", _NoNewSocket)
    if "ray" in sys.modules:
        monkeypatch.setattr("ray.init", _refuse("start Ray"))
    else:
        # Importing it takes a second, so that a test that needs it fails on its own import.
        monkeypatch.setitem(sys.modules, "ray", None)


def _refuse(what: str) -> Any:
    def refuse(*_: object, **__: object) -> NoReturn:
        message = f"a unit test may not {what}"
        raise RuntimeError(message)

    return refuse
