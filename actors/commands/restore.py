"""`unify restore`: an empty data directory becomes what a backup holds."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from actors.commands.printing import bytes_text, printable, time_text


@click.command()
@click.argument("directory", type=click.Path(path_type=Path), metavar="DIR")
@click.option("--data-dir", type=click.Path(path_type=Path), help="Where all data is to be.")
def restore(*, directory: Path, data_dir: Path | None) -> None:
    """Restores the backup in DIR into an empty data directory; needs no service.

    Serve it with `unify serve --data-dir`. What was stored after the backup is not in it: callers
    that send it again double nothing. Nor is what was changed after it: what was revoked or deleted
    is there again, and rules are the earlier ones. DIR holds the data of all spaces: keep it like
    the data directory.
    """
    from datetime import UTC, datetime

    from actors.restoring import restore as run
    from unify_grpc.settings import load_settings
    from unify_grpc.storage.errors import StoreRefusedError

    try:
        target = load_settings({"data_dir": data_dir}).data_dir.absolute()
        manifest = run(directory.absolute(), target)
    except (StoreRefusedError, OSError, ValueError) as error:
        click.echo(f"unify: {printable(str(error))}", err=True)
        sys.exit(1)
    made = datetime.fromtimestamp(manifest.snapshot_us / 1_000_000, UTC)
    where = printable(str(target))
    click.echo(
        f"Restored {bytes_text(manifest.size_bytes)} as of {time_text(made)} to {where};"
        f" `unify serve --data-dir {where}` serves it.\n"
        "Write keys and tokens revoked, identifiers deleted and rules changed after"
        f" {time_text(made)} are as they were then: repeat that."
    )
