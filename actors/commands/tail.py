"""`unify tail`: the events of a space as they are stored."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING

import click

from actors.commands.connecting import Asked, asks_service, reads_space
from actors.commands.printing import (
    event_text,
    print_json_line,
    printable,
    shortened,
    time_text,
)
from actors.commands.profile import KINDS, drops_text

if TYPE_CHECKING:
    from unify_client import TailedEvent

# A service that is started anew is back within this time.
PATIENCE_S = 60.0


@click.command()
@click.option("--type", "types", type=click.Choice(KINDS), multiple=True, help="Only these kinds.")
@click.option("--source", "source_ids", multiple=True, help="Only of these sources, by source_id.")
@click.option("--resume-token", default="", help="Go on after the event that --json showed it of.")
@reads_space
@asks_service
def tail(
    asked: Asked,
    *,
    types: tuple[str, ...],
    source_ids: tuple[str, ...],
    resume_token: str,
    space: str | None,
) -> None:
    """Shows events as they are stored, until Ctrl-C."""
    with (
        # How a tail is meant to end.
        suppress(KeyboardInterrupt),
        # An interrupt that meets gRPC's C code may be lost, so another thread waits in there. The
        # client is closed first, which ends what that one waits for, a pause too.
        ThreadPoolExecutor(1) as reader,
        asked.client(space, patience_s=PATIENCE_S) as client,
    ):
        events = client.tail_events(types=types, source_ids=source_ids, resume_token=resume_token)
        while True:
            tailed = reader.submit(next, events).result()
            if asked.is_json:
                print_json_line(tailed)
            else:
                click.echo(printable(_line(tailed)))


def _line(tailed: TailedEvent) -> str:
    event = tailed.event
    identifiers = " ".join(f"{each.type}:{each.id}" for each in event.external_ids)
    drops = drops_text(event)
    return "  ".join(
        [
            time_text(event.received_time),
            tailed.segment_id or "(link pending)",
            event_text(event.message_id, event.type, event.name),
            shortened(identifiers),
            *([f"left out: {drops}"] if drops else ()),
        ]
    )
