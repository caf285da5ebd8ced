"""`unify space`: tenants, each with a graph of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from actors.commands.connecting import Asked, asks_service
from actors.commands.printing import print_facts, print_json, print_table, time_text
from actors.commands.rules_file import RULES_FILE, read_rules

if TYPE_CHECKING:
    from typing import BinaryIO


@click.group()
def space() -> None:
    """Creates and lists spaces, with an admin token."""


@space.command()
@click.argument("name")
@click.option("--rules", "file", type=RULES_FILE, help="File of rules, TOML or JSON.")
@asks_service
def create(asked: Asked, *, name: str, file: BinaryIO | None) -> None:
    """Creates a space, ready for use; its key and token are shown this once."""
    document = None if file is None else read_rules(file)
    with asked.client() as client:
        created = client.create_space(name, document)
    secrets = {
        "space_id": created.space_id,
        "write_key": created.write_key,
        "access_token": created.access_token,
    }
    if asked.is_json:
        print_json(secrets)
    else:
        click.echo("Created; the key and the token are not shown again.")
        print_facts(secrets.items())


@space.command(name="list")
@asks_service
def list_(asked: Asked) -> None:
    """Lists all spaces, the oldest first."""
    with asked.client() as client:
        spaces = list(client.list_spaces())
    if asked.is_json:
        print_json({"spaces": spaces})
    else:
        print_table(
            ("space_id", "name", "created", "rules"),
            (
                (
                    each.space_id,
                    each.name,
                    time_text(each.created_time),
                    f"version {each.rules_version}",
                )
                for each in spaces
            ),
        )


@space.command()
@click.argument("name", metavar="SPACE")
@asks_service
def show(asked: Asked, *, name: str) -> None:
    """Shows one space, by its id or its name."""
    with asked.client() as client:
        found = client.get_space(name)
    if asked.is_json:
        print_json(found)
    else:
        print_facts(
            [
                ("space_id", found.space_id),
                ("name", found.name),
                ("created", time_text(found.created_time)),
                ("rules", f"version {found.rules_version}"),
            ]
        )
