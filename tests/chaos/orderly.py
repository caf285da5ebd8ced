"""A caller whose order is known: one event at a time, repeated until it is acknowledged.

It writes random histories under rules that bite, each into a space of its own, and deletes
identifiers in between. So the reference knows the result in full, with what was dropped.
"""

from __future__ import annotations

import random
import time
import uuid
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from unify_client import (
    EventStatus,
    Identifier,
    IdentifierNotDeletable,
    IdentifierNotFound,
    Outcome,
    ProfileNotFound,
    RequestInvalid,
    RetryPolicy,
    ServiceError,
    UnifyClient,
)

from tests.chaos.audit import linked_pairs
from tests.chaos.callers import Caller
from tests.chaos.holdings import COLLECTIONS, read_all
from tests.chaos.spaces import PATIENT, admin_of, delete_patiently, is_harmless, make_space
from tests.conformance.grpc_backend import to_wire
from tests.reference.backend import ReferenceBackend
from tests.reference.histories import history

if TYPE_CHECKING:
    from collections.abc import Iterator

    from unify_client import EventResult

    from tests.chaos.findings import Findings
    from tests.chaos.holdings import Holdings
    from tests.chaos.ledger import Message
    from tests.chaos.spaces import ChaosSpace
    from tests.reference.backend import Outcome as Expected

ONCE = RetryPolicy(deadline_s=0.0)
_EVENTS = 30
_DELETION_CHANCE = 0.12
_STRANGER_CHANCE = 0.1
_PATIENCE_S = 400.0
_START = datetime(2025, 1, 1, tzinfo=UTC)
LATE_US = 2 * 10**15
"""A time of receipt in microseconds, years from now."""
_IDS = ("userId", "anonymousId", "groupId", "previousId")


class Sent(NamedTuple):
    """One event of a history that was acknowledged."""

    message: Message
    expected: Expected


class Told:
    """One history and what the reference makes of it."""

    def __init__(self, seed: int, space: ChaosSpace, rules: dict[str, Any]) -> None:
        self.seed = seed
        self.space = space
        self.reference = ReferenceBackend(rules)
        self.sent: list[Sent] = []
        self.repeats_count = 0
        """Attempts that failed."""
        self.deletions_count = 0

    @property
    def name(self) -> str:
        """What a finding calls it."""
        return f"history({self.seed}, {_EVENTS})"


class Orderly(Caller):
    """Writes one history after the other."""

    def __init__(self, name: str, address: str, findings: Findings, seed: str) -> None:
        super().__init__(name, findings)
        self.told: list[Told] = []
        self._source = random.Random(f"{seed} {name}")
        self._address = address
        self._admin = self.keep(admin_of(address))

    def step(self) -> None:
        """Writes a history, or as much of it as there is time for."""
        seed = self._source.randrange(1 << 30)
        rules, events = history(seed, _EVENTS)
        name = f"{self.name}-{len(self.told)}"
        told = Told(seed, make_space(self._admin, self._address, name, rules), rules)
        self.told.append(told)
        with told.space.writer(ONCE) as writer, told.space.reader(PATIENT) as reader:
            for number, message in enumerate(map(timed, range(len(events)), events)):
                if self.stopping.is_set():
                    return
                self._send(told, writer, message, number)
                if self._source.random() < _DELETION_CHANCE:
                    self._delete(told, reader, number)
                self.pause(self._source.uniform(0, 0.1))

    def _send(self, told: Told, writer: UnifyClient, message: Message, number: int) -> None:
        expected = told.reference.send(message)
        sent_at = time.monotonic()
        give_up = sent_at + _PATIENCE_S
        attempt = 0
        while time.monotonic() < give_up:
            result = self._attempt(writer, message)
            if result is None:
                told.repeats_count += 1
                attempt += 1
                self.pause(0.2)
                continue
            self.answered_since = sent_at
            told.sent.append(Sent(message, expected))
            problem = answer_difference(expected, result, is_repeated=attempt > 0)
            if problem:
                text = f"{told.name}, event {number} ({message['messageId']}): {problem}"
                self.findings.note("an answer is not the reference's", text)
            return
        text = f"{told.name}, event {number}: no answer in {_PATIENCE_S:.0f} s"
        self.findings.note("an event is never acknowledged", text)
        self.stop()

    def _attempt(self, writer: UnifyClient, message: Message) -> EventResult | None:
        """Sends an event once; None if it has to be sent again."""
        try:
            result = writer.ingest([to_wire(message)])[0]
        except ServiceError as error:
            if not is_harmless(error):
                self.findings.note("a call fails for good", f"{self.name}: {error}")
            return None
        # After its deadline a link is answered PENDING: not the answer that was asked for.
        return None if result.outcome is Outcome.PENDING else result

    def _delete(self, told: Told, reader: UnifyClient, number: int) -> None:
        """Deletes an identifier, most often one that may be."""
        collection = self._source.choice(COLLECTIONS)
        profiles = sorted(map(sorted, told.reference.partition(collection)))
        if not profiles:
            return
        profile, stranger = self._source.choice(profiles), self._source.choice(profiles)
        lookup = self._source.choice(profile)
        is_stranger = self._source.random() < _STRANGER_CHANCE
        gone = self._source.choice(stranger if is_stranger else profile)
        expected = told.reference.delete(lookup, [gone], collection)
        request_id = str(uuid.UUID(int=self._source.getrandbits(128), version=4))
        found = _deletion(reader, _named(collection, lookup), _named(collection, gone), request_id)
        told.deletions_count += 1
        if found != expected:
            text = f"{told.name}, deletion after event {number}: {found}, not {expected}"
            self.findings.note("a deletion is not the reference's", text)


def check_told(told: Told, findings: Findings) -> None:
    """Notes everything in which a space differs from what the reference made of its history."""
    with told.space.reader_at_rest() as reader:
        holdings = read_all(reader)
    for problem in differences(told, holdings):
        findings.note("a history is not the reference's", f"{told.name}: {problem}")


def send_again(told: Told, findings: Findings) -> None:
    """Sends a history once more: nothing of it is new."""
    with told.space.writer() as writer:
        results = [writer.ingest([to_wire(each.message)])[0] for each in told.sent]
    for sent, result in zip(told.sent, results, strict=True):
        wanted = "REJECTED" if sent.expected.status == "REJECTED" else "DUPLICATE"
        if result.status != wanted:
            text = f"{told.name}, {sent.message['messageId']}: {result.status}"
            findings.note("an event sent again is not known", text)


def timed(number: int, message: Message) -> Message:
    """Returns an event whose time hangs on no clock, and whose ids are texts as on the wire."""
    fixed = {key: value for key, value in message.items() if key != "sentAt"}
    fixed |= {key: str(fixed[key]) for key in _IDS if fixed.get(key) is not None}
    if not any(key in fixed for key in ("timestamp", "originalTimestamp")):
        at = _START + timedelta(seconds=number, milliseconds=number)
        fixed["timestamp"] = at.isoformat(timespec="milliseconds")
    # For the reference alone: received in this order, and later than everything happened.
    return fixed | {"received_at": LATE_US + number}


def answer_difference(expected: Expected, result: EventResult, *, is_repeated: bool) -> str | None:
    """Says in what the answer to one event differs; a repetition may meet its first attempt."""
    status = str(result.status)
    if is_repeated and (status, expected.status) == (EventStatus.DUPLICATE, "STORED"):
        return None
    reason = str(result.reason) if result.reason else None
    if (status, reason) != (expected.status, expected.reason):
        return f"{status} {reason}, not {expected.status} {expected.reason}"
    if expected.status == "STORED" and result.outcome != expected.outcome:
        return f"{result.outcome}, not {expected.outcome}"
    if expected.status == "DUPLICATE":
        return None
    drops = sorted(
        (each.identifier.collection, each.identifier.type, each.identifier.value, str(each.reason))
        for each in result.drops
    )
    wanted = sorted(tuple(each) for each in expected.drops)
    return None if drops == wanted else f"{len(drops)} drops, or other ones than {len(wanted)}"


def differences(told: Told, holdings: Holdings) -> Iterator[str]:
    """Yields in what the profiles of a space differ from the reference's."""
    reference = told.reference
    for collection in COLLECTIONS:
        found = {profile.identifiers: profile for profile in holdings[collection]}
        wanted = reference.partition(collection)
        if wanted != found.keys() or len(found) != len(holdings[collection]):
            yield f"{collection}: {len(found)} profiles, {len(wanted - found.keys())} missing"
            continue
        for identifiers, profile in found.items():
            anyone = min(identifiers)
            if reference.traits(anyone, collection) != profile.traits:
                yield f"{collection}: traits of {profile.segment_id}"
            listed = sorted(each.message_id for each in profile.events)
            if sorted(reference.events(anyone, collection)) != listed:
                yield f"{collection}: {len(listed)} events of {profile.segment_id}"
    pairs = {
        (person.identifiers, account.identifiers)
        for account in holdings["accounts"]
        for person in holdings["users"]
        if person.segment_id in account.linked
    }
    if pairs != linked_pairs(reference, set()):
        yield "links of accounts"
    yield from _drop_differences(told, holdings)


def _drop_differences(told: Told, holdings: Holdings) -> Iterator[str]:
    """Yields events whose drops, as listed, are others than they should be."""
    wanted, found = defaultdict[str, set[Any]](set), defaultdict[str, set[Any]](set)
    for sent in told.sent:
        if sent.expected.status == "STORED":
            wanted[sent.message["messageId"]].update(map(tuple, sent.expected.drops))
    for collection in COLLECTIONS:
        for profile in holdings[collection]:
            for event in profile.events:
                found[event.message_id].update(event.drops)
    for message_id, drops in found.items():
        if drops != wanted[message_id]:
            yield f"{message_id}: {len(drops)} drops, or other ones than {len(wanted[message_id])}"


def _deletion(reader: UnifyClient, name: Identifier, gone: Identifier, request_id: str) -> str:
    """Deletes an identifier until that is answered; returns the reference's word for it."""
    try:
        delete_patiently(reader, name, gone, request_id)
    except ProfileNotFound:
        return "no_profile"
    except IdentifierNotFound:
        return "not_on_profile"
    except IdentifierNotDeletable as refused:
        return refused.metadata["refusal"].lower()
    except RequestInvalid:
        return "not_one"
    return "deleted"


def _named(collection: str, identifier: str) -> Identifier:
    type_, _, value = identifier.partition(":")
    return Identifier(collection, type_, value)
