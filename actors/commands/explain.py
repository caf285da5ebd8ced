"""`unify explain`: why two names stand for one profile, or why they do not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from actors.commands.connecting import Asked, asks_service, reads_space
from actors.commands.naming import NAME_FORMS, names_accounts, profile_named
from actors.commands.printing import event_text, print_json, print_table, printable, time_text

if TYPE_CHECKING:
    from unify_client import IdentityExplanation


@click.command(epilog=NAME_FORMS)
@click.argument("first", metavar="ID1")
@click.argument("second", metavar="ID2")
@names_accounts
@reads_space
@asks_service
def explain(asked: Asked, *, first: str, second: str, is_account: bool, space: str | None) -> None:
    """Shows the events that joined two names, or what kept them apart."""
    named = [profile_named(name, is_account=is_account) for name in (first, second)]
    with asked.client(space) as client:
        explanation = client.explain_identity(*named)
    if asked.is_json:
        print_json(explanation)
        return
    click.echo(printable(_verdict(first, second, explanation)))
    _print_path(explanation)
    _print_drops(explanation)
    _print_history(explanation)


def _verdict(first: str, second: str, explanation: IdentityExplanation) -> str:
    if explanation.joined:
        text = f"{first} and {second} are one profile, {explanation.first_segment_id}"
        return text + (", joined by these events:" if explanation.path else ".")
    return (
        f"{first} is profile {explanation.first_segment_id}, "
        f"{second} is profile {explanation.second_segment_id}: "
        + (
            "these drops kept them apart."
            if explanation.drops
            else "no event ever carried identifiers of both."
        )
    )


def _print_path(explanation: IdentityExplanation) -> None:
    print_table(
        ("from", "to", "event", "source", "time", "outcome", "rules"),
        (
            (
                str(step.from_identifier),
                str(step.to_identifier),
                event_text(step.message_id, step.type, step.name),
                step.source_id,
                time_text(step.timestamp),
                (step.outcome or "").lower(),
                str(step.rules_version),
            )
            for step in explanation.path
        ),
    )


def _print_drops(explanation: IdentityExplanation) -> None:
    print_table(
        ("left out", "why", "event", "source", "time", "rules"),
        (
            (
                str(each.drop.identifier),
                each.drop.reason,
                event_text(each.message_id, each.type, each.name)
                if each.timestamp
                else "(whatever carries it)",
                each.source_id,
                time_text(each.timestamp),
                str(each.rules_version),
            )
            for each in explanation.drops
        ),
    )


def _print_history(explanation: IdentityExplanation) -> None:
    print_table(
        ("time", "profile", "what happened", "event"),
        (
            (
                time_text(each.timestamp),
                each.segment_id,
                "created"
                if each.segment_id == each.canonical_segment_id
                else f"absorbed by {each.canonical_segment_id}",
                each.message_id,
            )
            for each in explanation.history
        ),
        title="History",
    )
