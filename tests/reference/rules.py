"""A space's rules as the reference reads them from their document.

Nothing is validated here: a document that the service refuses is no business of a reference.
"""

from __future__ import annotations

import re
from typing import Any

MICROSECONDS = 1_000_000
DAY_S = 86_400
WINDOWS_S: dict[str, int | None] = {
    "ever": None,
    "daily": DAY_S,
    "weekly": 7 * DAY_S,
    "monthly": 30 * DAY_S,
    "annually": 365 * DAY_S,
}
DEFAULT_IDENTIFIERS: list[dict[str, Any]] = [
    {"type": "user_id", "limit": 1, "window": "ever"},
    {"type": "email", "limit": 5, "window": "ever"},
]
DEFAULT_LIMITS: dict[str, int] = {"user_id": 1}
DEFAULT_LIMIT = 5
DEFAULT_BLOCKED: list[dict[str, str]] = [
    {"pattern": "^[0-]*$"},
    {"exact": "-1"},
    {"exact": "null"},
    {"exact": "anonymous"},
    {"exact": "undefined"},
    {"exact": "nan"},
    {"exact": "[object Object]"},
]
PROMOTED_TYPES = frozenset(
    {
        "user_id",
        "anonymous_id",
        "email",
        "android.id",
        "ios.id",
        "android.idfa",
        "ios.idfa",
        "android.push_token",
        "ios.push_token",
        "ga_client_id",
        "group_id",
    },
)
TYPES_MAX = 200
A_TO_Z_LOWERED = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}


def lower_a_to_z(text: str) -> str:
    """Lower-cases the letters A-Z and leaves every other letter as it is."""
    return text.translate(A_TO_Z_LOWERED)


class Rules:
    """Priorities, limits, blocked values and caps; a key that is missing has its default."""

    def __init__(self, document: dict[str, Any]) -> None:
        entries = document.get("identifiers", DEFAULT_IDENTIFIERS)
        self._order = [entry["type"] for entry in entries]
        self._entries = {entry["type"]: entry for entry in entries}
        self._others = document.get("others", {})
        self._blocked = document.get("blocked", DEFAULT_BLOCKED)
        self._met: set[str] = set()
        caps = document.get("caps", {})
        self.identifiers_max: int = caps.get("identifiers", 1000)
        self.merges_max: int = caps.get("merges", 100)
        self.accept_new_types: bool = document.get("accept_new_types", True)
        self.lowercase_email: bool = document.get("lowercase_email", True)
        self.alias_links: str | None = document.get("alias_links")
        self.custom_types = [entry["type"] for entry in entries if entry.get("custom")]

    def rank(self, type_: str) -> tuple[int, str]:
        """A sort key: listed types as listed, then all others in alphabetical order."""
        if type_ in self._entries:
            return (self._order.index(type_), "")
        return (len(self._order), type_)

    def limit(self, type_: str) -> tuple[int | None, int | None]:
        """The type's (count, window in microseconds); no count = no limit, no window = ever."""
        entry = self._entries.get(type_, self._others)
        default = (
            DEFAULT_LIMITS.get(type_, DEFAULT_LIMIT) if type_ in self._entries else DEFAULT_LIMIT
        )
        count = entry.get("limit", default)
        window = entry.get("window", "ever")
        seconds = WINDOWS_S[window] if isinstance(window, str) else window
        return count, None if seconds is None else int(seconds * MICROSECONDS)

    def accepts(self, type_: str) -> bool:
        """Whether a type may be promoted: listed, promoted by itself, or new and there is room."""
        if type_ in self._entries or type_ in PROMOTED_TYPES or type_ in self._met:
            return True
        if not self.accept_new_types or len(self._met | set(self._order)) >= TYPES_MAX:
            return False
        self._met.add(type_)
        return True

    def blocks(self, type_: str, value: str) -> bool:
        """Whether the space's list or the type's own one has this normalised value."""
        own = self._entries.get(type_, {}).get("blocked", [])
        return any(_matches(entry, value) for entry in [*self._blocked, *own])


def _matches(entry: dict[str, str], value: str) -> bool:
    if "exact" in entry:
        return lower_a_to_z(entry["exact"]) == lower_a_to_z(value)
    # RE2 knows the ASCII classes only, and so does this flag.
    return re.search(entry["pattern"], value, re.ASCII) is not None
