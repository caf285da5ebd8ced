"""The checks at the end of an episode see what they are there for."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest
from unify_client import EventResult, EventStatus, Outcome

from tests.chaos.audit import Audit, linked_pairs, sides_of
from tests.chaos.findings import Findings
from tests.chaos.holdings import COLLECTIONS, HeldEvent, HeldProfile, Holdings
from tests.chaos.ledger import Ledger
from tests.chaos.people import OPEN_RULES, People
from tests.reference.backend import ReferenceBackend

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.chaos.ledger import Message

EVENTS = 120


def written() -> list[Message]:
    """What one caller sends."""
    people = People(random.Random(7), "caller")
    return [people.next_message() for _ in range(EVENTS)]


def ledger_of(messages: list[Message]) -> Ledger:
    """A ledger in which all is acknowledged."""
    ledger = Ledger()
    ledger.sending(messages)
    stored = EventResult(0, EventStatus.STORED, None, "", None, None, Outcome.CREATED, ())
    for message in messages:
        ledger.acked(message, stored, is_resolved=True)
    return ledger


def held_by_reference(messages: list[Message]) -> Holdings:
    """What a service without a mistake would hold."""
    reference = ReferenceBackend(OPEN_RULES)
    for number, message in enumerate(messages):
        reference.send(message | {"received_at": 2 * 10**15 + number})
    by_id = {message["messageId"]: message for message in messages}
    ids = {
        (collection, each): f"{collection}-{number}"
        for collection in COLLECTIONS
        for number, each in enumerate(sorted(reference.partition(collection), key=min))
    }
    pairs = linked_pairs(reference, set())
    return {
        collection: [
            HeldProfile(
                ids[collection, each],
                each,
                reference.traits(min(each), collection),
                [event_of(by_id[name]) for name in reference.events(min(each), collection)],
                len(reference.events(min(each), collection)),
                frozenset(ids["users", user] for user, account in pairs if account == each),
            )
            for each in sorted(reference.partition(collection), key=min)
        ]
        for collection in COLLECTIONS
    }


def event_of(message: Message) -> HeldEvent:
    """How an event is listed."""
    payload = {name: message.get(name) or {} for name in ("traits", "properties", "context")}
    name = message.get("event") or message.get("name") or ""
    return HeldEvent(message["messageId"], message["type"], name, payload, ())


def kinds(messages: list[Message], holdings: Holdings, deleted: tuple[str, ...] = ()) -> set[str]:
    """Which promises an audit finds broken."""
    findings = Findings()
    Audit(ledger_of(messages).entries(), holdings, deleted, findings).check()
    return {text.partition(":")[0] for text in findings.texts}


def changed(profile: HeldProfile, events: list[HeldEvent]) -> HeldProfile:
    """A profile with other events."""
    return profile._replace(events=events, events_count=len(events))


def test_a_sound_service_breaks_no_promise() -> None:
    """What the reference holds, the audit accepts."""
    messages = written()

    assert set() == kinds(messages, held_by_reference(messages))


def lose_one(holdings: Holdings) -> None:
    """An event is gone."""
    profiles = holdings["users"]
    profiles[0] = changed(profiles[0], profiles[0].events[1:])


def double_one(holdings: Holdings) -> None:
    """An event is there twice."""
    profiles = holdings["users"]
    profiles[0] = changed(profiles[0], [*profiles[0].events, profiles[0].events[0]])


def make_one_up(holdings: Holdings) -> None:
    """An event is there that nobody sent."""
    profiles = holdings["users"]
    made_up = profiles[0].events[0]._replace(message_id="nobody's")
    profiles[0] = changed(profiles[0], [*profiles[0].events, made_up])


def change_one(holdings: Holdings) -> None:
    """An event's payload is another one."""
    profiles = holdings["users"]
    other = profiles[0].events[0]._replace(payload={"traits": {"x": 1}})
    profiles[0] = changed(profiles[0], [other, *profiles[0].events[1:]])


def miscount(holdings: Holdings) -> None:
    """A profile says that it has more events than it has."""
    profiles = holdings["users"]
    profiles[0] = profiles[0]._replace(events_count=profiles[0].events_count + 1)


def swap_trait(holdings: Holdings) -> None:
    """A trait has a value that was overwritten."""
    profiles = holdings["users"]
    at = next(number for number, each in enumerate(profiles) if "plan" in each.traits)
    profiles[at] = profiles[at]._replace(traits=profiles[at].traits | {"plan": "an older one"})


def part_two(holdings: Holdings) -> None:
    """An identifier is on a profile of its own."""
    profiles = holdings["users"]
    at = next(number for number, each in enumerate(profiles) if len(each.identifiers) > 1)
    parted = min(profiles[at].identifiers)
    profiles[at] = profiles[at]._replace(identifiers=profiles[at].identifiers - {parted})
    profiles.append(HeldProfile("new", frozenset({parted}), {}, [], 0, frozenset()))


def share_one(holdings: Holdings) -> None:
    """An identifier is on two profiles."""
    profiles = holdings["users"]
    shared = min(profiles[0].identifiers)
    profiles[1] = profiles[1]._replace(identifiers=profiles[1].identifiers | {shared})


def unlink(holdings: Holdings) -> None:
    """A person is not linked to an account."""
    profiles = holdings["accounts"]
    at = next(number for number, each in enumerate(profiles) if each.linked)
    profiles[at] = profiles[at]._replace(linked=frozenset())


@pytest.mark.parametrize(
    ("damage", "promise"),
    [
        (lose_one, "an acknowledged event is lost"),
        (double_one, "an event is stored twice"),
        (make_one_up, "an event was never sent"),
        (change_one, "an event was changed"),
        (miscount, "a profile counts its events wrongly"),
        (swap_trait, "traits are not the reference's"),
        (part_two, "the partition is not the reference's"),
        (share_one, "an identifier is on two profiles"),
        (unlink, "links of accounts are not the reference's"),
    ],
)
def test_damage_is_found(damage: Callable[[Any], None], promise: str) -> None:
    """Each kind of damage is found by its name."""
    messages = written()
    holdings = held_by_reference(messages)
    damage(holdings)

    assert promise in kinds(messages, holdings)


def test_half_an_event_is_torn() -> None:
    """An event that nobody acknowledged is there on both of its sides, or on none."""
    messages = written()
    torn = next(each for each in messages if len(sides_of(each)) > 1)
    holdings = held_by_reference(messages)
    holdings["accounts"] = [
        changed(each, [event for event in each.events if event.message_id != torn["messageId"]])
        for each in holdings["accounts"]
    ]
    ledger, findings = Ledger(), Findings()
    ledger.sending(messages)
    ledger.failed(messages)
    Audit(ledger.entries(), holdings, (), findings).check()

    assert any(text.startswith(f"an event is torn: {torn['messageId']}") for text in findings.texts)


def test_an_unknown_event_may_be_stored_or_not() -> None:
    """An event that nobody acknowledged is no loss, and is none too many."""
    messages = written()
    ledger = Ledger()
    ledger.sending(messages)
    ledger.failed(messages[:1])
    for kept in (messages, messages[1:]):
        findings = Findings()
        Audit(ledger.entries(), held_by_reference(kept), (), findings).check()

        assert [] == findings.texts


def test_what_was_deleted_must_not_be_back() -> None:
    """A deleted identifier on a profile is found; without it the profile is as it must be."""
    people = People(random.Random(7), "caller")
    messages = [people.identify_with("gone@example.com")]
    holdings = held_by_reference(messages)
    deleted = ("email:gone@example.com",)

    assert "what was deleted is back" in kinds(messages, holdings, deleted)
    profile = holdings["users"][0]
    left = profile.identifiers - {"email:gone@example.com"}
    holdings["users"] = [profile._replace(identifiers=left)]
    assert set() == kinds(messages, holdings, deleted)
