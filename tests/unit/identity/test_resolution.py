"""Whose an event is and what it joins: section 3 of the identity rules."""

from __future__ import annotations

from typing import Any

import pytest

from unify_grpc.identity.outcomes import DropReason, Outcome
from unify_grpc.identity.resolution import Candidate, Owned, ProfileView, Resolution, resolve
from unify_grpc.identity.rules import Rules

DAY_US = 86_400 * 1_000_000
NOW_US = 1_700_000_000_000_000


def rules_of(*identifiers: dict[str, Any], **document: Any) -> Rules:
    """Rules of these types over those of a new space."""
    listed = [{"type": "user_id"}, {"type": "email"}, *identifiers]
    return Rules.from_document({"identifiers": listed, **document}, 1)


DEFAULTS = rules_of()
WEEKLY = rules_of({"type": "anonymous_id", "limit": 2, "window": "weekly"})


def profile(name: str, *members: str, merges: int = 0, link_us: int = NOW_US) -> ProfileView:
    """A profile of members written `type:value`; created in the order of the names."""
    owned = [Owned(member, member.partition(":")[0], link_us) for member in members]
    return ProfileView(name, (name,), merges, owned)


def resolved(
    event: str, *profiles: ProfileView, rules: Rules = DEFAULTS, time_us: int = NOW_US
) -> Resolution:
    """Resolves an event, its identifiers written `type:value` in order, against profiles."""
    candidates = [Candidate(member, member.partition(":")[0]) for member in event.split()]
    owner = {owned.member: own for own in profiles for owned in own.identifiers}
    return resolve(candidates, owner, rules, time_us)


def test_an_unknown_event_founds_a_profile() -> None:
    """Identifiers that nobody owns become one new profile, of no merges."""
    assert Resolution(
        kept=(0, 1), dropped=(), unharmed=(), survivor=None, absorbed=(), new=(0, 1), merges=0,
        outcome=Outcome.CREATED,
    ) == resolved("user_id:u email:e")  # fmt: skip


def test_a_new_identifier_is_attached() -> None:
    """With one owner, the identifiers nobody owns join it; its merges stay as they are."""
    assert Resolution(
        kept=(0, 1), dropped=(), unharmed=(), survivor="A", absorbed=(), new=(0,), merges=7,
        outcome=Outcome.ATTACHED,
    ) == resolved("user_id:u anonymous_id:a", profile("A", "anonymous_id:a", merges=7))  # fmt: skip


def test_several_owners_are_merged_into_the_one_created_first() -> None:
    """The survivor is the oldest, whatever the order of the event; merges add up."""
    resolution = resolved(
        "user_id:u email:e anonymous_id:a ios.id:i",
        profile("C", "user_id:u", merges=1),
        profile("A", "email:e", merges=2),
        profile("B", "anonymous_id:a", merges=3),
    )

    assert ("A", ("B", "C"), 8) == (resolution.survivor, resolution.absorbed, resolution.merges)
    assert ((0, 1, 2, 3), (3,)) == (resolution.kept, resolution.new)
    assert Outcome.MERGED is resolution.outcome


def test_a_known_event_changes_nothing() -> None:
    """Identifiers that are on one profile already attach nothing to it."""
    resolution = resolved("user_id:u email:e", profile("A", "user_id:u", "email:e"))

    assert ("A", (), ()) == (resolution.survivor, resolution.absorbed, resolution.new)
    assert Outcome.ATTACHED is resolution.outcome


def test_the_lowest_is_dropped_not_the_type_that_is_over() -> None:
    """A second user_id would join a person; so the shared email is left out, and stays."""
    resolution = resolved("user_id:new email:e", profile("A", "user_id:old", "email:e"))

    assert ((0,), None, (0,)) == (resolution.kept, resolution.survivor, resolution.new)
    assert ((1, DropReason.LIMIT_EXCEEDED),) == resolution.dropped
    assert Outcome.CREATED is resolution.outcome


def test_a_merge_over_a_limit_is_refused() -> None:
    """Two known people who share a device stay two."""
    resolution = resolved(
        "user_id:u anonymous_id:b",
        profile("A", "user_id:u", "anonymous_id:a"),
        profile("B", "user_id:v", "anonymous_id:b"),
    )

    assert ("A", (), (0,)) == (resolution.survivor, resolution.absorbed, resolution.kept)
    assert ((1, DropReason.LIMIT_EXCEEDED),) == resolution.dropped


def test_dropping_goes_on_until_nothing_objects() -> None:
    """The last go first, one by one, and what is left is resolved."""
    resolution = resolved(
        "user_id:u email:e anonymous_id:a ios.id:i",
        profile("A", "user_id:u"),
        profile("B", "user_id:v", "email:e"),
    )

    assert (0,) == resolution.kept
    assert [3, 2, 1] == [index for index, _ in resolution.dropped]


def test_a_new_profile_respects_limits_too() -> None:
    """Two user ids on one event found the profile of the first."""
    resolution = resolved("user_id:u user_id:v anonymous_id:a")

    assert ((0,), (0,)) == (resolution.kept, resolution.new)
    assert [(2, DropReason.LIMIT_EXCEEDED), (1, DropReason.LIMIT_EXCEEDED)] == list(
        resolution.dropped
    )


def test_a_dropped_identifier_on_the_events_profile_is_unharmed() -> None:
    """It is where the event ends already, so it is not reported."""
    resolution = resolved(
        "user_id:u email:e anonymous_id:a",
        profile("A", "user_id:u", "anonymous_id:a"),
        profile("B", "user_id:v", "email:e"),
    )

    assert ("A", (0,), (2,)) == (resolution.survivor, resolution.kept, resolution.unharmed)
    assert ((1, DropReason.LIMIT_EXCEEDED),) == resolution.dropped


def test_a_profile_over_a_tightened_limit_still_takes_its_own_events() -> None:
    """What adds nothing is never dropped, however far over a limit the profile is."""
    crowded = profile("A", "user_id:u", *(f"email:{number}" for number in range(9)))

    assert (0, 1, 2) == resolved("user_id:u email:1 email:2", crowded).kept


def test_a_type_that_was_over_does_not_stand_in_the_way_of_others() -> None:
    """Another type may be attached to a profile over a limit; more of the same may not."""
    crowded = profile("A", "user_id:u", *(f"email:{number}" for number in range(9)))

    assert (0, 1) == resolved("user_id:u anonymous_id:a", crowded).kept
    assert (0,) == resolved("user_id:u email:new", crowded).kept


def test_a_profile_over_a_limit_may_absorb_one_without_the_type() -> None:
    """A merge that raises no count above what one side had is no breach."""
    crowded = profile("A", *(f"email:{number}" for number in range(9)))

    assert (
        Outcome.MERGED is resolved("user_id:u email:1", crowded, profile("B", "user_id:u")).outcome
    )


def test_a_type_without_limit_is_never_over() -> None:
    """Without limits any number of identifiers becomes one person."""
    rules = Rules.from_document({"identifiers": [], "others": {"limit": None}}, 1)

    assert (0, 1, 2) == resolved("user_id:u user_id:v user_id:w", rules=rules).kept


def test_a_limit_of_zero_keeps_the_anchor() -> None:
    """A single identifier resolves whatever its limit; it only joins nobody."""
    rules = rules_of({"type": "app_id", "limit": 0})

    assert (0,) == resolved("app_id:a", rules=rules).kept
    assert ((1, DropReason.LIMIT_EXCEEDED),) == resolved("user_id:u app_id:a", rules=rules).dropped


@pytest.mark.parametrize(
    ("link_us", "is_kept"),
    [
        (NOW_US, False),
        (NOW_US - 7 * DAY_US + 1, False),
        (NOW_US - 7 * DAY_US, True),
        (NOW_US + 7 * DAY_US - 1, False),
        (NOW_US + 7 * DAY_US, True),
    ],
)
def test_a_window_reaches_both_ways(link_us: int, is_kept: bool) -> None:  # noqa: FBT001  # a parameter
    """Only what joined less than the window before or after the event counts."""
    known = profile("A", "user_id:u", "anonymous_id:a", "anonymous_id:b", link_us=link_us)
    resolution = resolved("user_id:u anonymous_id:c", known, rules=WEEKLY)

    assert is_kept is (resolution.kept == (0, 1))
    if not is_kept:
        assert ((1, DropReason.WINDOW_LIMIT_EXCEEDED),) == resolution.dropped


def test_a_merge_counts_both_sides_in_the_window() -> None:
    """Identifiers outside of the window stand in no merge's way, those inside do."""
    old = profile("A", "user_id:u", "anonymous_id:a", "anonymous_id:b", link_us=NOW_US - 9 * DAY_US)
    fresh = profile("B", "anonymous_id:c", "anonymous_id:d")
    crowded = profile("A", "user_id:u", "anonymous_id:a")

    assert Outcome.MERGED is resolved("user_id:u anonymous_id:c", old, fresh, rules=WEEKLY).outcome
    assert (0,) == resolved("user_id:u anonymous_id:c", crowded, fresh, rules=WEEKLY).kept


def test_the_reason_is_the_limit_for_ever_before_the_window_before_the_cap() -> None:
    """Where several object, a type limited for ever is what is reported, then a window."""
    small_caps = {"caps": {"identifiers": 1, "merges": 0}}
    rules = rules_of({"type": "anonymous_id", "limit": 1, "window": "weekly"}, **small_caps)
    first, second = profile("A", "user_id:u", "anonymous_id:a"), profile("B", "anonymous_id:b")
    rival = profile("B", "user_id:v", "anonymous_id:b")

    assert ((1, DropReason.LIMIT_EXCEEDED),) == resolved(
        "user_id:u anonymous_id:b", first, rival, rules=rules
    ).dropped
    assert ((1, DropReason.WINDOW_LIMIT_EXCEEDED),) == resolved(
        "user_id:u anonymous_id:b", first, second, rules=rules
    ).dropped
    assert ((1, DropReason.MERGE_CAP),) == resolved(
        "user_id:u anonymous_id:b", first, second, rules=rules_of(**small_caps)
    ).dropped


def test_each_drop_has_the_reason_of_its_moment() -> None:
    """A cap that objects after a limit no longer does is reported for the later drop."""
    rules = rules_of(caps={"identifiers": 1})
    resolution = resolved("user_id:u email:e user_id:v", rules=rules)

    assert ((2, DropReason.LIMIT_EXCEEDED), (1, DropReason.IDENTIFIER_CAP)) == resolution.dropped


@pytest.mark.parametrize(("merges", "outcome"), [(98, Outcome.MERGED), (99, Outcome.ATTACHED)])
def test_merges_are_capped(merges: int, outcome: Outcome) -> None:
    """A profile is made of at most 100 merges; one more is refused, and the event still lands."""
    resolution = resolved(
        "user_id:u email:e",
        profile("A", "user_id:u", merges=merges),
        profile("B", "email:e", merges=1),
    )

    assert outcome is resolution.outcome
    assert "A" == resolution.survivor
    if outcome is Outcome.ATTACHED:
        assert ((1, DropReason.MERGE_CAP),) == resolution.dropped


def test_identifiers_are_capped() -> None:
    """At the cap nothing more is attached; a profile over a lowered cap may absorb nobody."""
    rules = rules_of(caps={"identifiers": 3})
    full = profile("A", "user_id:u", "email:1", "email:2")
    over = profile("A", "user_id:u", "email:1", "email:2", "email:3")

    assert ((1, DropReason.IDENTIFIER_CAP),) == resolved(
        "user_id:u email:4", full, rules=rules
    ).dropped
    assert (0, 1) == resolved("user_id:u email:1", over, rules=rules).kept
    assert ((1, DropReason.IDENTIFIER_CAP),) == resolved(
        "user_id:u anonymous_id:a", over, profile("B", "anonymous_id:a"), rules=rules
    ).dropped


def test_the_cap_allows_what_it_says() -> None:
    """The last identifier under the cap is attached."""
    rules = rules_of(caps={"identifiers": 3})

    assert (0, 1) == resolved(
        "user_id:u email:1", profile("A", "user_id:u", "ios.id:i"), rules=rules
    ).kept


def test_an_event_resolves_something() -> None:
    """Resolving nothing is a mistake of the program, not of a caller."""
    with pytest.raises(AssertionError):
        resolve([], {}, DEFAULTS, NOW_US)
