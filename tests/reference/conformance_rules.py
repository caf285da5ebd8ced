"""From a conformance case's `config` to the rules document that every backend takes.

A case lists some types' priorities and says that all others follow in alphabetical order; a rules
document says so too, but has to list every type that has a limit, a window or blocked values of
its own. So all types up to the last such one are listed, in the order the case gives them.
"""

from __future__ import annotations

from typing import Any

from tests.reference.resolver import PLACES

DEFAULT_PRIORITY = ("user_id", "email")
LIMIT = 5
DEFAULT_LIMITS = {"user_id": 1}
COPIED_KEYS = ("accept_new_types", "lowercase_email", "alias_links", "searchable_traits")


def rules_document(
    config: dict[str, Any], events: list[dict[str, Any]] | None = None
) -> dict[str, Any]:
    """The rules document of a case.

    Args:
        config: the case's `config`, in the vocabulary of `tests/conformance/README.md`.
        events: the case's events. Only the types of their `externalIds` are read, since those
            stand in the alphabetical order too.
    """
    limits = config.get("limits", {})
    windows = config.get("windows", {})
    blocked = {
        type_: [_block(entry) for entry in entries]
        for type_, entries in config.get("blocked", {}).items()
    }
    priority = list(config.get("priority", DEFAULT_PRIORITY))
    custom = config.get("custom", [])
    settled = (set(limits) | set(windows) | set(blocked) | set(custom) | set(DEFAULT_LIMITS)) - {
        "*"
    }
    # Listing a type makes it known, so a space that takes no new types lists none it only meets.
    met = _external_types(events or []) if config.get("accept_new_types", True) else set()
    known = set(PLACES) | settled | met
    ordered = [*priority, *sorted(known - set(priority))]
    last = max(
        index for index, type_ in enumerate(ordered) if type_ in settled or type_ in priority
    )
    document: dict[str, Any] = {
        "identifiers": [
            _entry(type_, limits, windows)
            | ({"blocked": blocked[type_]} if type_ in blocked else {})
            | ({"custom": True} if type_ in custom else {})
            for type_ in ordered[: last + 1]
        ],
        "others": {"limit": limits.get("*", LIMIT), "window": windows.get("*", "ever")},
        # A case without blocks has none, unlike a new space.
        "blocked": blocked.get("*", []),
    }
    caps = {"mappings": "identifiers", "merges": "merges"}
    if "caps" in config:
        document["caps"] = {caps[name]: value for name, value in config["caps"].items()}
    return document | {key: config[key] for key in COPIED_KEYS if key in config}


def with_limit(document: dict[str, Any], type_: str, limit: int | None) -> dict[str, Any]:
    """The document after an administrator set one type's limit, which then counts for ever."""
    changed = [
        entry | {"limit": limit, "window": "ever"} if entry["type"] == type_ else entry
        for entry in document["identifiers"]
    ]
    if all(entry["type"] != type_ for entry in changed):
        message = f"{type_} is not listed, and listing it would change its priority"
        raise ValueError(message)
    return document | {"identifiers": changed}


def _entry(type_: str, limits: dict[str, Any], windows: dict[str, Any]) -> dict[str, Any]:
    default = limits.get("*", DEFAULT_LIMITS.get(type_, LIMIT))
    return {
        "type": type_,
        "limit": limits.get(type_, default),
        "window": windows.get(type_, windows.get("*", "ever")),
    }


def _block(entry: dict[str, str]) -> dict[str, str]:
    return {"pattern": entry["regex"]} if "regex" in entry else {"exact": entry["exact"]}


def _external_types(events: list[dict[str, Any]]) -> set[str]:
    contexts = [event.get("context") or {} for event in events]
    listed = [entry for context in contexts for entry in context.get("externalIds") or []]
    return {entry["type"] for entry in listed if isinstance(entry.get("type"), str)}
