"""Waiting on a condition, never for a time."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

GIVE_UP_S = 30.0


def eventually(holds: Callable[[], bool], what: str) -> None:
    """Asks again and again until something holds; asking is itself a call that takes time."""
    give_up = time.monotonic() + GIVE_UP_S
    while not holds():
        assert time.monotonic() < give_up, f"still not so after {GIVE_UP_S} s: {what}"
