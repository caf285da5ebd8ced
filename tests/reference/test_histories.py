"""Random histories are repeatable, reach every rule, and leave the reference in order."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.reference.backend import ReferenceBackend
from tests.reference.histories import history

EXPECTED = {
    *("STORED", "DUPLICATE", "REJECTED"),
    *("CREATED", "ATTACHED", "MERGED"),
    *("NO_IDENTIFIER", "INVALID_TIMESTAMP"),
    *(
        f"{collection} {reason}"
        for collection in ("users", "accounts")
        for reason in (
            "LIMIT_EXCEEDED",
            "WINDOW_LIMIT_EXCEEDED",
            "IDENTIFIER_CAP",
            "BLOCKED",
            "INVALID_VALUE",
        )
    ),
    "users MERGE_CAP",
}


def test_a_seed_gives_one_history() -> None:
    """The same seed and size give the same rules and events, so that a failure can be repeated."""
    assert history(7, 40) == history(7, 40)
    assert history(7, 40) != history(8, 40)


def test_events_are_received_one_after_another() -> None:
    """`received_at` rises strictly within a history, whatever the client's clocks say."""
    _, events = history(3, 60)
    stamps = [event["received_at"] for event in events]

    assert sorted(set(stamps)) == stamps


def test_histories_reach_every_rule() -> None:
    """A few hundred histories meet every status, outcome and reason for a drop."""
    met: Counter[str] = Counter()
    for seed in range(300):
        rules, events = history(seed, 40)
        reference = ReferenceBackend(rules)
        for result in map(reference.send, events):
            met.update(each for each in (result.status, result.reason, result.outcome) if each)
            met.update(f"{drop[0]} {drop[-1]}" for drop in result.drops)

    assert set() == EXPECTED - set(met)


@pytest.mark.parametrize("collection", ["users", "accounts"])
def test_an_identifier_has_one_owner(collection: str) -> None:
    """No identifier is in two profiles, and each profile's identifiers agree on who they are."""
    for seed in range(60):
        rules, events = history(seed, 40)
        reference = ReferenceBackend(rules)
        for event in events:
            reference.send(event)
        profiles = reference.partition(collection)
        identifiers = [each for profile in profiles for each in profile]

        assert len(set(identifiers)) == len(identifiers)
        owners = {reference.segment_id(each, collection) for each in identifiers}
        assert len(owners) == len(profiles)
