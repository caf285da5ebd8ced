"""The command `unify`. Imports what a command needs only when it runs: `--help` is quick."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from actors.commands.backup import backup
from actors.commands.explain import explain
from actors.commands.key import key
from actors.commands.profile import profile
from actors.commands.restore import restore
from actors.commands.rules import rules
from actors.commands.space import space
from actors.commands.tail import tail
from actors.commands.token import token
from actors.commands.verify import verify


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="unify", prog_name="unify")
def main() -> None:
    """Resolves customer events to unified profiles."""


@main.command()
@click.option("--data-dir", type=click.Path(path_type=Path), help="Where all data is.")
@click.option("--grpc-port", type=int, help="Port for gRPC; 0 picks a free one.")
@click.option("--http-port", type=int, help="Port for HTTP; 0 picks a free one.")
@click.option("--host", help="Address to listen on.")
@click.option("--shards", type=int, help="Of a new data directory; the number of cores if not set.")
@click.option("--gateways", type=int, help="Processes that take calls, on one port.")
@click.option("--ray-address", help="Of a running Ray cluster; starts one in process if not set.")
@click.option("--dev", is_flag=True, default=None, help="Space `dev` with known keys; loopback.")
@click.option("--plaintext", is_flag=True, default=None, help="Serve beyond loopback without TLS.")
@click.option("--tls-cert", metavar="FILE", help="Certificate chain of both ports, PEM.")
@click.option("--tls-key", metavar="FILE", help="Its private key, PEM, without a passphrase.")
@click.option("--tls-client-ca", metavar="FILE", help="Whose certificates callers need (mTLS).")
@click.option("--log-level", help="debug, info, warning or error.")
def serve(**flags: Any) -> None:
    """Runs the service until SIGTERM."""
    import asyncio

    from actors.launch import LaunchRefusedError, check_settings
    from actors.launch import serve as run
    from unify_grpc.settings import forget_secrets, load_settings
    from unify_grpc.storage.errors import StoreRefusedError

    try:
        settings = load_settings(flags)
        forget_secrets()
        check_settings(settings)
        asyncio.run(run(settings))
    except (LaunchRefusedError, StoreRefusedError, OSError, ValueError) as error:
        click.echo(f"unify: {error}", err=True)
        sys.exit(2)


@main.command()
@click.option("--keep", is_flag=True, help="Stay up afterwards, until interrupted.")
def demo(*, keep: bool) -> None:
    """Serves on a free port, ingests a customer's journey and shows what became of it."""
    import asyncio

    from actors.demo import run_demo

    sys.exit(asyncio.run(run_demo(is_kept=keep)))


for command in (profile, explain, tail, space, rules, key, token, backup, restore, verify):
    main.add_command(command)


if __name__ == "__main__":
    main()
