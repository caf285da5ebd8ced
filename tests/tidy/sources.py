"""The repository's files and their syntax trees, read once for all rules."""

from __future__ import annotations

import ast
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
SERVICE = ("unify_grpc", "actors", "clients")


class Source(NamedTuple):
    """One Python file."""

    path: str
    """From the repository's root."""
    lines: list[str]
    tree: ast.Module

    def at(self, node: ast.AST) -> str:
        """Returns where a node stands, to be shown."""
        return f"{self.path}:{getattr(node, 'lineno', 1)}"


@cache
def files() -> list[str]:
    """Returns every file that is tracked, or would be if it were added."""
    git = shutil.which("git")
    assert git is not None, "git lists the files that belong to the repository"
    listed = subprocess.run(
        [git, "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    names = sorted({name for name in listed.stdout.split("\0") if name})
    return [name for name in names if (ROOT / name).is_file()]


@cache
def texts() -> dict[str, str]:
    """Returns every file that is text, by path."""
    found = {}
    for path in files():
        data = (ROOT / path).read_bytes()
        if b"\0" not in data:
            found[path] = data.decode()
    return found


@cache
def sources() -> list[Source]:
    """Returns every Python file."""
    return [
        Source(path, text.splitlines(), ast.parse(text, path))
        for path, text in texts().items()
        if path.endswith(".py")
    ]


def sources_in(*folders: str) -> list[Source]:
    """Returns the Python files below some folders of the root."""
    return [each for each in sources() if each.path.split("/")[0] in folders]


def dotted(node: ast.AST) -> str:
    """Returns an expression like `a.b.c` as text; calls and anything else are left out."""
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    if isinstance(node, ast.Call):
        return dotted(node.func) + "()"
    return node.id if isinstance(node, ast.Name) else ""


def assert_none(violations: list[str]) -> None:
    """Asserts that there is nothing to say, and else says all of it."""
    assert not violations, "\n" + "\n".join(violations)
