"""`unify key`: sources of a space and the write keys they send events with."""

from __future__ import annotations

import click

from actors.commands.connecting import Asked, asks_service, needs_space
from actors.commands.printing import print_facts, print_json, print_table, printable, time_text


@click.group()
def key() -> None:
    """Creates, lists and revokes write keys, with an admin token."""


@key.command()
@click.argument("name")
@needs_space
@asks_service
def create(asked: Asked, *, name: str, space: str) -> None:
    """Creates a source called NAME; its write key is shown this once."""
    with asked.client() as client:
        created = client.create_source(space, name)
    shown = {"source_id": created.source.source_id, "write_key": created.write_key}
    if asked.is_json:
        print_json(shown)
    else:
        click.echo("Created; the key is not shown again.")
        print_facts(shown.items())


@key.command(name="list")
@needs_space
@asks_service
def list_(asked: Asked, *, space: str) -> None:
    """Lists the sources of a space, those with a revoked key too."""
    with asked.client() as client:
        sources = list(client.list_sources(space))
    if asked.is_json:
        print_json({"sources": sources})
    else:
        print_table(
            ("source_id", "name", "created", "revoked"),
            (
                (
                    each.source_id,
                    each.name,
                    time_text(each.created_time),
                    time_text(each.revoked_time),
                )
                for each in sources
            ),
        )


@key.command()
@click.argument("source_id")
@needs_space
@asks_service
def revoke(asked: Asked, *, source_id: str, space: str) -> None:
    """Revokes the write key of a source for good; what it sent stays."""
    with asked.client() as client:
        revoked = client.revoke_write_key(space, source_id)
    if asked.is_json:
        print_json(revoked)
    else:
        since = time_text(revoked.revoked_time)
        click.echo(f"The key of {printable(revoked.source_id)} is revoked since {since}.")
