"""`unify rules`: how a space tells who is who, shown, replaced and copied."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from actors.commands.connecting import Asked, asks_service, reads_space
from actors.commands.printing import (
    print_facts,
    print_json,
    print_table,
    printable,
    time_text,
    value_text,
)
from actors.commands.rules_file import RULES_FILE, read_rules

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import BinaryIO

    from unify_client import Rules


@click.group()
def rules() -> None:
    """Shows and sets the rules of a space."""


@rules.command()
@click.option("--version", type=click.IntRange(1), help="An earlier version.")
@click.option(
    "--document", "is_document", is_flag=True, help="Only the document, as `rules set` takes it."
)
@reads_space
@asks_service
def show(asked: Asked, *, version: int | None, is_document: bool, space: str | None) -> None:
    """Shows the rules that hold, with every default written out."""
    with asked.client() as client:
        found = client.get_rules(space or "", version=version or 0)
    if is_document:
        print_json(found.document)
    elif asked.is_json:
        print_json(found)
    else:
        _print_rules(found)


@rules.command(name="set")
@click.argument("file", type=RULES_FILE)
@click.option(
    "--expected-version",
    type=click.IntRange(1),
    help="Refuse unless this version still holds.",
)
@reads_space
@asks_service
def set_(asked: Asked, *, file: BinaryIO, expected_version: int | None, space: str | None) -> None:
    """Replaces the rules by those of FILE, TOML or JSON; `-` is standard input.

    What FILE does not mention has its default. In TOML, `limit = "none"` is no limit.
    """
    document = read_rules(file)
    with asked.client() as client:
        found = client.set_rules(document, space or "", expected_version=expected_version or 0)
    _print_change(asked, found, space or "the space")


@rules.command()
@click.argument("source", metavar="FROM")
@click.argument("target", metavar="TO")
@asks_service
def copy(asked: Asked, *, source: str, target: str) -> None:
    """Gives space TO the rules that space FROM has now."""
    with asked.client() as client:
        found = client.set_rules(client.get_rules(source).document, target)
    _print_change(asked, found, target)


def _print_change(asked: Asked, found: Rules, space: str) -> None:
    if asked.is_json:
        print_json(found)
    else:
        click.echo(f"Version {found.version} of the rules holds now in {printable(space)}.")


def _print_rules(found: Rules) -> None:
    document = found.document
    since = time_text(found.created_time)
    click.echo(f"Rules, version {found.version}, set by {printable(found.author)} at {since}")
    listed = document.get("identifiers", ())
    others = document.get("others", {})
    met = ({**others, "type": name} for name in found.met_types)
    print_table(
        ("type", "limit", "window", "blocked", "custom"),
        (
            (
                each.get("type", ""),
                _limit_text(each.get("limit")),
                str(each.get("window", "")),
                _blocked_text(each.get("blocked", ())),
                "yes" if each.get("custom") else "",
            )
            for each in (*listed, *met, {**others, "type": "(others)"})
        ),
        title="Identifiers, the first one first in priority",
    )
    click.echo()
    rest = {
        name: value for name, value in document.items() if name not in {"identifiers", "others"}
    }
    print_facts((name.replace("_", " "), _fact_text(name, value)) for name, value in rest.items())


def _limit_text(limit: object) -> str:
    return "none" if limit is None else str(limit)


def _blocked_text(entries: Iterable[Mapping[str, str]]) -> str:
    return ", ".join(
        f"{kind} {json.dumps(text)}" for each in entries for kind, text in each.items()
    )


def _fact_text(name: str, value: Any) -> str:
    if name == "blocked":
        return _blocked_text(value) or "nothing"
    if isinstance(value, dict):
        return ", ".join(f"{count} {what}" for what, count in value.items())
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return "none" if value is None else value_text(value).strip('"')
