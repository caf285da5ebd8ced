"""The conformance cases, read from their files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

CASES = Path(__file__).resolve().parent / "cases"


def load_cases() -> list[dict[str, Any]]:
    """All cases of all files, in the order of files and lines.

    A generated case states its number of merges beside its expectations; here it is among them.
    """
    cases: list[dict[str, Any]] = []
    for name in ("segment_cases.json", "peer_cases.json", "own_cases.json"):
        cases += json.loads((CASES / name).read_text(encoding="utf-8"))
    lines = (CASES / "random_cases.jsonl").read_text(encoding="utf-8").splitlines()
    for case in map(json.loads, lines):
        cases.append(case | {"expect": case["expect"] | {"merges": case["merges"]}})
    return cases
