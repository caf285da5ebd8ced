"""The machines on three shards give what the reference gives, over random histories.

Events are sent one after another, each resolved before the next. Every event is compared when it
was sent, every profile at the end. A failure names the seed and the first event that differs.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest

from tests.engine.in_process import InProcessService
from tests.reference.backend import ReferenceBackend
from tests.reference.histories import history

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.engine.in_process import Result
    from tests.reference.backend import Outcome

SHARDS = 3
HISTORIES = 2_000
HISTORIES_PER_TEST = 100
DELETING_HISTORIES = 200
DELETION_CHANCE = 0.25
STRANGER_CHANCE = 0.1
NOBODY = "user_id:nobody"
COLLECTIONS = ("users", "accounts")


def size_of(seed: int) -> int:
    """Returns how many events the history of a seed has here: 20 to 60."""
    return 20 + seed % 41


@pytest.mark.parametrize("first", range(0, HISTORIES, HISTORIES_PER_TEST))
def test_histories_end_as_the_reference_says(first: int) -> None:
    """Every event gets the reference's answer, and every profile ends as the reference says."""
    for seed in range(first, first + HISTORIES_PER_TEST):
        difference = first_difference(seed)

        assert difference is None, f"history({seed}, {size_of(seed)}): {difference}"


@pytest.mark.parametrize("first", range(0, DELETING_HISTORIES, HISTORIES_PER_TEST))
def test_deletions_end_as_the_reference_says(first: int) -> None:
    """Identifiers deleted in between give the reference's answer, and so does all that follows."""
    for seed in range(first, first + HISTORIES_PER_TEST):
        difference = first_difference(seed, deletions=random.Random(seed))

        assert difference is None, f"history({seed}, {size_of(seed)}): {difference}"


def first_difference(seed: int, deletions: random.Random | None = None) -> str | None:
    """Returns the first thing in which a history differs, None if nothing does.

    With a source of `deletions`, identifiers are deleted between the events.
    """
    rules, events = history(seed, size_of(seed))
    reference = ReferenceBackend(rules)
    service = InProcessService(rules, shards=SHARDS)
    ids: dict[str, str] = {}
    for index, event in enumerate(events):
        expected, actual = reference.send(event), service.send(event)
        for problem in [
            *event_differences(expected, actual),
            *id_differences(ids, expected, actual),
        ]:
            return f"event {index} {event}: {problem}"
        if deletions is not None and deletions.random() < DELETION_CHANCE:
            for problem in deletion_differences(deletions, reference, service):
                return f"after event {index} {event}: {problem}"
    return next(profile_differences(reference, service), None)


def event_differences(expected: Outcome, actual: Result) -> Iterator[str]:
    """Yields in what the answers to one event differ."""
    if (expected.status, expected.reason) != (actual.status, actual.reason):
        yield (f"{actual.status} {actual.reason}, expected {expected.status} {expected.reason}")
        return
    if expected.status == "STORED" and expected.outcome != actual.outcome:
        yield f"{actual.outcome}, expected {expected.outcome}"
    if expected.status != "DUPLICATE":
        dropped = sorted(tuple(drop) for drop in actual.drops)
        wanted = sorted(tuple(drop) for drop in expected.drops)
        if dropped != wanted:
            yield f"drops {dropped}, expected {wanted}"


def id_differences(ids: dict[str, str], expected: Outcome, actual: Result) -> Iterator[str]:
    """Yields where the event's profile goes by another id than before, so which one survives.

    `ids` maps the reference's segment_ids to ours, one to one, and grows.
    """
    if expected.status != "STORED":
        return
    if expected.segment_id is None or actual.segment_id is None:
        if expected.segment_id != actual.segment_id:
            yield f"profile {actual.segment_id}, expected {expected.segment_id}"
        return
    if expected.segment_id not in ids and actual.segment_id in ids.values():
        yield f"profile {actual.segment_id} was another one's before"
    known = ids.setdefault(expected.segment_id, actual.segment_id)
    if known != actual.segment_id:
        yield f"profile {actual.segment_id}, expected {known}"


def deletion_differences(
    source: random.Random, reference: ReferenceBackend, service: InProcessService
) -> Iterator[str]:
    """Deletes an identifier, most often one that may be, and yields what differs then."""
    collection = source.choice(COLLECTIONS)
    profiles = sorted(map(sorted, reference.partition(collection)))
    profile = source.choice([*profiles, [NOBODY]])
    strangers = source.choice([*profiles, [NOBODY]])
    lookup = source.choice(profile)
    gone = source.choice(strangers if source.random() < STRANGER_CHANCE else profile)
    expected = reference.delete(lookup, [gone], collection)
    actual = service.delete(lookup, [gone], collection)
    if expected != actual:
        yield f"deleting {gone} of {lookup}: {actual}, expected {expected}"
    for problem in profile_differences(reference, service):
        yield f"{gone} of {lookup} deleted: {problem}"


def profile_differences(reference: ReferenceBackend, service: InProcessService) -> Iterator[str]:
    """Yields in what the profiles differ: who belongs together, traits, events, merges."""
    for collection in COLLECTIONS:
        wanted, found = reference.partition(collection), service.partition(collection)
        if wanted != found:
            yield (
                f"{collection}: profiles {sorted(map(sorted, found - wanted))}, "
                f"expected {sorted(map(sorted, wanted - found))}"
            )
            continue
        for profile in wanted:
            for identifier in sorted(profile)[:1]:
                yield from contents_differences(reference, service, collection, identifier)
    if reference.merges() != service.merges():
        yield f"{service.merges()} merges, expected {reference.merges()}"


def contents_differences(
    reference: ReferenceBackend,
    service: InProcessService,
    collection: str,
    identifier: str,
) -> Iterator[str]:
    """Yields in what the traits and the history of one profile differ."""
    pairs: tuple[tuple[str, Any, Any], ...] = (
        (
            "traits",
            reference.traits(identifier, collection),
            service.traits(identifier, collection),
        ),
        (
            "events",
            sorted(reference.events(identifier, collection)),
            sorted(service.events(identifier, collection)),
        ),
    )
    for what, wanted, found in pairs:
        if wanted != found:
            yield f"{what} of {identifier}: {found}, expected {wanted}"


def test_a_difference_would_be_noticed() -> None:
    """A service whose rules are others than the reference's is told apart by some history."""
    blind: list[int] = []
    for seed in range(5):
        rules, events = history(seed, 60)
        reference = ReferenceBackend(rules)
        service = InProcessService({"others": {"limit": None}}, shards=SHARDS)
        differences = [
            problem
            for event in events
            for problem in event_differences(reference.send(event), service.send(event))
        ]
        if not differences and next(profile_differences(reference, service), None) is None:
            blind.append(seed)

    assert [] == blind
