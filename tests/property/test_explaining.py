"""Whatever was sent: what is joined has a path, what was dropped a reason, and ids a history."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from hypothesis import given
from hypothesis import strategies as st

from tests.engine.explaining import explained, rows_in_words
from tests.engine.in_process import InProcessService
from tests.property.messages import Message, messages, tight_rules
from unify_grpc.identity.outcomes import DropReason
from unify_grpc.machines import journal

if TYPE_CHECKING:
    from unify_grpc.machines.journal import Decision

COLLECTIONS = ("users", "accounts")
ALL_CALLS = ("identify", "identify", "track", "group", "alias")


def decisions_of(service: InProcessService) -> list[Decision]:
    """Returns everything the merge machine decided."""
    return [
        decision
        for record in service.merge_store.log.values()
        if record[:1] == b"D"
        for decision in journal.decode_round(record[1:]).decisions
    ]


def kept_by(decision: Decision) -> set[str]:
    """Returns what a decision's event kept, as `type:value`."""
    return {":".join(decision.ids[index][1:]) for index in decision.kept}


def fewest_events(decisions: list[Decision], start: str) -> dict[str, int]:
    """Returns how many events every identifier is away from one, by trying all of them."""
    groups = [kept_by(each) for each in decisions]
    away = {start: 0}
    reached = deque([start])
    while reached:
        here = reached.popleft()
        for group in groups:
            for other in group - away.keys() if here in group else ():
                away[other] = away[here] + 1
                reached.append(other)
    return away


def given_collection(decisions: list[Decision], collection: str) -> list[Decision]:
    """Returns the decisions on profiles of one collection."""
    return [each for each in decisions if each.collection == COLLECTIONS.index(collection)]


@given(rules=tight_rules(), sent=messages(calls=ALL_CALLS), is_restarted=st.booleans())
def test_every_two_identifiers_of_a_profile_have_a_shortest_path(
    *, rules: dict[str, Any], sent: list[Message], is_restarted: bool
) -> None:
    """Each step is an event that carried and kept both ends; no path has fewer decided events."""
    service = InProcessService(rules, shards=3)
    for message in sent:
        service.send(message)
    if is_restarted:
        service.checkpoint()
        service.restart()
    for collection in COLLECTIONS:
        decisions = given_collection(decisions_of(service), collection)
        kept = {(each.shard, each.position): kept_by(each) for each in decisions}
        for profile in service.partition(collection):
            first = min(profile)
            away = fewest_events(decisions, first)
            for second in sorted(profile):
                found = explained(service, first, second, collection)

                assert found.first_root == found.second_root
                assert [] == found.drops
                assert away[second] == len(found.path)
                here = first
                for step in found.path:
                    ends = {":".join(step.from_identifier), ":".join(step.to_identifier)}
                    assert here == ":".join(step.from_identifier)
                    assert ends <= kept[step.link.shard, step.link.position]
                    assert (step.link.shard, step.link.position) in found.events
                    here = ":".join(step.to_identifier)
                assert second == here


@given(tight_rules(), messages(calls=ALL_CALLS))
def test_every_drop_between_two_profiles_is_told(
    rules: dict[str, Any], sent: list[Message]
) -> None:
    """Whoever was left out of an event, and is on another profile than it, is told so."""
    service = InProcessService(rules, shards=3)
    dropped = []
    for message in sent:
        service.send(message)
    for decision in decisions_of(service):
        anchor = ":".join(decision.ids[0][1:])
        for index, reason in decision.drops:
            dropped.append((decision, anchor, ":".join(decision.ids[index][1:]), reason))
    for decision, anchor, other, reason in dropped:
        collection = COLLECTIONS[decision.collection]
        if service.segment_id(other, collection) is None:
            continue
        found = explained(service, anchor, other, collection)
        told = {
            (each.link.seq, f"{each.type}:{each.value}", DropReason(each.reason))
            for each in found.drops
        }

        if found.first_root == found.second_root:
            assert not found.drops
        else:
            assert (decision.seq, other, DropReason(reason)) in told
            assert sorted((each.link.seq for each in found.drops), reverse=True) == [
                each.link.seq for each in found.drops
            ]


@given(tight_rules(), messages(calls=ALL_CALLS))
def test_history_tells_what_every_id_ever_stood_for(
    rules: dict[str, Any], sent: list[Message]
) -> None:
    """Rows are the creations and the changes of canonical ids that a watcher sees, in order."""
    service = InProcessService(rules, shards=3)
    stood_for: dict[str, str] = {}
    expected: dict[str, list[tuple[str, str, str]]] = {}
    for message in sent:
        service.send(message)
        for collection in COLLECTIONS:
            for profile in service.partition(collection):
                now = service.segment_id(min(profile), collection)
                assert now is not None
                if now not in stood_for:
                    stood_for[now] = now
                    expected[now] = [(now, now, message["messageId"])]
        for issued, before in stood_for.items():
            now = service.canonical(issued)
            if now != before:
                stood_for[issued] = now
                expected[issued].append((issued, now, message["messageId"]))
    for collection in COLLECTIONS:
        for profile in service.partition(collection):
            first = min(profile)
            rows = rows_in_words(explained(service, first, first, collection).history, collection)
            canonical = service.segment_id(first, collection)
            own = [issued for issued, now in stood_for.items() if now == canonical]

            assert sorted(row for issued in own for row in expected[issued]) == sorted(rows)
            for issued in own:
                assert expected[issued] == [row for row in rows if row[0] == issued]
