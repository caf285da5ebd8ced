"""`unify token`: access tokens of a space."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import click

from actors.commands.connecting import Asked, asks_service, needs_space
from actors.commands.printing import print_facts, print_json, print_table, printable, time_text

SCOPES = ("read", "pii", "delete", "rules")
DAYS_MAX = 36_500


@click.group()
def token() -> None:
    """Creates, lists and revokes access tokens, with an admin token."""


@token.command()
@click.argument("name")
@click.option(
    "--scope",
    "scopes",
    type=click.Choice(SCOPES),
    multiple=True,
    help="What it may be used for, repeatable; read and pii if not said.",
)
@click.option("--days", type=click.IntRange(1, DAYS_MAX), help="Ceases to be good after so many.")
@needs_space
@asks_service
def create(
    asked: Asked, *, name: str, scopes: tuple[str, ...], days: int | None, space: str
) -> None:
    """Creates an access token called NAME, which is shown this once."""
    expire_time = None if days is None else datetime.now(UTC) + timedelta(days=days)
    with asked.client() as client:
        created = client.create_access_token(space, name, scopes=scopes, expire_time=expire_time)
    made = created.access_token
    shown = {"access_token_id": made.access_token_id, "access_token": created.secret}
    if asked.is_json:
        print_json({**shown, "scopes": made.scopes, "expire_time": made.expire_time})
    else:
        click.echo("Created; the token is not shown again.")
        print_facts(
            [
                *shown.items(),
                ("scopes", ", ".join(made.scopes).lower()),
                ("expires", time_text(made.expire_time) or "never"),
            ]
        )


@token.command(name="list")
@needs_space
@asks_service
def list_(asked: Asked, *, space: str) -> None:
    """Lists the access tokens of a space, without their secrets."""
    with asked.client() as client:
        tokens = list(client.list_access_tokens(space))
    if asked.is_json:
        print_json({"access_tokens": tokens})
    else:
        print_table(
            ("access_token_id", "name", "scopes", "created", "expires", "revoked"),
            (
                (
                    each.access_token_id,
                    each.name,
                    ", ".join(each.scopes).lower(),
                    time_text(each.created_time),
                    time_text(each.expire_time),
                    time_text(each.revoked_time),
                )
                for each in tokens
            ),
        )


@token.command()
@click.argument("access_token_id")
@needs_space
@asks_service
def revoke(asked: Asked, *, access_token_id: str, space: str) -> None:
    """Revokes an access token, by its id, for good."""
    with asked.client() as client:
        revoked = client.revoke_access_token(space, access_token_id)
    if asked.is_json:
        print_json(revoked)
    else:
        since = time_text(revoked.revoked_time)
        click.echo(f"Token {printable(revoked.access_token_id)} is revoked since {since}.")
