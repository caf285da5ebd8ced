"""`unify profile`: everything that is known of one person or account."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

import click

from actors.commands.connecting import Asked, asks_service, reads_space
from actors.commands.naming import NAME_FORMS, names_accounts, profile_named
from actors.commands.printing import (
    event_text,
    json_form,
    print_facts,
    print_json,
    print_table,
    printable,
    shortened,
    time_text,
    value_text,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from unify_client import Profile, ProfileEvent, ProfileExternalId, ProfileLink, ProfileMetadata

EVENTS_DEFAULT, EVENTS_MAX = 10, 1_000
EVENTS_PAGE_MAX = 100
KINDS = ("identify", "track", "page", "screen", "group", "alias")


@click.command(epilog=NAME_FORMS)
@click.argument("name", metavar="ID")
@names_accounts
@click.option(
    "--events",
    "events_count",
    type=click.IntRange(0, EVENTS_MAX),
    default=EVENTS_DEFAULT,
    show_default=True,
    help="How many of the last events to show.",
)
@reads_space
@asks_service
def profile(
    asked: Asked, *, name: str, is_account: bool, events_count: int, space: str | None
) -> None:
    """Shows a profile: its identifiers, traits, last events and links."""
    named = profile_named(name, is_account=is_account)
    with asked.client(space) as client:
        found = client.get_profile(named)
        # By its id from here on: an identifier may move on between two calls.
        segment_id = found.canonical_segment_id
        history = client.list_events(
            segment_id, types=KINDS, page_size=min(events_count, EVENTS_PAGE_MAX) or 1
        )
        events = list(islice(history, events_count))
        links = list(client.list_links(segment_id))
    if asked.is_json:
        form = json_form(found)
        print_json({**form, "events": json_form(events), "links": json_form(links)})
    else:
        _print_profile(found)
        _print_events(events)
        _print_links(links)


def identifiers_text(external_ids: Iterable[ProfileExternalId]) -> str:
    """Returns identifiers as one text, cut to what a line can hold."""
    return shortened(", ".join(f"{each.type}:{each.id}" for each in external_ids))


def drops_text(event: ProfileEvent) -> str:
    """Returns what was left out of an event, and why."""
    return shortened(", ".join(f"{each.identifier} {each.reason}" for each in event.drops))


def _print_profile(found: Profile) -> None:
    click.echo(f"Profile {printable(found.canonical_segment_id)}")
    metadata = found.metadata
    asked_by = found.segment_id
    print_facts(
        [
            ("collection", found.collection),
            ("merged away", "" if asked_by == found.canonical_segment_id else asked_by),
            *(_metadata_facts(metadata) if metadata else ()),
        ]
    )
    print_table(
        ("type", "value", "since", "event", "source"),
        (
            (
                each.type,
                each.id,
                time_text(each.created_time),
                each.first_message_id,
                each.source_id,
            )
            for each in found.external_ids
        ),
        title="Identifiers",
    )
    print_table(
        ("name", "value", "since", "event", "source"),
        (
            (
                shortened(each.name),
                value_text(each.value),
                time_text(each.updated_time),
                each.message_id or "",
                each.source_id or "",
            )
            for each in found.traits
        ),
        title="Traits",
    )
    if metadata:
        _print_rest("identifiers", metadata.external_ids_count - len(found.external_ids))
        _print_rest("traits", metadata.traits_count - len(found.traits))


def _metadata_facts(metadata: ProfileMetadata) -> list[tuple[str, str]]:
    kinds = ", ".join(
        f"{count} {kind}" for kind, count in sorted(metadata.events_count_by_type.items())
    )
    return [
        ("seen", f"{time_text(metadata.first_seen_time)} to {time_text(metadata.last_seen_time)}"),
        ("created", time_text(metadata.created_time)),
        ("updated", time_text(metadata.updated_time)),
        ("events", f"{metadata.events_count}: {kinds}" if kinds else "0"),
        ("merges", str(metadata.merges_count)),
    ]


def _print_rest(what: str, rest: int) -> None:
    if rest > 0:
        click.echo(f"\n{rest} more {what} are not shown.")


def _print_events(events: list[ProfileEvent]) -> None:
    print_table(
        ("time", "event", "source", "identifiers", "left out"),
        (
            (
                time_text(each.timestamp),
                event_text(each.message_id, each.type, each.name),
                each.source_id,
                shortened(", ".join(f"{entry.type}:{entry.id}" for entry in each.external_ids)),
                drops_text(each),
            )
            for each in events
        ),
        title="Last events",
    )


def _print_links(links: list[ProfileLink]) -> None:
    print_table(
        ("profile", "collection", "since", "identifiers"),
        (
            (
                each.segment_id,
                each.to_collection,
                time_text(each.created_time),
                identifiers_text(each.external_ids),
            )
            for each in links
        ),
        title="Links",
    )
