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
from unify_client import AsyncUnifyClient, Identifier, group, identify, page, track

from actors.cluster import DEV_ACCESS_TOKEN, DEV_WRITE_KEY
from actors.launch import serve
from unify_grpc.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from unify_client import Event, EventResult, IdentityExplanation, Profile, ProfileLink

    from actors.gateways import Gateways

SHARDS = 2
WIDTH_MIN = 110


PHONE = {"device": {"type": "android", "id": "android-7f3a"}}
APP = {"device": {"type": "ios", "id": "ios-91c2"}}


class Story:
    """Events in order, each with a sentence that says it."""

    def __init__(self) -> None:
        start = datetime.now(UTC) - timedelta(hours=1)
        self._times = (start + timedelta(minutes=minute) for minute in range(60))
        self.told: list[tuple[str, Event]] = []

    def tell(self, text: str, make: Callable[..., Event], *args: str, **fields: Any) -> None:
        """Lets something happen, a minute after what happened before."""
        message_id = f"m{len(self.told) + 1}"
        event = make(*args, message_id=message_id, timestamp=next(self._times), **fields)
        self.told.append((text, event))


def journey() -> list[tuple[str, Event]]:
    """Returns what two people do."""
    story = Story()
    _tell_of_people(story.tell)
    _tell_of_their_company(story.tell)
    return story.told


def _tell_of_people(tell: Callable[..., None]) -> None:
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


def _tell_of_their_company(tell: Callable[..., None]) -> None:
    tell(
        "a company signs up for the team plan",
        group,
        "company-1",
        user_id="user-1",
        traits={"name": "Company One", "plan": "team"},
    )
    tell(
        "somebody else joins it, on another tablet",
        group,
        "company-1",
        user_id="user-2",
        anonymous_id="tablet-2",
    )


ASKED = (
    (Identifier("users", "anonymous_id", "phone-1"), Identifier("users", "ios.id", "ios-91c2")),
    (Identifier("users", "anonymous_id", "tablet-1"), Identifier("users", "user_id", "user-2")),
)
"""Pairs of identifiers: why are they one, or apart?"""


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
            http_port=0,
            dev=True,
            shards=SHARDS,
            log_level="warning",
        )

        async def ready(gateways: Gateways) -> None:
            address = f"127.0.0.1:{gateways.port}"
            console.print(f"Ready after {time.monotonic() - started:.1f} s on {address}.\n")
            await _show(console, address)
            if is_kept:
                http = f"http://127.0.0.1:{gateways.http_port}"
                console.print(f"Staying up on {address} and {http} with write key {DEV_WRITE_KEY}")
                console.print(f"and access token {DEV_ACCESS_TOKEN}, until interrupted.")
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
    first, second = results[2].segment_id, results[7].segment_id
    account = results[-1].account_segment_id
    assert first is not None, "an event that was resolved has a profile"
    assert second is not None, "an event that was resolved has a profile"
    assert account is not None, "a group call has an account's profile"
    assert first != second, "two people stay two profiles"
    async with AsyncUnifyClient(address, key=DEV_ACCESS_TOKEN) as reader:
        for segment_id in (first, second):
            _print_profile(console, await reader.get_profile(segment_id), events, results)
        members = [link async for link in reader.list_links(account)]
        _print_account(console, await reader.get_profile(account), members)
        for pair in ASKED:
            _print_explanation(console, pair, await reader.explain_identity(*pair), events)


def _print_account(console: Console, account: Profile, members: list[ProfileLink]) -> None:
    console.print(f"[bold]Account {account.segment_id}[/bold]")
    traits = ", ".join(f"{trait.name}={trait.value}" for trait in account.traits)
    names = ", ".join(f"{each.type}:{each.id}" for each in account.external_ids)
    console.print(f"  identifiers  {names}")
    console.print(f"  traits  {traits}")
    for member in members:
        names = ", ".join(f"{each.type}:{each.id}" for each in member.external_ids[:2])
        console.print(f"  member  {member.segment_id}  {names}")
    console.print()


def _print_explanation(
    console: Console,
    pair: tuple[Identifier, Identifier],
    explanation: IdentityExplanation,
    events: list[tuple[str, Event]],
) -> None:
    texts = {event.message_id: f"{event.message_id}: {text}" for text, event in events}
    names = " and ".join(f"{each.type}:{each.value}" for each in pair)
    verdict = "are one" if explanation.joined else "are apart"
    console.print(f"[bold]Why {names} {verdict}[/bold]")
    for step in explanation.path:
        ends = (step.from_identifier, step.to_identifier)
        one, other = (f"{each.type}:{each.value}" for each in ends)
        console.print(f"  {one} - {other}  by {texts[step.message_id]}")
    for each in explanation.drops:
        name = f"{each.drop.identifier.type}:{each.drop.identifier.value}"
        console.print(f"  {name} left out of {texts[each.message_id]}: {each.drop.reason.name}")
    console.print()


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
