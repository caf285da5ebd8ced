"""Lists of profiles: each profile once, in its order, on pages of any size."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Any

import pytest

from tests.engine.in_process import InProcessService
from tests.engine.listing import by_activity, by_prefix, by_trait, names_of
from unify_grpc.machines import list_reader, search_filling

if TYPE_CHECKING:
    from collections.abc import Sequence

RULES: dict[str, Any] = {"others": {"limit": None}, "identifiers": []}


def message(*names: str, traits: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    """A Segment message of a person with identifiers written `type:value`."""
    made: dict[str, Any] = {"type": "track", "event": "Seen", **fields}
    if traits is not None:
        made.update(type=fields.get("type", "identify"), traits=traits)
    for name in names:
        type_, _, value = name.partition(":")
        if type_ == "user_id":
            made["userId"] = value
        elif type_ == "anonymous_id":
            made["anonymousId"] = value
        else:
            made.setdefault("context", {}).setdefault("externalIds", []).append(
                {"id": value, "type": type_, "collection": "users", "encoding": "none"}
            )
    return made


def random_traffic(random: Random, count: int) -> list[tuple[str, ...]]:
    """Returns the identifiers of events: mostly one, at times a link of two."""
    users = [f"user_id:u{at}" for at in range(8)]
    devices = [f"anonymous_id:a{at}" for at in range(12)]
    return [
        random.choice(
            ((random.choice(users),), (random.choice(devices),))
            if random.random() < 0.8
            else ((random.choice(users), random.choice(devices)),)
        )
        for _ in range(count)
    ]


class Activity:
    """Who was active when, by a union-find of its own."""

    def __init__(self) -> None:
        self.groups: list[set[str]] = []
        """The last active comes last."""

    def add(self, names: Sequence[str]) -> None:
        """Takes an event."""
        joined = [group for group in self.groups if not group.isdisjoint(names)]
        self.groups = [group for group in self.groups if group not in joined]
        self.groups.append(set(names).union(*joined))

    @property
    def newest_first(self) -> list[frozenset[str]]:
        """Every profile."""
        return [frozenset(group) for group in reversed(self.groups)]


@pytest.mark.parametrize("seed", range(12))
def test_profiles_are_listed_by_their_newest_activity(seed: int) -> None:
    """Whatever links and pages there are, the list is every profile in order of its last event."""
    random = Random(seed)
    service = InProcessService(RULES, shards=random.randint(1, 4))
    activity = Activity()
    traffic = random_traffic(random, random.choice((1, 30, 150)))
    while traffic:
        batch = [traffic.pop() for _ in range(min(len(traffic), random.randint(1, 9)))]
        service.send_batch([message(*names) for names in batch])
        for names in batch:
            activity.add(names)
        if random.random() < 0.1:
            service.checkpoint()
            service.restart()

    for size in (1, 2, 7, 100):
        assert activity.newest_first == names_of(service, by_activity(), size)


@pytest.mark.parametrize("seed", range(8))
def test_a_list_that_nobody_holds_still_shows_nothing_twice(seed: int) -> None:
    """While events and merges go on, each profile comes at most once, and none twice by parts."""
    random = Random(seed)
    service = InProcessService(RULES, shards=3)
    service.send_batch([message(*names) for names in random_traffic(random, 60)])

    def go_on() -> None:
        service.send_batch([message(*names) for names in random_traffic(random, 3)])

    shown = names_of(service, by_activity(), 2, go_on)
    names = [name for profile in shown for name in profile]
    # Merged since, two profiles may have been shown as they were then; nothing is shown again.
    assert len(shown) == len(set(shown))
    assert len(names) == len(set(names))


def test_little_is_looked_at_for_one_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page may come short, and the next goes on: also where one profile has all events."""
    monkeypatch.setattr(list_reader, "EVENTS_LOOKED_MAX", 5)
    service = InProcessService(RULES, shards=2)
    service.send(message("user_id:old"))
    for _ in range(300):
        service.send(message("user_id:busy"))

    assert [{"user_id:busy"}, {"user_id:old"}] == names_of(service, by_activity(), 10)


def test_accounts_have_a_list_of_their_own() -> None:
    """A group call is activity of the account too; people and accounts never mix."""
    service = InProcessService(RULES)
    service.send(message("user_id:u", type="group", groupId="g", traits={}))
    service.send(message("user_id:v"))

    assert [{"group_id:g"}] == names_of(service, by_activity(1), 5)
    assert [{"user_id:v"}, {"user_id:u"}] == names_of(service, by_activity(), 5)


def test_what_is_deleted_is_still_activity() -> None:
    """The events of a deleted identifier stay its profile's, and it is found by it no more."""
    service = InProcessService(RULES)
    service.send(message("user_id:u", "anonymous_id:abc"))
    service.send(message("user_id:w"))
    service.send(message("anonymous_id:abc"))
    assert [{"user_id:u", "anonymous_id:abc"}, {"user_id:w"}] == names_of(service, by_activity(), 5)
    service.delete("user_id:u", ["anonymous_id:abc"])

    assert [{"user_id:u"}, {"user_id:w"}] == names_of(service, by_activity(), 5)
    assert [] == names_of(service, by_prefix("anonymous_id", "ab"), 5)
    service.send(message("anonymous_id:abc"))
    assert [{"anonymous_id:abc"}] == names_of(service, by_prefix("anonymous_id", "ab"), 5)
    assert [{"anonymous_id:abc"}, {"user_id:u"}, {"user_id:w"}] == names_of(
        service, by_activity(), 5
    )


@pytest.mark.parametrize("seed", range(6))
def test_profiles_are_found_by_the_beginning_of_an_identifier(seed: int) -> None:
    """Every profile with one comes once, at the first of its values in order."""
    random = Random(seed)
    service = InProcessService(RULES, shards=random.randint(1, 3))
    activity = Activity()
    for names in random_traffic(random, 60):
        service.send(message(*names))
        activity.add(names)
    service.checkpoint()

    for type_, beginning in (("user_id", "u"), ("anonymous_id", "a1"), ("user_id", "u3")):
        start = f"{type_}:{beginning}"
        holders = [
            (min(name for name in group if name.startswith(start)), frozenset(group))
            for group in activity.groups
            if any(name.startswith(start) for name in group)
        ]
        expected = [profile for _, profile in sorted(holders)]
        for size in (1, 3, 50):
            assert expected == names_of(service, by_prefix(type_, beginning), size)


def test_a_long_identifier_is_found_by_its_beginning() -> None:
    """Group ids may be longer than a key of a store: their ends are told apart all the same."""
    service = InProcessService(RULES)
    values = ["é" * 490 + end for end in ("a", "b", "c")]
    for value in values:
        service.send(message(type="group", groupId=value, traits={}))

    found = names_of(service, by_prefix("group_id", "éé", 1), 2)
    assert {f"group_id:{value}" for value in values} == set().union(*found)
    assert 3 == len(found)


def test_only_what_is_on_a_profile_is_found() -> None:
    """An identifier that was left out of a link is on no profile, and found by nothing."""
    service = InProcessService({"others": {"limit": 1}})
    service.send(message("user_id:u", "anonymous_id:abc"))
    service.send(message("user_id:u", "anonymous_id:abd"))

    assert [{"user_id:u", "anonymous_id:abc"}] == names_of(
        service, by_prefix("anonymous_id", "ab"), 5
    )


def test_profiles_are_found_by_a_trait() -> None:
    """By the value that the profile has now, whichever members set it, whatever their case."""
    service = InProcessService(RULES)
    service.send(message("user_id:u1", traits={"name": "José GARCÍA", "plan": "x"}))
    service.send(message("user_id:u2", traits={"name": "JOSe\u0301 garcía"}))
    service.send(message("user_id:u3", traits={"name": "José García"}))
    service.send(message("user_id:u3", traits={"name": "Somebody"}))
    service.send(message("user_id:u4", traits={"company": 42}))
    service.send(message("anonymous_id:a2", traits={"name": "José GARCÍA"}))
    found = by_trait("name", "josé garcÍa")

    assert {frozenset({"user_id:u1"}), frozenset({"anonymous_id:a2"})} == set(
        names_of(service, found, 1)
    )
    service.send(message("user_id:u1", "anonymous_id:a2"))
    for size in (1, 5):
        assert [{"user_id:u1", "anonymous_id:a2"}] == names_of(service, found, size)
    assert [{"user_id:u4"}] == names_of(service, by_trait("company", "42"), 5)
    assert [] == names_of(service, by_trait("plan", "x"), 5)
    service.send(message("user_id:u1", traits={"name": None}))
    service.send(message("user_id:u1", traits={"name": None}))
    assert [] == names_of(service, found, 5)


def test_an_account_is_found_by_its_traits() -> None:
    """The traits of a group call are the account's."""
    service = InProcessService(RULES)
    service.send(message("user_id:u", type="group", groupId="g", traits={"name": "Acme"}))

    assert [{"group_id:g"}] == names_of(service, by_trait("name", "acme", 1), 5)
    assert [] == names_of(service, by_trait("name", "acme"), 5)


@pytest.mark.parametrize("seed", range(4))
def test_search_is_complete_for_a_trait_that_is_named_later(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was stored before is gone through in slices, whatever comes and breaks in between."""
    monkeypatch.setattr(search_filling, "SLICE_ROWS_MAX", 3)
    random = Random(seed)
    service = InProcessService(RULES, shards=2)
    for at in range(20):
        service.send(message(f"user_id:u{at}", traits={"plan": f"p{at % 2}", "name": "same"}))
    service.set_rules(RULES | {"searchable_traits": ["name", "plan"]})
    service.send(message("user_id:u0", traits={"plan": "new"}))
    service.send(message("user_id:w", traits={"plan": "p1"}))
    while not all(shard.execute(shard.machine.fill_search()) for shard in service.shards):
        user = f"user_id:u{random.randint(1, 19)}"
        service.send(message(user, traits={"plan": random.choice(("p0", "p1"))}))
        if random.random() < 0.3:
            service.checkpoint()
        if random.random() < 0.3:
            service.restart()

    for value in ("p0", "p1", "new"):
        expected = {
            profile
            for profile in service.partition()
            if service.traits(min(profile))["plan"] == value
        }
        assert expected == set(names_of(service, by_trait("plan", value), 4))
    assert 20 == len(names_of(service, by_trait("name", "same"), 4))


@pytest.mark.parametrize("between", [[], ["plan"]])
def test_search_is_complete_for_a_trait_that_was_not_named_for_a_while(between: list[str]) -> None:
    """What came while a trait was not named is gone through when it is named again, by whomever."""
    service = InProcessService(RULES | {"searchable_traits": ["name"]}, shards=1)
    service.send(message("user_id:u1", traits={"name": "same"}))
    service.set_rules(RULES | {"searchable_traits": between})
    service.send(message("user_id:u1", traits={"plan": "x"}))
    service.send(message("user_id:u2", traits={"name": "same"}))
    service.set_rules(RULES | {"searchable_traits": ["name"]})
    service.send(message("user_id:u1", traits={"plan": "y"}))
    service.send(message("user_id:u2", traits={"plan": "y"}))
    while not all(shard.execute(shard.machine.fill_search()) for shard in service.shards):
        pass

    assert 2 == len(names_of(service, by_trait("name", "same"), 4))


def test_a_new_space_needs_nothing_gone_through() -> None:
    """The names that a space begins with are indexed from its first event on."""
    service = InProcessService(RULES)
    service.send(message("user_id:u", traits={"name": "x"}))
    ends = [shard.store.next_number for shard in service.shards]

    assert all(shard.execute(shard.machine.fill_search()) for shard in service.shards)
    assert ends == [shard.store.next_number for shard in service.shards]
