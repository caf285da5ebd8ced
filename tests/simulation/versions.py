"""Which version of the code schedules were run on, so that a count says what it is a count of."""

from __future__ import annotations

import shutil
import subprocess
from functools import cache
from hashlib import blake2b, sha1
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
PROTOCOL = ("unify_grpc/identity", "unify_grpc/machines", "unify_grpc/placement")
"""What decides."""
AROUND = ("unify_grpc/storage", "tests/simulation", "tests/reference")
"""What else a schedule follows from."""
UNKNOWN = "unknown"
_COMMITS_MAX = 30
"""Looked through for one that made the protocol what it is."""


class Version(NamedTuple):
    """What a schedule was run on."""

    commit: str
    """Of the checkout; with a + if its code was changed since."""
    protocol: str
    """Names the sources of what decides."""
    around: str
    """Names those of the stores, the simulation and the reference."""


def present() -> Version:
    """Returns the version that lies in the checkout now."""
    changed = _git("status", "--porcelain", "--", *PROTOCOL, *AROUND)
    commit = _git("rev-parse", "--short=10", "HEAD").strip() or UNKNOWN
    return Version(commit + "+" * bool(changed), name_of(PROTOCOL), name_of(AROUND))


def name_of(folders: tuple[str, ...]) -> str:
    """Names the sources in some folders by all that is in them; their tests are left out."""
    return _named(
        {
            str(path.relative_to(ROOT)): _blob(path.read_bytes())
            for folder in folders
            for path in (ROOT / folder).rglob("*.py")
        }
    )


@cache
def last_change(protocol: str) -> str | None:
    """Returns the commit that made the protocol what it is; None: none did, or nobody knows."""
    commits = _git("log", f"-{_COMMITS_MAX}", "--format=%h", "--", *PROTOCOL).split()
    oldest = None
    for commit in commits:
        if protocol_of(commit) == protocol:
            oldest = commit
        elif oldest is not None:
            break
    return oldest


def protocol_of(commit: str) -> str:
    """Names the protocol as a commit has it."""
    listed = _git("ls-tree", "-r", commit, "--", *PROTOCOL).splitlines()
    blobs = [line.split(maxsplit=3) for line in listed]
    return _named({path: blob for _, _, blob, path in blobs if path.endswith(".py")})


def _named(blobs: dict[str, str]) -> str:
    """Names files by their paths and contents."""
    lines = [
        f"{path} {blob}\n"
        for path, blob in sorted(blobs.items())
        if not path.rpartition("/")[2].startswith("test_")
    ]
    return blake2b("".join(lines).encode(), digest_size=5).hexdigest()


def _blob(data: bytes) -> str:
    """Names contents as git does."""
    return sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


def _git(*arguments: str) -> str:
    """Asks git about the checkout; "" if it does not know."""
    git = shutil.which("git")
    if git is None:
        return ""
    asked = subprocess.run([git, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    return asked.stdout if asked.returncode == 0 else ""
