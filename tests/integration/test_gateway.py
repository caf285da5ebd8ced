"""What a gateway promises beside results: order, deadlines, bounds, health, reflection, drain."""

from __future__ import annotations

import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import msgspec
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from unify_client import EventStatus, Outcome, UnifyClient, group, identify, track

from tests.integration.service import ACCESS_TOKEN, ADMIN_TOKEN, WRITE_KEY, Service, descendants
from tests.integration.waiting import eventually
from unify_grpc._pb.unify.v1 import (
    ingest_service_pb2,
    ingest_service_pb2_grpc,
    profile_service_pb2,
    profile_service_pb2_grpc,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from unify_client import Event

pytestmark = [pytest.mark.ray, pytest.mark.timeout(120)]

WRITING = (("authorization", f"Bearer {WRITE_KEY}"),)
READING = (("authorization", f"Bearer {ACCESS_TOKEN}"),)


def request(*events: Event, **fields: Any) -> ingest_service_pb2.IngestStreamRequest:
    """A batch of a stream."""
    return ingest_service_pb2.IngestStreamRequest(events=events, **fields)


def test_a_stream_is_answered_in_order(service: Service) -> None:
    """The response at a position answers the request at that position, links or not."""
    batches = [
        request(
            *(
                identify(
                    user_id=f"st-{at}", anonymous_id=f"sta-{at}-{each}", message_id=f"{at}-{each}"
                )
                for each in range(at % 4 + 1)
            )
        )
        for at in range(60)
    ]
    with grpc.insecure_channel(service.address) as channel:
        stub = ingest_service_pb2_grpc.IngestServiceStub(channel)
        answers = list(stub.IngestStream(iter(batches), metadata=WRITING, timeout=60))

    assert [len(batch.events) for batch in batches] == [len(each.results) for each in answers]
    profiles = [{result.segment_id for result in each.results} for each in answers]
    assert all(len(each) == 1 for each in profiles)
    assert len(batches) == len(set.union(*profiles))


def test_the_batches_of_a_stream_keep_their_order(service: Service) -> None:
    """What an earlier batch founds exists for a later one that is already under way: the profile
    founded first is the one that survives.
    """
    batches = []
    for at in range(40):
        batches.append(request(track("Seen", anonymous_id=f"order-a-{at}")))
        batches.append(request(track("Seen", user_id=f"order-u-{at}")))
        batches.append(request(identify(user_id=f"order-u-{at}", anonymous_id=f"order-a-{at}")))
    with grpc.insecure_channel(service.address) as channel:
        stub = ingest_service_pb2_grpc.IngestServiceStub(channel)
        answers = [
            each.results[0]
            for each in stub.IngestStream(iter(batches), metadata=WRITING, timeout=60)
        ]

    for at in range(0, len(answers), 3):
        first, second, third = answers[at : at + 3]
        assert ingest_service_pb2.EVENT_STATUS_STORED == third.status
        assert first.segment_id == third.segment_id
        assert second.segment_id != third.segment_id


def test_only_notable_results_come_when_asked_for(service: Service) -> None:
    """A bulk sender hears of refusals, duplicates and drops, each with its place in the batch."""
    events = [
        track("Seen", user_id="notable-1", message_id="n1"),
        track("Seen", user_id="notable-1", message_id="n1"),
        track("Seen", user_id="null"),
        identify(user_id="notable-2", anonymous_id="undefined"),
        track("Seen", user_id="notable-1", message_id="n2"),
    ]
    view = ingest_service_pb2.RESULT_VIEW_NOTABLE
    with grpc.insecure_channel(service.address) as channel:
        stub = ingest_service_pb2_grpc.IngestServiceStub(channel)
        answer = stub.Ingest(
            ingest_service_pb2.IngestRequest(events=events, result_view=view),
            metadata=WRITING,
            timeout=10,
        )

    assert [1, 2, 3] == [each.index for each in answer.results]


def test_both_sides_of_a_group_call_are_stored_and_found(service: Service) -> None:
    """A group call is history of the person and of the account, and joins neither to the other."""
    with UnifyClient(service.address, key=WRITE_KEY) as writer:
        result = writer.ingest(
            [group("acme", user_id="member-1", traits={"email": "all@example.com", "seats": 5})]
        )[0]
    with UnifyClient(service.address, key=ACCESS_TOKEN) as reader:
        person = reader.get_profile("user_id:member-1")
        account = reader.get_profile("group_id:acme")

    assert (result.segment_id, result.account_segment_id) == (person.segment_id, account.segment_id)
    assert {"user_id"} == {each.type for each in person.external_ids}
    assert {"seats": 5, "email": "all@example.com"} == {t.name: t.value for t in account.traits}
    assert () == person.traits


def test_pages_go_through_a_list_and_only_through_that(service: Service) -> None:
    """Pages of one list follow one another without gaps or repeats; a token of another call or
    with other filters, and a damaged one, is refused.
    """
    with UnifyClient(service.address, key=WRITE_KEY) as writer:
        writer.ingest(
            [
                identify(user_id="pages-1", message_id=f"p{at}", traits={f"t{at:02}": at})
                for at in range(25)
            ]
        )
    with grpc.insecure_channel(service.address) as channel:
        stub = profile_service_pb2_grpc.ProfileServiceStub(channel)
        ask = profile_service_pb2.ListTraitsRequest(page_size=7)
        ask.name.identifier.type, ask.name.identifier.value = "user_id", "pages-1"
        names: list[str] = []
        while True:
            page = stub.ListTraits(ask, metadata=READING, timeout=10)
            names += [each.name for each in page.traits]
            if not page.next_page_token:
                break
            ask.page_token = page.next_page_token
        assert [f"t{at:02}" for at in range(25)] == names

        other = profile_service_pb2.ListTraitsRequest(page_token=ask.page_token, verbose=True)
        other.name.CopyFrom(ask.name)
        with pytest.raises(grpc.RpcError) as caught:
            stub.ListTraits(other, metadata=READING, timeout=10)
        assert grpc.StatusCode.INVALID_ARGUMENT == caught.value.code()
        ask.page_token = "A" + ask.page_token[1:]
        with pytest.raises(grpc.RpcError) as caught:
            stub.ListTraits(ask, metadata=READING, timeout=10)
        assert grpc.StatusCode.INVALID_ARGUMENT == caught.value.code()


def test_health_and_reflection_need_no_key(service: Service) -> None:
    """Orchestrators and developers ask without a key; in `--dev` all four services are listed."""
    with grpc.insecure_channel(service.address) as channel:
        health = health_pb2_grpc.HealthStub(channel).Check(
            health_pb2.HealthCheckRequest(service="unify.v1.IngestService"), timeout=10
        )
        asked = reflection_pb2.ServerReflectionRequest(list_services="")
        listed = next(
            reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(
                iter([asked]), timeout=10
            )
        )

    assert health_pb2.HealthCheckResponse.SERVING == health.status
    names = {each.name for each in listed.list_services_response.service}
    assert {
        f"unify.v1.{name}Service" for name in ("Ingest", "Profile", "Space", "Operations")
    } <= names


def test_of_ray_only_what_is_needed_runs(service: Service) -> None:
    """No autoscaler, dashboard server or log monitor: they cost every start and a lot of memory."""
    commands = [
        Path(f"/proc/{number}/cmdline").read_bytes().replace(b"\0", b" ")
        for number in descendants(service.pid)
    ]
    assert any(b"raylet" in each for each in commands)
    for unneeded in (b"/monitor.py", b"dashboard.py", b"log_monitor.py"):
        assert not any(unneeded in each for each in commands), unneeded


def test_every_call_leaves_one_line_of_log(service: Service) -> None:
    """A call is one JSON line with method, code, space and duration under its request id."""
    with grpc.insecure_channel(service.address) as channel:
        stub = ingest_service_pb2_grpc.IngestServiceStub(channel)
        metadata = (*WRITING, ("x-request-id", "one-line-please"))
        answer = stub.Ingest(
            ingest_service_pb2.IngestRequest(events=[track("Seen", user_id="logged")]),
            metadata=metadata,
            timeout=10,
        )
    assert "one-line-please" == answer.header.request_id
    lines = [
        msgspec.json.decode(line)
        for line in service.log().splitlines()
        if line.startswith("{") and "one-line-please" in line
    ]

    assert 1 == len(lines)
    assert {"IngestService/Ingest", "OK", "spa_dev"} <= set(map(str, lines[0].values()))
    assert 0 < lines[0]["duration_ms"]


def test_two_spaces_with_equal_identifiers_never_meet(service: Service) -> None:
    """The same address in two spaces is two people; one space's segment_id is nothing in the
    other.
    """
    with UnifyClient(service.address, key=ADMIN_TOKEN) as admin:
        spaces = [admin.create_space(f"apart-{at}") for at in range(2)]
    ids = []
    for at, space in enumerate(spaces):
        assert space.write_key is not None
        with UnifyClient(service.address, key=space.write_key) as writer:
            event = identify(user_id="same", traits={"email": "same@example.com", "at": at})
            ids.append(writer.ingest([event])[0].segment_id)
    assert ids[0] != ids[1]
    for at, space in enumerate(spaces):
        assert space.access_token is not None
        with UnifyClient(service.address, key=space.access_token) as reader:
            found = reader.get_profile("email:same@example.com")
            assert {"email": "same@example.com", "at": at} == {
                each.name: each.value for each in found.traits
            }
            other = ids[1 - at]
            assert other is not None
            with pytest.raises(Exception, match="PROFILE_NOT_FOUND"):
                reader.get_profile(other)


def test_a_link_that_a_deadline_leaves_undecided_is_pending(tmp_path: Path) -> None:
    """With the merge actor stopped a RESOLVED call answers PENDING in time, the event is durable,
    and the same message sent later is answered with what was decided.
    """
    with (
        Service(tmp_path / "data", "--shards", "2") as service,
        UnifyClient(service.address, key=WRITE_KEY) as writer,
    ):
        writer.ingest([identify(user_id="warm", anonymous_id="up")])
        merge = service.actor_pid("MergeActor")
        os.kill(merge, signal.SIGSTOP)
        event = identify(user_id="late-1", anonymous_id="late-2", message_id="late")
        started = time.monotonic()
        result = writer.ingest([event], timeout_s=1.0)[0]
        assert (EventStatus.STORED, Outcome.PENDING, None) == (
            result.status,
            result.outcome,
            result.segment_id,
        )
        assert time.monotonic() - started < 5
        os.kill(merge, signal.SIGCONT)
        again = writer.ingest([event])[0]
        assert (EventStatus.DUPLICATE, Outcome.CREATED) == (again.status, again.outcome)


def test_too_much_at_a_time_is_refused_and_nothing_is_lost(tmp_path: Path) -> None:
    """With a shard stopped, a gateway takes what its bounds allow and refuses the rest with
    RESOURCE_EXHAUSTED and a pause; all that was taken is stored once the shard goes on.
    """
    service = Service(tmp_path / "data", "--shards", "2", queue_events_max=50)
    with service, grpc.insecure_channel(service.address) as channel:
        stub = ingest_service_pb2_grpc.IngestServiceStub(channel)
        shards = service.actor_pids("ShardActor")
        for number in shards:
            os.kill(number, signal.SIGSTOP)

        def send(at: int) -> grpc.StatusCode:
            events = [track("Seen", user_id=f"full-{at}-{each}") for each in range(10)]
            asked = ingest_service_pb2.IngestRequest(events=events)
            try:
                stub.Ingest(asked, metadata=WRITING, timeout=2)
            except grpc.RpcError as error:
                return error.code()
            return grpc.StatusCode.OK

        with ThreadPoolExecutor(40) as pool:
            codes = list(pool.map(send, range(40)))
        assert {grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.DEADLINE_EXCEEDED} == set(codes)
        for number in shards:
            os.kill(number, signal.SIGCONT)
        eventually(lambda: send(99) is grpc.StatusCode.OK, "events are taken again")


def test_sigterm_lets_what_is_under_way_end(tmp_path: Path) -> None:
    """Calls under way when SIGTERM comes are answered, and the service ends with code 0."""
    service = Service(tmp_path / "data", "--shards", "2")
    with service, grpc.insecure_channel(service.address) as channel:
        stub = ingest_service_pb2_grpc.IngestServiceStub(channel)
        batches = [
            [track("Seen", user_id=f"drain-{at}-{n}") for n in range(50)] for at in range(30)
        ]
        calls = [
            stub.Ingest.future(
                ingest_service_pb2.IngestRequest(events=batch, ack=ingest_service_pb2.ACK_RESOLVED),
                metadata=WRITING,
                timeout=30,
            )
            for batch in batches
        ]
        calls[0].result()
        assert 0 == service.stop()
        codes = {call.code() for call in calls}

    assert codes <= {grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE}
    assert grpc.StatusCode.OK in codes


def test_sigterm_ends_a_stream_after_what_it_took(tmp_path: Path) -> None:
    """An open stream is answered for every batch taken, then told UNAVAILABLE; the service ends
    with code 0 although the caller never closed it.
    """
    service = Service(tmp_path / "data", "--shards", "2")
    going_on = threading.Event()

    def batches() -> Iterator[ingest_service_pb2.IngestStreamRequest]:
        yield from (request(track("Seen", user_id=f"open-{at}")) for at in range(10))
        going_on.wait(60)

    with service, grpc.insecure_channel(service.address) as channel:
        stub = ingest_service_pb2_grpc.IngestServiceStub(channel)
        answers = stub.IngestStream(batches(), metadata=WRITING, timeout=60)
        for _ in range(10):
            assert next(answers).results[0].segment_id
        assert 0 == service.stop()
        with pytest.raises(grpc.RpcError) as caught:
            next(answers)
        going_on.set()

    assert grpc.StatusCode.UNAVAILABLE == caught.value.code()


def test_callers_who_hang_up_leave_nothing_behind(tmp_path: Path) -> None:
    """Streams that are dropped with a full window end as CANCELLED, not as our errors; others are
    served, and the service ends in order.
    """
    service = Service(tmp_path / "data", "--shards", "2")
    hung_up = threading.Event()

    def batches() -> Iterator[ingest_service_pb2.IngestStreamRequest]:
        at = 0
        while not hung_up.is_set():
            at += 1
            yield request(*(track("Seen", user_id=f"hung-{at}-{each}") for each in range(200)))

    with service:
        for _ in range(3):
            with grpc.insecure_channel(service.address) as channel:
                stub = ingest_service_pb2_grpc.IngestServiceStub(channel)
                next(stub.IngestStream(batches(), metadata=WRITING, timeout=60))
        hung_up.set()
        with UnifyClient(service.address, key=WRITE_KEY) as writer:
            assert writer.ingest([track("Seen", user_id="still-here")])[0].stored
        assert 0 == service.stop()

    assert 3 == service.log().count('"CANCELLED"')
    assert not [sign for sign in ("rpc_failed", "never retrieved") if sign in service.log()]
