"""How a command line names a profile: `type:value` or a segment_id."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Callable

    from unify_client import ProfileNamed

NAME_FORMS = "An ID is type:value, such as email:user-1@example.com, or a segment_id."


def names_accounts(command: Callable[..., None]) -> Callable[..., None]:
    """Gives a command `--accounts`: which collection identifiers on its line belong to."""
    return click.option(
        "--accounts",
        "is_account",
        is_flag=True,
        help="Identifiers name accounts, not users; a segment_id says so itself.",
    )(command)


def profile_named(name: str, *, is_account: bool) -> ProfileNamed:
    """Returns what names a profile for the client; raises UsageError for what names none."""
    from unify_client import ArgumentInvalid, Identifier
    from unify_client.names import profile_name

    named: Any = name
    kind, _, value = name.partition(":")
    if is_account and value:
        named = Identifier("accounts", kind, value)
    try:
        profile_name(named)
    except ArgumentInvalid:
        raise click.UsageError(f"{NAME_FORMS} {name!r} is neither.") from None
    result: ProfileNamed = named
    return result
