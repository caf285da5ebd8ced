"""How results are printed: aligned text for people, JSON for programs.

Names, values and traits are written by whoever sends events. So nothing of them reaches a
terminal that could steer it: what is not printable comes as an escape.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from typing import Any

import click

VALUE_CHARS_MAX = 120
_GAP = "  "
_ABSENT = "-"
_UNIT_STEP = 1000


def print_json(value: object) -> None:
    """Prints one JSON document over several lines."""
    click.echo(json.dumps(json_form(value), indent=2))


def print_json_line(value: object) -> None:
    """Prints one JSON document on one line."""
    click.echo(json.dumps(json_form(value), separators=(",", ":")))


def json_form(value: Any) -> Any:
    """Returns what JSON has for a result: objects for data classes, ISO 8601 in UTC for times."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: json_form(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, Mapping):
        return {name: json_form(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [json_form(each) for each in value]
    return value


def print_table(header: Sequence[str], rows: Iterable[Sequence[str]], *, title: str = "") -> None:
    """Prints columns as wide as they have to be, below a title if there is one.

    Without rows it prints nothing.
    """
    lines = [[_cell(each) for each in row] for row in rows]
    if not lines:
        return
    if title:
        click.echo(f"\n{title}")
    lines.insert(0, list(header))
    widths = [max(map(_width, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        cells = (
            cell + " " * (width - _width(cell)) for cell, width in zip(line, widths, strict=True)
        )
        click.echo((_GAP + _GAP.join(cells)).rstrip())


def print_facts(facts: Iterable[tuple[str, str]]) -> None:
    """Prints names and values below each other; without a value, nothing."""
    known = [(name, value) for name, value in facts if value]
    width = max((len(name) for name, _ in known), default=0)
    for name, value in known:
        click.echo(f"{_GAP}{name.ljust(width)}{_GAP}{printable(value)}")


def printable(text: str) -> str:
    """Returns a text on one line in which nothing steers a terminal."""
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape", "replace").decode()
        for each in text
    )


def shortened(text: str) -> str:
    """Returns a text cut to what a line can hold."""
    return text if len(text) <= VALUE_CHARS_MAX else text[: VALUE_CHARS_MAX - 1] + "…"


def value_text(value: object) -> str:
    """Returns a value as JSON, cut to what a line can hold."""
    return shortened(json.dumps(value, ensure_ascii=False))


def time_text(time: datetime | None) -> str:
    """Returns a time in UTC to the second; nothing where there is none."""
    return "" if time is None else time.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def bytes_text(count: int) -> str:
    """Returns a size in the unit that fits it, such as `12.3 MB`; 1 kB is 1000 bytes."""
    size = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if size < _UNIT_STEP:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= _UNIT_STEP
    return f"{size:.1f} TB"


def event_text(message_id: str, kind: str, name: str = "") -> str:
    """Returns how an event is called: its kind, its name where it has one, its message id."""
    named = f" {shortened(name)!r}" if name else ""
    return f"{kind}{named} {message_id}"


def _cell(text: str) -> str:
    return printable(text) if text else _ABSENT


def _width(text: str) -> int:
    # Wide characters take two columns, and marks that combine none.
    return sum(
        0 if unicodedata.combining(each) else 1 + (unicodedata.east_asian_width(each) in {"W", "F"})
        for each in text
    )
