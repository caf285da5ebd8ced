"""What went wrong in a run: the first few of each kind, in words, with message ids."""

from __future__ import annotations

import threading
from collections import Counter

_SHOWN_MAX = 5


class Findings:
    """Broken promises. May be used by several threads."""

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()

    def note(self, kind: str, text: str) -> None:
        """Notes one; `kind` is the promise, the text names the event or the part."""
        with self._lock:
            self._counts[kind] += 1
            if self._counts[kind] <= _SHOWN_MAX:
                self._texts.append(f"{kind}: {text}")

    @property
    def texts(self) -> list[str]:
        """All that are shown, in the order in which they were found, then what was left out."""
        with self._lock:
            left_out = [
                f"{kind}: {count - _SHOWN_MAX} more"
                for kind, count in self._counts.items()
                if count > _SHOWN_MAX
            ]
            return [*self._texts, *left_out]

    def __bool__(self) -> bool:
        return bool(self._counts)
