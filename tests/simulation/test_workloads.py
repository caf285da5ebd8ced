"""Each shape of traffic is really met by the schedules that are drawn for it."""

from __future__ import annotations

from functools import lru_cache
from itertools import count, islice
from typing import TYPE_CHECKING

import pytest

from tests.simulation.judge import decisions_of
from tests.simulation.plan import draw
from tests.simulation.run import run_plan
from tests.simulation.stored import Logs
from unify_grpc.identity.outcomes import DropReason, Outcome
from unify_grpc.machines import journal
from unify_grpc.machines.merge_machine import ROUND_RECORD
from unify_grpc.placement.members import incarnation_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.simulation.plan import Plan
    from tests.simulation.stored import Stored
    from tests.simulation.world import World
    from unify_grpc.machines.journal import Decision

pytestmark = pytest.mark.simulation

WORLDS = 12
CONDITIONS: dict[str, Callable[[Plan], bool]] = {
    "spaces": lambda plan: bool(plan.further),
    "moves": lambda plan: plan.moves_anchors and not plan.further,
    "window": lambda plan: not plan.knows_for_ever,
    "aliases": lambda plan: plan.aliases > 0 and len(plan.rules) > 1,
    "replays": lambda plan: plan.replays,
    "careless": lambda plan: plan.careless > 0 and not plan.further,
    "groups": lambda plan: plan.groups > 0,
    "deletions": lambda plan: plan.deletions > 2,
    **{
        shape: lambda plan, shape=shape: plan.shape == shape and not plan.moves_anchors  # type: ignore[misc]  # bound early
        for shape in ("one_in_all", "chains_back", "stars_late", "edges")
    },
}


@lru_cache
def worlds(name: str) -> list[World]:
    """Returns worlds of the first seeds whose plans are of a kind."""
    plans = (draw(seed) for seed in count())
    return [run_plan(plan) for plan in islice(filter(CONDITIONS[name], plans), WORLDS)]


def trace(name: str) -> str:
    """Returns all that happened in worlds of a kind."""
    return "\n".join(line for world in worlds(name) for line in world.trace)


def decisions(name: str) -> list[Decision]:
    """Returns all links decided in worlds of a kind."""
    return [each for world in worlds(name) for each in decisions_of(world)]


def messages(name: str) -> list[list[Stored]]:
    """Returns what is stored of each message under one anchor in worlds of a kind."""
    return [
        stored
        for world in worlds(name)
        for space in world.spaces
        for stored in Logs(space).by_key.values()
    ]


def test_spaces_have_the_same_values_and_meet_everywhere() -> None:
    """They share values, message ids, batches and rounds; one's newer rules refuse another."""
    shared = [
        set.intersection(*(set(Logs(space).by_key) for space in world.spaces))
        for world in worlds("spaces")
    ]
    rounds = [
        {each.space for each in journal.decode_round(record[1:]).decisions}
        for world in worlds("spaces")
        for record in world.merge.store.log.values()
        if record[:1] == ROUND_RECORD
    ]

    assert any(shared), "no message is stored in all spaces"
    assert any(len(each) > 1 for each in rounds), "no round decided links of two spaces"
    assert "what was refused for another space" in trace("spaces")


def test_rules_move_anchors_in_flight() -> None:
    """What one version stored another finds, and what shards refuse is promoted again."""
    assert "by earlier rules" in trace("moves")
    assert "promotes again" in trace("moves")
    versions = [{each.rules_version for each in world} for world in _stored("moves")]
    assert any(len(each) > 2 for each in versions)


def test_messages_come_inside_of_their_window_and_after_it() -> None:
    """Within it they are known; after it they are stored once more, and linked once more."""
    repeats = [
        (each.side.is_duplicate, world.plan.dedupe_us)
        for world in worlds("window")
        for told in world.ledger.told.values()
        for each in told[1:]
    ]
    again = [stored for stored in messages("window") if len(stored) > 1]

    assert {True, False} == {is_duplicate for is_duplicate, _ in repeats}
    assert any(len(each[0].identifiers) > 1 for each in again)


def test_aliases_link_or_are_kept_as_the_rules_say() -> None:
    """Some stay in a history, some link."""
    stored = [each for events in _stored("aliases") for each in events if each.type == "alias"]

    assert {True, False} == {each.is_history for each in stored}
    assert any(len(each.identifiers) > 1 for each in stored)


def test_all_input_comes_again() -> None:
    """After everything is healed, and nothing changes."""
    assert trace("replays").count("all input again") == WORLDS


def test_message_ids_come_with_other_payloads() -> None:
    """Under the same anchor, where the first stands, and under others, where each is its own."""
    sent = [
        len(variants) > 1 and key in world.ledger.told
        for world in worlds("careless")
        for key, variants in world.ledger.sent_as.items()
    ]
    by_message = [
        [key[1] for key in world.ledger.told if key[1].startswith("careless")]
        for world in worlds("careless")
    ]

    assert any(sent), "no payload was another's duplicate"
    assert any(len(set(each)) < len(each) for each in by_message), "no id was used for two anchors"


def test_messages_come_again_while_their_links_are_pending() -> None:
    """They are told that they are duplicates, and that the link is pending."""
    told = [
        each.side
        for world in worlds("careless")
        for listed in world.ledger.told.values()
        for each in listed
    ]

    assert any(each.is_duplicate and each.outcome == Outcome.PENDING for each in told)


def test_events_are_out_of_order() -> None:
    """Of two events the one received first may have happened last."""
    times = [
        [each.time_us for each in sorted(events, key=lambda each: each.stamp_us)]
        for events in _stored("careless")
    ]

    assert all(each != sorted(each) for each in times if len(each) > 20)


def test_one_identifier_is_in_every_event() -> None:
    """And all that links do is to grow one profile."""
    in_all = [
        set.intersection(*(set(each.identifiers) for each in events))
        for events in _stored("one_in_all")
        if events
    ]

    assert any(in_all)


@pytest.mark.parametrize("shape", ["chains_back", "stars_late"])
def test_merges_come_in_the_worst_order(shape: str) -> None:
    """What was merged before is moved into an older profile, again and again."""
    moved = [
        each
        for each in decisions(shape)
        if each.absorbed and each.root in {each.ids[index][0] for index, _ in each.adopted}
    ]

    assert len(moved) > WORLDS
    assert max(each.merges for each in decisions(shape)) > 2


def test_limits_are_met_at_their_edges_by_several_callers_at_once() -> None:
    """In one round a profile takes its last identifier of a type, and refuses another."""
    at_once = [
        (before, after)
        for world in worlds("edges")
        for record in world.merge.store.log.values()
        if record[:1] == ROUND_RECORD
        for before in (journal.decode_round(record[1:]).decisions,)
        for after in before
        if any(reason == DropReason.LIMIT_EXCEEDED for _, reason in after.drops)
    ]

    assert any(
        each.root == after.root and each.seq < after.seq and not each.drops
        for before, after in at_once
        for each in before
    )


def test_group_calls_are_cut_between_their_sides() -> None:
    """A gateway ends in between, and another's sweep finishes them."""
    assert "append owed" in trace("groups")


def test_what_was_deleted_is_seen_again() -> None:
    """Events are stored in a name's next life, and links join it."""
    later = [
        each
        for events in _stored("deletions")
        for each in events
        if incarnation_of(each.member) and len(each.identifiers) > 1
    ]

    assert later


def _stored(name: str) -> list[list[Stored]]:
    """Returns the events of the first space of each world of a kind."""
    return [list(Logs(world.spaces[0]).events.values()) for world in worlds(name)]
