"""Patterns of blocked values: the one place that knows RE2.

RE2 because the patterns are written by callers: it is linear in the text, where a backtracking
engine takes seconds on 30 hostile characters. Its Python face costs over a microsecond a search,
so the one form found in every space, `^[characters]*$`, is answered without it, and several
patterns are searched for as one alternation. Rejected: `re2.Set`, which answers "no match" when
its automaton outgrows its memory.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, Protocol, cast

import re2  # type: ignore[import-untyped, unused-ignore]  # it ships no types

if TYPE_CHECKING:
    from collections.abc import Iterable

PATTERN_MEMORY_BYTES_MAX: Final = 1 << 20

# A class of plain characters, a dash only at its end, where it means itself.
_ONLY_CHARACTERS = re.compile(r"\^\[([0-9A-Za-z_]+-?|-)\][*+]\$")


class _Compiled(Protocol):
    """What is used of a compiled pattern."""

    def search(self, text: str) -> object | None:
        """The first match, or None."""


class BlockedPatterns:
    """Patterns that are searched for together in normalised, never empty, values."""

    __slots__ = ("_compiled", "_only_characters")

    def __init__(self, patterns: Iterable[str]) -> None:
        """Compiles the patterns; each must be free of `pattern_error`."""
        self._only_characters: list[str] = []
        others: list[str] = []
        for pattern in patterns:
            if only := _ONLY_CHARACTERS.fullmatch(pattern):
                self._only_characters.append(only[1])
            else:
                others.append(pattern)
        self._compiled = _compile_together(others)

    def found_in(self, text: str) -> bool:
        """Whether any of the patterns occurs in a text."""
        for characters in self._only_characters:
            if not text.strip(characters):
                return True
        # A loop, for a generator costs more than all the rest where no pattern is left.
        for compiled in self._compiled:  # noqa: SIM110
            if compiled.search(text):
                return True
        return False


def pattern_error(pattern: str) -> str | None:
    """Why RE2 does not take a pattern (look-around and back-references, for two), or None."""
    try:
        _compile(pattern)
    except re2.error as error:
        reason = error.args[0] if error.args else b""
        return reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)
    return None


def _compile(pattern: str) -> _Compiled:
    options = re2.Options()
    options.max_mem = PATTERN_MEMORY_BYTES_MAX
    options.log_errors = False  # else it writes to stderr by itself
    return cast("_Compiled", re2.compile(pattern, options))


def _compile_together(patterns: list[str]) -> list[_Compiled]:
    """One automaton for all patterns where that is possible, else one for each."""
    # An open `\Q` would quote the alternation's own brackets.
    if len(patterns) > 1 and not any(r"\Q" in pattern for pattern in patterns):
        together = "|".join(f"(?:{pattern})" for pattern in patterns)
        if pattern_error(together) is None:  # together they may outgrow the memory
            return [_compile(together)]
    return [_compile(pattern) for pattern in patterns]
