"""`unify demo`: a whole service, a customer's journey through it, and what became of it."""

from __future__ import annotations

import asyncio
import signal
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from unify_client import AsyncUnifyClient, identify, page, track

from actors.launch import DEV_ACCESS_TOKEN, DEV_WRITE_KEY, serve
from unify_grpc.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from unify_client import Event, EventResult, Profile

SHARDS = 2
WIDTH_MIN = 110


PHONE = {"device": {"type": "android", "id": "android-7f3a"}}
APP = {"device": {"type": "ios", "id": "ios-91c2"}}


def journey() -> list[tuple[str, Event]]:
    """Returns what two people do, in order, each with a sentence that says it."""
    start = datetime.now(UTC) - timedelta(hours=1)
    times = (start + timedelta(minutes=minute) for minute in range(60))
    told: list[tuple[str, Event]] = []

    def tell(text: str, make: Callable[..., Event], *args: str, **fields: Any) -> None:
        message_id = f"m{len(told) + 1}"
        event = make(*args, message_id=message_id, timestamp=next(times), **fields)
        told.append((text, event))

    tell("somebody looks around on a phone", page, "Home", anonymous_id="phone-1")
    tell(
        "still anonymous, in the shop's app",
        track,
        "Product Viewed",
        anonymous_id="phone-1",
        context=PHONE,
        properties={"sku": "A-1", "price": 49.5},
    )
    tell(
        "signs up",
        identify,
        user_id="user-1",
        anonymous_id="phone-1",
        traits={"email": "user-1@example.com", "first_name": "U.", "plan": "free"},
    )
    tell("a laptop, not signed in", page, "Pricing", anonymous_id="laptop-1")
    tell("signs in on the laptop", track, "Signed In", user_id="user-1", anonymous_id="laptop-1")
    tell(
        "a second app, known by its address only",
        identify,
        anonymous_id="app-2",
        traits={"email": "User-1@example.com", "plan": "pro"},
        context=APP,
    )
    tell(
        "orders on the family's tablet",
        track,
        "Order Completed",
        user_id="user-1",
        anonymous_id="tablet-1",
        properties={"total": 120},
    )
    tell(
        "somebody else signs in on that tablet",
        identify,
        user_id="user-2",
        anonymous_id="tablet-1",
        traits={"email": "user-2@example.com", "first_name": "V."},
    )
    return told


async def run_demo(*, is_kept: bool) -> int:
    """Serves on a free port and a temporary directory; returns the exit code."""
    console = Console(highlight=False)
    console.width = max(console.width, WIDTH_MIN)
    started = time.monotonic()
    console.print(f"Starting a service with {SHARDS} shards and a merge actor …")
    with tempfile.TemporaryDirectory(prefix="unify-demo-") as directory:
        settings = Settings(
            data_dir=Path(directory) / "data",
            grpc_port=0,
            dev=True,
            shards=SHARDS,
            log_level="warning",
        )

        async def ready(port: int) -> None:
            address = f"127.0.0.1:{port}"
            console.print(f"Ready after {time.monotonic() - started:.1f} s on {address}.\n")
            await _show(console, address)
            if is_kept:
                console.print(f"Staying up on {address} with write key {DEV_WRITE_KEY} and access")
                console.print(f"token {DEV_ACCESS_TOKEN}, until interrupted.")
                stopping = asyncio.Event()
                asyncio.get_running_loop().add_signal_handler(signal.SIGINT, stopping.set)
                await stopping.wait()

        await serve(settings, ready)
    return 0


async def _show(console: Console, address: str) -> None:
    events = journey()
    async with AsyncUnifyClient(address, key=DEV_WRITE_KEY) as writer:
        results = [(await writer.ingest([event]))[0] for _, event in events]
    _print_events(console, events, results)
    first, second = results[2].segment_id, results[-1].segment_id
    assert first is not None, "an event that was resolved has a profile"
    assert second is not None, "an event that was resolved has a profile"
    assert first != second, "two people stay two profiles"
    async with AsyncUnifyClient(address, key=DEV_ACCESS_TOKEN) as reader:
        for segment_id in (first, second):
            _print_profile(console, await reader.get_profile(segment_id), events, results)


def _print_events(
    console: Console, events: list[tuple[str, Event]], results: list[EventResult]
) -> None:
    table = Table(title="What was sent", title_justify="left", box=None, pad_edge=False)
    for name in ("event", "what happens", "outcome", "profile"):
        table.add_column(name, overflow="fold")
    for (text, event), result in zip(events, results, strict=True):
        outcome = result.outcome.name.lower() if result.outcome else "-"
        table.add_row(f"{event.message_id} {event.type}", text, outcome, result.segment_id or "-")
    console.print(table)
    console.print()


def _print_profile(
    console: Console,
    profile: Profile,
    events: list[tuple[str, Event]],
    results: list[EventResult],
) -> None:
    texts = {event.message_id: f"{event.message_id}: {text}" for text, event in events}
    console.print(f"[bold]Profile {profile.segment_id}[/bold]")
    traits = ", ".join(f"{trait.name}={trait.value}" for trait in profile.traits)
    console.print(f"  traits  {traits}")
    if profile.metadata is not None:
        counts = profile.metadata.events_count_by_type
        listed = ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items()))
        console.print(f"  events  {listed}; merges {profile.metadata.merges_count}")
    table = Table(box=None, pad_edge=False)
    for name in ("  identifier", "why it is here, or not"):
        table.add_column(name, overflow="fold")
    for each in profile.external_ids:
        table.add_row(f"  {each.type}:{each.id}", "joined by " + texts[each.first_message_id])
    for (_, event), result in zip(events, results, strict=True):
        if result.segment_id != profile.segment_id:
            continue
        for drop in result.drops:
            name = f"  [dim]{drop.identifier.type}:{drop.identifier.value}[/dim]"
            why = f"[dim]left out of {texts[event.message_id]}: {drop.reason.name}[/dim]"
            table.add_row(name, why)
    console.print(table)
    console.print()
