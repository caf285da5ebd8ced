"""`unify backup`: all data as it is at one instant, while the service runs."""

from __future__ import annotations

from pathlib import Path

import click

from actors.commands.connecting import Asked, asks_service
from actors.commands.printing import bytes_text, print_json, printable, time_text

TIMEOUT_S = 7 * 24 * 3600.0
"""Copying takes as long as it takes: whoever has waited enough interrupts."""


@click.command()
@click.argument("directory", type=click.Path(path_type=Path), metavar="DIR")
@click.option("--request-id", help="A UUID; the same one again finds the backup that it made.")
@asks_service
def backup(asked: Asked, *, directory: Path, request_id: str | None) -> None:
    """Copies all data to DIR on the machine of the service, with an admin token.

    The copy shows one instant; the service goes on meanwhile. DIR is made, or is empty.
    """
    with asked.client() as client:
        if not asked.is_json:
            click.echo("Copying; the service goes on. Ctrl-C leaves nothing behind.", err=True)
        made = client.create_backup(
            str(directory.absolute()), request_id=request_id, timeout_s=TIMEOUT_S
        )
    if asked.is_json:
        print_json(made)
    else:
        where = printable(made.directory)
        click.echo(
            f"Backed up {bytes_text(made.size_bytes)} as of {time_text(made.snapshot_time)}"
            f" to {where}; `unify restore {where}` makes a data directory of it."
        )
