"""What holds for the machines together, whatever is sent to them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import given
from hypothesis import strategies as st

from tests.engine.in_process import InProcessService
from tests.property.messages import UNLIMITED, Message, identifiers_of, messages, tight_rules

if TYPE_CHECKING:
    from tests.engine.in_process import Result

COLLECTIONS = ("users", "accounts")
ALL_CALLS = ("identify", "identify", "track", "group", "alias")
FREE = UNLIMITED | {
    "identifiers": [*UNLIMITED["identifiers"], {"type": "phone", "limit": None, "custom": True}]
}
"""No limits, and `phone` promoted from traits and properties."""


def contents(service: InProcessService) -> dict[str, Any]:
    """Returns every profile with its traits and events, and the merges."""
    found: dict[str, Any] = {"merges": service.merges()}
    for collection in COLLECTIONS:
        for profile in service.partition(collection):
            first = min(profile)
            found[f"{collection} {sorted(profile)}"] = (
                service.traits(first, collection),
                service.events(first, collection),
                service.segment_id(first, collection),
            )
    return found


def without_ids(found: dict[str, Any]) -> dict[str, Any]:
    """Returns contents without what the order of arrival decides: survivors and merges."""
    return {name: (value[0], sorted(value[1])) for name, value in found.items() if name != "merges"}


def components(sent: list[Message]) -> set[frozenset[str]]:
    """Returns the connected components of "seen on one message"."""
    joined: list[set[str]] = []
    for message in sent:
        merged = set(identifiers_of(message))
        apart = []
        for each in joined:
            if each & merged:
                merged |= each
            else:
                apart.append(each)
        joined = [*apart, merged]
    return {frozenset(each) for each in joined}


def newest_traits(sent: list[Message], profile: frozenset[str]) -> dict[str, Any]:
    """Returns the traits of a profile: of each the value with the greatest (time, message id)."""
    cells: dict[str, tuple[str, str, Any]] = {}
    for message in sent:
        if message["type"] != "identify" or not profile & set(identifiers_of(message)):
            continue
        for name, value in message["traits"].items():
            cell = (message["timestamp"], message["messageId"], value)
            if name not in cells or cells[name][:2] < cell[:2]:
                cells[name] = cell
    return {name: cell[2] for name, cell in cells.items() if cell[2] is not None}


@given(messages(), st.randoms(use_true_random=False))
def test_without_limits_the_order_of_arrival_does_not_matter(
    sent: list[Message], order: Any
) -> None:
    """Profiles are the connected components and traits the last written ones, in any order."""
    shuffled = list(sent)
    order.shuffle(shuffled)
    found = []
    for arrival in (sent, shuffled):
        service = InProcessService(FREE, shards=3)
        for message in arrival:
            service.send(message)
        found.append(without_ids(contents(service)))
        profiles = service.partition()

        assert components(sent) == profiles
        for profile in profiles:
            assert newest_traits(sent, profile) == service.traits(min(profile))

    assert found[0] == found[1]


@given(tight_rules(), messages(calls=ALL_CALLS))
def test_one_shard_equals_four(rules: dict[str, Any], sent: list[Message]) -> None:
    """The number of shards changes no answer, no profile, no trait, no event and no segment_id."""
    one, four = (InProcessService(rules, shards=count) for count in (1, 4))

    assert [one.send(each) for each in sent] == [four.send(each) for each in sent]
    assert contents(one) == contents(four)


@given(tight_rules(), messages(calls=ALL_CALLS))
def test_replaying_all_input_changes_nothing(rules: dict[str, Any], sent: list[Message]) -> None:
    """Every stored message sent again is a duplicate with the same outcome, and no row changes."""
    service = InProcessService(rules, shards=3)
    first = [service.send(each) for each in sent]
    before = service.state()
    records = [shard.store.next_number for shard in service.shards]
    again = [service.send(each) for each in sent]

    assert [_as_duplicate(each) for each in first] == [each.status for each in again]
    assert [each.outcome for each in first] == [each.outcome for each in again]
    assert [sorted(each.drops) for each in first] == [sorted(each.drops) for each in again]
    assert before == service.state()
    assert records == [shard.store.next_number for shard in service.shards]


def _as_duplicate(result: Result) -> str:
    return "DUPLICATE" if result.status == "STORED" else result.status


@given(tight_rules(), messages(calls=ALL_CALLS), st.data())
def test_batches_may_be_split_or_joined(
    rules: dict[str, Any], sent: list[Message], data: st.DataObject
) -> None:
    """The same messages in batches of any sizes give the same profiles, traits and events."""
    alone = InProcessService(rules, shards=3)
    for message in sent:
        alone.send(message)
    batched = InProcessService(rules, shards=3)
    rest = sent
    while rest:
        count = data.draw(st.integers(1, len(rest)), label="events in the batch")
        batched.send_batch(rest[:count])
        rest = rest[count:]

    assert without_ids(contents(alone)) == without_ids(contents(batched))


@given(tight_rules(), messages(calls=ALL_CALLS), st.data())
def test_a_restart_at_any_point_gives_the_same_rows(
    rules: dict[str, Any], sent: list[Message], data: st.DataObject
) -> None:
    """Rows after a restart, from any checkpoint, are those before, and it goes on as if nothing."""
    undisturbed = InProcessService(rules, shards=3)
    service = InProcessService(rules, shards=3)
    checkpoint, restart = sorted(
        data.draw(st.integers(0, len(sent)), label="position") for _ in range(2)
    )
    for index in range(len(sent) + 1):
        if index == checkpoint:
            service.checkpoint()
        if index == restart:
            before = (service.state(), memory(service))
            service.restart()

            assert before == (service.state(), memory(service))
        if index < len(sent):
            assert undisturbed.send(sent[index]) == service.send(sent[index])

    assert contents(undisturbed) == contents(service)


def memory(service: InProcessService) -> list[Any]:
    """Returns what the machines keep in memory beside their rows."""
    shards = [each.machine for each in service.shards]
    return [
        *((each.pending, each.spaces, each.incarnations) for each in shards),
        (service.merge.seq, service.merge.rules, service.merge.incarnations),
    ]
