"""Files of rules, in TOML or JSON."""

from __future__ import annotations

import json
import tomllib
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

import click

from actors.commands.connecting import CallFailedError

if TYPE_CHECKING:
    from typing import BinaryIO

NO_LIMIT = "none"
"""What a TOML file says for no limit, as TOML has no null."""

_STDIN = "<stdin>"

RULES_FILE = click.File("rb")
"""A path, or `-` for standard input."""


def read_rules(file: BinaryIO) -> dict[str, Any]:
    """Returns the document in a file; raises CallFailedError for one that is no document.

    The suffix says which language it is in; without one, a first `{` makes it JSON.
    """
    name = str(getattr(file, "name", _STDIN))
    suffix = PurePath(name).suffix.lower()
    data = file.read()
    is_json = suffix == ".json" or (suffix != ".toml" and data.lstrip()[:1] == b"{")
    language = "JSON" if is_json else "TOML"
    try:
        text = data.decode()
        document = json.loads(text) if is_json else tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise CallFailedError(f"{name} is no {language}: {error}") from None
    if not isinstance(document, dict):
        raise CallFailedError(f"{name} holds no object with names and values.")
    return document if is_json else _with_nulls(document)


def _with_nulls(document: dict[str, Any]) -> dict[str, Any]:
    listed = document.get("identifiers")
    for entry in [*(listed if isinstance(listed, list) else ()), document.get("others")]:
        if isinstance(entry, dict) and entry.get("limit") == NO_LIMIT:
            entry["limit"] = None
    return document
