"""The traffic of the benches is what their README says, and its account of it is right."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from random import Random
from typing import TYPE_CHECKING, Any

from bench.deletion import draw_deletion
from bench.ledger import Ledger, Name
from bench.merges import PairStream, StormShape, StormStream
from bench.workload import (
    EVEN_SHIFT,
    HOT_NAME,
    ZIPF_SHIFT,
    Mix,
    Stream,
    check_sample,
    hot_sample,
)
from tests.reference.backend import ReferenceBackend
from unify_grpc._pb.unify.v1 import ingest_service_pb2

if TYPE_CHECKING:
    from unify_grpc._pb.unify.v1.event_pb2 import Event

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
EVENTS = 4_000


def sent(stream: Stream, events: int = EVENTS, arrivals: int = 100) -> list[Event]:
    """Returns a part of a stream as the service reads it."""
    batches, _ = stream.batches(events, batch_events=300, mix=Mix(arrivals, ZIPF_SHIFT))
    requests = map(ingest_service_pb2.IngestStreamRequest.FromString, batches)
    return [event for request in requests for event in request.events]


def message(event: Event) -> dict[str, Any]:
    """Returns an event as a Segment message, as the reference reads it."""
    time_us = event.original_timestamp.seconds * 1_000_000 + event.original_timestamp.nanos // 1000
    fields = {
        "type": event.type,
        "messageId": event.message_id,
        "userId": event.user_id or None,
        "anonymousId": event.anonymous_id or None,
        "event" if event.type == "track" else "name": event.name,
        "originalTimestamp": (EPOCH + timedelta(microseconds=time_us)).isoformat(),
        "traits": json.loads(event.traits_json or b"null"),
        "properties": json.loads(event.properties_json or b"null"),
        "context": json.loads(event.context_json),
    }
    return {key: value for key, value in fields.items() if value is not None}


def test_the_same_seed_gives_the_same_bytes() -> None:
    """A run can be repeated: seed and stream number decide every byte."""
    first, again, other = Stream(7, 0), Stream(7, 0), Stream(7, 1)

    parts = [
        stream.batches(500, batch_events=100, mix=Mix(50, ZIPF_SHIFT))
        for stream in (first, again, other)
    ]

    assert parts[0] == parts[1]
    assert parts[0] != parts[2]


def test_events_have_the_shape_that_is_promised() -> None:
    """Events have 250 to 700 bytes and one to four identifiers; requests ask for RESOLVED."""
    stream = Stream(1, 0)
    batches, tally = stream.batches(10_000, batch_events=300, mix=Mix(100, ZIPF_SHIFT))
    requests = [ingest_service_pb2.IngestStreamRequest.FromString(batch) for batch in batches]
    sizes = [event.ByteSize() for request in requests for event in request.events]

    assert len(sizes) == tally.events_count == 10_000
    assert min(sizes) >= 250
    assert max(sizes) <= 700
    assert set(tally.by_identifiers) == {1, 2, 3, 4}
    assert {ingest_service_pb2.ACK_RESOLVED} == {request.ack for request in requests}
    assert tally.merges_count
    assert tally.refused_count
    assert tally.late_count
    assert tally.repeats_count


def test_known_traffic_is_known() -> None:
    """Once its people are there, at most 5 % of the traffic asks for a decision."""
    stream = Stream(1, 0)
    stream.batches(30_000, batch_events=1000, mix=Mix(100, ZIPF_SHIFT))

    _, tally = stream.batches(50_000, batch_events=1000, mix=Mix(20, ZIPF_SHIFT))

    assert (tally.novel_count + tally.refused_count) / tally.events_count <= 0.05


def test_every_third_event_of_newcomers_is_a_novel_link() -> None:
    """Newcomers' traffic is a third novel links, and a tenth of those are merges."""
    stream = Stream(1, 0)
    mix = Mix(250, EVEN_SHIFT, recent=2_000, is_hurried=True)
    stream.batches(15_000, batch_events=1000, mix=mix)

    _, tally = stream.batches(20_000, batch_events=1000, mix=mix)

    assert 0.32 <= tally.novel_count / tally.events_count <= 0.35
    assert tally.merges_count >= tally.novel_count / 10


def test_a_hot_key_has_its_share_of_the_events() -> None:
    """A tenth of all streams' events are those of one profile, accounted for together."""
    streams = [Stream(1, number) for number in range(3)]
    mix = Mix(20, ZIPF_SHIFT, hot=100)
    for stream in streams:
        stream.batches(5_000, batch_events=1000, mix=mix)

    ((name, ledger),) = hot_sample(streams)
    members, events_count = ledger.profile(name)

    assert HOT_NAME in members
    assert len(members) == 2
    assert 0.08 <= events_count / 15_000 <= 0.11


def test_every_link_of_a_storm_is_a_merge() -> None:
    """Chains and stars are linked one merge at a time, until each is one profile."""
    stream = StormStream(1, 0, StormShape(clusters=5, members=12))
    mix = Mix(0, ZIPF_SHIFT)

    _, alone = stream.batches(120, batch_events=50, mix=mix)
    _, links = stream.batches(110, batch_events=50, mix=mix)

    assert alone.merges_count == 0
    assert links.merges_count == links.novel_count == 110
    assert stream.ledger.profiles_count == 10
    assert {stream.ledger.profile(name)[1] for name in stream.ledger.names()} == {23}


def test_pairs_are_merged_with_all_their_events() -> None:
    """Each link of a pair merges two profiles of so many events."""
    stream = PairStream(1, 0, (10, 100), 2)
    mix = Mix(0, ZIPF_SHIFT)
    stream.batches(440, batch_events=100, mix=mix)

    _, links = stream.batches(4, batch_events=1, mix=mix)

    assert links.merges_count == 4
    assert {stream.ledger.profile(name)[1] for name in stream.ledger.names()} == {21, 201}


def test_sizes_of_calls_are_drawn() -> None:
    """Calls of many callers have from 1 to 10 events, and as many in all as were asked for."""
    batches, tally = Stream(1, 0).batches(
        500, batch_events=10, mix=Mix(100, ZIPF_SHIFT), batch_events_min=1
    )
    sizes = [len(ingest_service_pb2.IngestRequest.FromString(batch).events) for batch in batches]

    assert sum(sizes) == tally.events_count == 500
    assert set(sizes) == set(range(1, 11))


def test_the_ledger_agrees_with_the_reference() -> None:
    """What the benches expect is what the plain resolver makes of the same deliveries."""
    stream, reference = Stream(3, 0), ReferenceBackend({})
    statuses = [reference.send(message(event)).status for event in sent(stream)]
    names = stream.ledger.names()

    profiles = {frozenset(stream.ledger.profile(name)[0]) for name in names}

    assert {"STORED", "DUPLICATE"} == set(statuses)
    assert reference.partition("users") == {
        frozenset(f"{name.type}:{name.value}" for name in profile) for profile in profiles
    }
    for name, ledger in check_sample([stream], seed=1, count=100):
        assert len(reference.events(f"{name.type}:{name.value}")) == ledger.profile(name)[1]


def test_the_ledger_agrees_with_the_reference_on_deletions() -> None:
    """Who lost an identifier keeps its events, and traffic after a deletion is accounted for."""
    stream, reference, random = Stream(3, 0), ReferenceBackend({}), Random(3)
    for _ in range(6):
        for event in sent(stream, 200):
            reference.send(message(event))
        deletion = draw_deletion(stream.ledger, random)
        named, deleted = (
            f"{each.type}:{each.value}" for each in (deletion.named, deletion.deleted)
        )

        assert reference.delete(named, [deleted]) == "deleted"
        assert reference.segment_id(deleted) is None
        assert len(reference.events(named)) == deletion.after[1] == deletion.before[1]
        assert sorted([*deletion.after[0], deletion.deleted]) == deletion.before[0]

    for event in sent(stream, 600):
        reference.send(message(event))
    profiles = {frozenset(stream.ledger.profile(name)[0]) for name in stream.ledger.names()}

    assert reference.partition("users") == {
        frozenset(f"{name.type}:{name.value}" for name in profile) for profile in profiles
    }
    for name, ledger in check_sample([stream], seed=1, count=100):
        assert len(reference.events(f"{name.type}:{name.value}")) == ledger.profile(name)[1]


def test_a_deletion_makes_its_profile_unknown_and_no_other() -> None:
    """After a deletion the links of that profile are novel again; other people's are known."""
    ledger = Ledger()
    pairs = [
        (Name("user_id", person), Name("anonymous_id", f"{device} of {person}"))
        for person in ("first", "second")
        for device in ("phone", "tablet")
    ]
    for pair in pairs:
        ledger.deliver(pair)

    assert ledger.combinations_count == ledger.take_tally().novel_count == 4

    ledger.delete(pairs[0][1])

    assert ledger.combinations_count == 2

    for pair in pairs:
        ledger.deliver(pair)

    assert ledger.combinations_count == 4
    assert ledger.take_tally().novel_count == 2


def test_a_second_person_does_not_get_a_device() -> None:
    """Two user ids are never joined: the device stays with the first, and the ledger says so."""
    ledger = Ledger()
    tablet = Name("anonymous_id", "tablet")
    first, second = Name("user_id", "first"), Name("user_id", "second")
    ledger.deliver((first, tablet))
    ledger.deliver((second, tablet))
    ledger.deliver((second, tablet))

    assert ([tablet, first], 1) == ledger.profile(tablet)
    assert ([second], 2) == ledger.profile(second)
    assert (1, 2) == (ledger.tally.novel_count, ledger.tally.refused_count)
