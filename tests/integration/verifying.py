"""`unify verify` on the data directory of a service that has stopped."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

from tests.integration.service import ROOT

if TYPE_CHECKING:
    from pathlib import Path

_TIMEOUT_S = 120


def verify(data_dir: Path) -> list[str]:
    """Returns what is wrong with a directory, in the command's words; nothing if it is sound."""
    paths = [str(ROOT), str(ROOT / "clients/python")]
    done = subprocess.run(
        [sys.executable, "-m", "actors.command_line", "verify", "--data-dir", str(data_dir)],
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_S,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        cwd=ROOT,
    )
    if done.returncode == 0:
        return []
    return [f"code {done.returncode}: {done.stdout[-2000:]}{done.stderr[-1000:]}"]
