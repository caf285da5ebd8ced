"""What of the SDKs' worlds is on this machine, and what was said to be left out."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
PACKAGES: Final = ROOT / ".tools" / "sdks" / "node_modules"
"""Filled by `make`, from the lock file of this folder."""
BUNDLES: Final = PACKAGES / "@segment" / "analytics-next" / "dist" / "umd"
BROWSERS: Final = ("chromium", "chromium-browser", "google-chrome")
"""By any name that it has."""
LEAVE_OUT: Final = "UNIFY_TEST_WITHOUT"
"""Names, with commas between them, what tests go without: `node`, `browser`."""


def left_out() -> set[str]:
    """Returns what this run goes without, because it was told so."""
    named = {each.strip() for each in os.environ.get(LEAVE_OUT, "").split(",")} - {""}
    unknown = named - {"node", "browser"}
    assert not unknown, f"{LEAVE_OUT} can name node and browser"
    return named


def chromium() -> str | None:
    """Returns the browser's program, if there is one."""
    return next(filter(None, map(shutil.which, BROWSERS)), None)


def missing(kind: str) -> list[str]:
    """Returns what SDKs of a kind need and is not here: `python`, `node` or `browser`."""
    needed: dict[str, dict[str, bool]] = {
        "python": {},
        "node": {"node": bool(shutil.which("node")), "packages from npm": PACKAGES.is_dir()},
        "browser": {"chromium": bool(chromium()), "analytics-next": BUNDLES.is_dir()},
    }
    return [name for name, is_here in needed[kind].items() if not is_here]
