"""What is watched live: the tail of a space and how the parts do, also while some of them end."""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from unify_client import RejectionReason, identify, track

from tests.integration.service import Service
from tests.integration.spaces import (
    ADMIN,
    OwnSpace,
    Stubs,
    all_violations,
    connect,
    own_space,
    refusal,
    user_ids,
)
from tests.integration.waiting import eventually
from unify_grpc._pb.unify.v1 import (
    operations_service_pb2,
    profile_service_pb2,
    space_service_pb2,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.ray, pytest.mark.timeout(120)]

Listing = profile_service_pb2.ListProfilesRequest
Violations = operations_service_pb2.ListViolationsRequest
Tail = operations_service_pb2.TailEventsRequest
ANSWERED_S_MAX = 10.0


@pytest.fixture(scope="module")
def lists(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service of three shards that the tests here may hurt; it is whole again after each."""
    with Service(tmp_path_factory.mktemp("lists") / "data", "--shards", "3") as running:
        yield running


@pytest.fixture
def stubs(lists: Service) -> Iterator[Stubs]:
    """A channel to it."""
    opened = connect(lists)
    yield opened
    opened.channel.close()


@pytest.fixture
def space(stubs: Stubs) -> OwnSpace:
    """A space of the test's own."""
    return own_space(stubs)


def test_a_token_is_good_after_a_restart(lists: Service, stubs: Stubs, space: OwnSpace) -> None:
    """A page continues on another gateway's life as if nothing had happened."""
    with space.writer(lists) as writer:
        for at in range(6):
            writer.ingest([track("Seen", user_id=f"u{at}")])
            writer.ingest([track("", user_id=f"u{at}")])
    first = stubs.profiles.ListProfiles(Listing(page_size=2), metadata=space.reading)
    violation = stubs.operations.ListViolations(Violations(page_size=2), metadata=space.reading)
    lists.stop()
    lists.start()
    again = connect(lists)
    token = first.next_page_token
    second = again.profiles.ListProfiles(
        Listing(page_size=4, page_token=token), metadata=space.reading
    )
    rest = again.operations.ListViolations(
        Violations(page_size=4, page_token=violation.next_page_token), metadata=space.reading
    )
    again.channel.close()

    assert ["u5", "u4", "u3", "u2", "u1", "u0"] == user_ids([*first.profiles, *second.profiles])
    shown = [each.event.external_ids[0].id for each in [*violation.violations, *rest.violations]]
    assert ["u5", "u4", "u3", "u2", "u1", "u0"] == shown


class Listener:
    """Tails a space in a thread of its own."""

    def __init__(self, stubs: Stubs, reading: Any, **fields: Any) -> None:
        self.responses: list[Any] = []
        self.code: grpc.StatusCode | None = None
        self._call = stubs.operations.TailEvents(Tail(**fields), metadata=reading)
        self._thread = threading.Thread(target=self._listen)
        self._thread.start()
        eventually(lambda: bool(self.responses) or self.code is not None, "a tail begins")

    def _listen(self) -> None:
        try:
            for response in self._call:
                self.responses.append(response)
        except grpc.RpcError as error:
            self.code = error.code()

    @property
    def message_ids(self) -> list[str]:
        """Of the events so far."""
        return [each.event.message_id for each in self.responses if each.HasField("event")]

    def wait_for(self, *message_ids: str) -> None:
        """Waits until events have come, and asserts that no others have."""
        eventually(lambda: len(self.message_ids) >= len(message_ids), "all events have come")
        assert sorted(message_ids) == sorted(self.message_ids)

    def cancel(self) -> None:
        """Hangs up."""
        self._call.cancel()
        self._thread.join()


def test_the_tail_is_live_and_goes_on(lists: Service, stubs: Stubs, space: OwnSpace) -> None:
    """Events come as they are stored; a token continues after any of them without a gap."""
    with space.writer(lists) as writer:
        writer.ingest([track("Seen", user_id="u", message_id="before")])
        everything = Listener(stubs, space.reading)
        identifies = Listener(stubs, space.reading, types=["identify"])
        sent = [f"m{at}" for at in range(40)]
        for at in range(0, 40, 4):
            writer.ingest(
                [
                    *(track("Seen", user_id=f"u{at}", message_id=each) for each in sent[at:][:3]),
                    identify(user_id=f"u{at}", anonymous_id=f"a{at}", message_id=sent[at + 3]),
                    track("", user_id="refused"),
                ]
            )
        everything.wait_for(*sent)
        identifies.wait_for(*sent[3::4])
        everything.cancel()
        identifies.cancel()
        writer.ingest([track("Seen", user_id="u0", message_id="later")])
        middle = next(
            at for at, each in enumerate(everything.responses) if each.event.message_id == sent[20]
        )
        resumed = Listener(
            stubs, space.reading, resume_token=everything.responses[middle].resume_token
        )
        rest = [each.event.message_id for each in everything.responses[middle + 1 :]]
        resumed.wait_for(*rest, "later")
        resumed.cancel()

    assert all(each.resume_token for each in everything.responses)
    profiles = {each.event.message_id: each.segment_id for each in everything.responses}
    assert profiles[sent[0]] == profiles[sent[1]] != ""


def test_a_tail_refuses_what_it_cannot_answer(stubs: Stubs, space: OwnSpace) -> None:
    """Unknown kinds and sources, and tokens of other tails."""
    own = Listener(stubs, space.reading)
    own.cancel()
    token = own.responses[0].resume_token

    def code(request: Any, reading: Any) -> grpc.StatusCode:
        return refusal(next, stubs.operations.TailEvents(request, metadata=reading))

    for bad in (
        Tail(types=["tracks"]),
        Tail(source_ids=["src_nobody"]),
        Tail(resume_token="made up"),
        Tail(resume_token=token, types=["track"]),
    ):
        assert grpc.StatusCode.INVALID_ARGUMENT == code(bad, space.reading)
    elsewhere = own_space(stubs).reading
    assert grpc.StatusCode.INVALID_ARGUMENT == code(Tail(resume_token=token), elsewhere)


def test_a_slow_listener_holds_nobody_up(lists: Service, stubs: Stubs, space: OwnSpace) -> None:
    """Somebody who does not read slows neither senders nor other listeners, and misses nothing."""
    slow = stubs.operations.TailEvents(Tail(), metadata=space.reading)
    next(slow)
    quick = Listener(stubs, space.masked)
    sent = [f"m{at}" for at in range(400)]
    with space.writer(lists) as writer:
        for at in range(0, 400, 50):
            writer.ingest(
                [
                    track("Seen", user_id="u", message_id=each, properties={"a": "x" * 20_000})
                    for each in sent[at : at + 50]
                ]
            )
    quick.wait_for(*sent)
    quick.cancel()
    found: list[str] = []
    while len(found) < len(sent):
        response = next(slow)
        if response.HasField("event"):
            found.append(response.event.message_id)
    slow.cancel()

    assert sent == found


def test_a_refusal_is_answered_while_a_shard_is_away(
    lists: Service, stubs: Stubs, space: OwnSpace
) -> None:
    """Its caller does not wait for the shard, which keeps it when it is back."""
    sent = [track("", user_id="u", message_id=f"r{at}") for at in range(9)]
    with space.writer(lists) as writer:
        writer.ingest([track("Seen", user_id="u")])
        for number in lists.actor_pids("ShardActor"):
            os.kill(number, signal.SIGKILL)
        started = time.monotonic()
        results = writer.ingest(sent)
        assert time.monotonic() - started < ANSWERED_S_MAX
        eventually(lambda: 9 == len(all_violations(stubs, space.reading)), "every refusal is kept")

    assert {RejectionReason.MISSING_EVENT_NAME} == {each.reason for each in results}


def test_a_tail_ends_with_its_gateway_and_goes_on_after_it(
    lists: Service, stubs: Stubs, space: OwnSpace
) -> None:
    """A gateway that stops ends its tails with UNAVAILABLE; the token is good on the next one."""
    tail = Listener(stubs, space.reading)
    with space.writer(lists) as writer:
        writer.ingest([track("Seen", user_id="u", message_id="m1")])
        tail.wait_for("m1")
    token = tail.responses[-1].resume_token
    assert 0 == lists.stop()
    eventually(lambda: tail.code is not None, "the tail ends")
    assert grpc.StatusCode.UNAVAILABLE == tail.code
    lists.start()
    again = connect(lists)
    with space.writer(lists) as writer:
        writer.ingest([track("Seen", user_id="u", message_id="m2")])
        resumed = stubs_tail(again, space, token)
    again.channel.close()

    assert "m2" == resumed.event.message_id


def stubs_tail(stubs: Stubs, space: OwnSpace, token: str) -> Any:
    """Returns the first event after a token."""
    call = stubs.operations.TailEvents(Tail(resume_token=token), metadata=space.reading, timeout=20)
    response = next(call)
    call.cancel()
    return response


def test_a_revoked_token_ends_its_tail(lists: Service, stubs: Stubs, space: OwnSpace) -> None:
    """A token that is revoked works nowhere any more, in a stream as little as anywhere."""
    del lists
    tail = Listener(stubs, space.reading)
    listed = stubs.spaces.ListAccessTokens(
        space_service_pb2.ListAccessTokensRequest(space=space.space_id), metadata=ADMIN
    )
    for each in listed.access_tokens:
        stubs.spaces.RevokeAccessToken(
            space_service_pb2.RevokeAccessTokenRequest(
                space=space.space_id, access_token_id=each.access_token_id
            ),
            metadata=ADMIN,
        )
    eventually(lambda: tail.code is not None, "the tail ends")

    assert grpc.StatusCode.UNAUTHENTICATED == tail.code


def test_the_status_counts_what_is_stored(lists: Service, stubs: Stubs, space: OwnSpace) -> None:
    """Every part is listed, serving, and its counts move with what comes in."""

    def totals(status: Any) -> tuple[int, int, int, int, int]:
        return (
            sum(each.events_count for each in status.shards),
            sum(each.identifiers_count for each in status.shards),
            sum(each.profiles_count for each in status.shards),
            status.merge_actors[0].links_decided_count,
            status.merge_actors[0].merges_count,
        )

    asked = operations_service_pb2.GetStatusRequest()
    before = stubs.operations.GetStatus(asked, metadata=ADMIN)
    with space.writer(lists) as writer:
        writer.ingest([track("Seen", user_id="u"), track("Seen", anonymous_id="a")])
        writer.ingest([track("Seen", user_id="u", anonymous_id="a")])
    after = stubs.operations.GetStatus(asked, metadata=ADMIN)

    assert before.ready
    assert after.ready
    assert 3 == after.shards_count == len(after.shards)
    assert not after.unreachable
    assert [0, 1, 2] == [each.shard for each in after.shards]
    grown = [new - old for old, new in zip(totals(before), totals(after), strict=True)]
    assert [3, 2, 1, 1, 1] == grown
    for each in after.shards:
        assert each.log_position >= each.checkpoint_position
        assert 0 < each.store_size_bytes < each.store_size_max_bytes
        assert each.start_time.seconds > 0
    ask = stubs.operations.GetStatus
    assert grpc.StatusCode.PERMISSION_DENIED == refusal(ask, asked, metadata=space.reading)


def test_the_status_waits_for_nobody(lists: Service, stubs: Stubs) -> None:
    """A part that does not answer is named, and the others are shown."""
    stopped = lists.actor_pids("ShardActor")[0]
    os.kill(stopped, signal.SIGSTOP)
    try:
        started = time.monotonic()
        status = stubs.operations.GetStatus(
            operations_service_pb2.GetStatusRequest(), metadata=ADMIN
        )
        took_s = time.monotonic() - started
    finally:
        os.kill(stopped, signal.SIGCONT)

    assert took_s < ANSWERED_S_MAX
    assert not status.ready
    assert 1 == len(status.unreachable)
    assert status.unreachable[0].startswith("shard-")
    assert 2 == len(status.shards)
    assert 3 == status.shards_count
