"""Accounts through the real service: two sides that survive, links both ways, every read."""

from __future__ import annotations

import os
import signal
import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from unify_client import (
    EventStatus,
    Identifier,
    ProfileNotFound,
    UnifyClient,
    group,
    identify,
    track,
)

from tests.integration.service import ACCESS_TOKEN, WRITE_KEY, Service, descendants
from tests.integration.waiting import eventually
from unify_grpc._pb.unify.v1 import (
    identity_pb2,
    ingest_service_pb2,
    ingest_service_pb2_grpc,
    profile_service_pb2,
    profile_service_pb2_grpc,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.ray, pytest.mark.timeout(180)]

WRITING = (("authorization", f"Bearer {WRITE_KEY}"),)
READING = (("authorization", f"Bearer {ACCESS_TOKEN}"),)


@pytest.fixture
def writer(service: Service) -> Iterator[UnifyClient]:
    """Sends events."""
    with UnifyClient(service.address, key=WRITE_KEY) as client:
        yield client


@pytest.fixture
def reader(service: Service) -> Iterator[UnifyClient]:
    """Reads profiles."""
    with UnifyClient(service.address, key=ACCESS_TOKEN) as client:
        yield client


def account(value: str, type_: str = "group_id") -> Identifier:
    """Names an account."""
    return Identifier(collection="accounts", type=type_, value=value)


def external(type_: str, value: str, collection: str = "accounts") -> dict[str, str]:
    """Returns an entry of `externalIds`."""
    return {"id": value, "type": type_, "collection": collection, "encoding": "none"}


def linked(reader: UnifyClient, name: Any) -> list[str]:
    """Returns the first identifiers of what a profile is linked to, in order."""
    return [link.external_ids[0].id for link in reader.list_links(name)]


def test_everything_that_reads_users_reads_accounts(
    writer: UnifyClient, reader: UnifyClient
) -> None:
    """Profile, traits, identifiers and events of an account, by each of its identifiers."""
    context = {"externalIds": [external("crm_id", "crm-1")]}
    writer.ingest(
        [
            group(
                "reads-a",
                user_id="reads-u",
                traits={"name": "Example", "seats": 3},
                context=context,
            )
        ]
    )
    writer.ingest([track("Seen", user_id="reads-u", context={"groupId": "reads-a"})])
    for name in (account("reads-a"), account("crm-1", "crm_id")):
        profile = reader.get_profile(name)

        assert "accounts" == profile.collection
        assert profile.segment_id.startswith("acc_")
        traits = {each.name: each.value for each in reader.list_traits(name)}
        assert {"name": "Example", "seats": 3} == traits
        ids = {(each.type, each.id) for each in reader.list_external_ids(name)}
        assert {("crm_id", "crm-1"), ("group_id", "reads-a")} == ids
        events = [each.type for each in reader.list_events(name, types=["group", "track"])]
        assert ["track", "group"] == events
    assert [] == list(reader.list_traits("user_id:reads-u"))
    assert ["crm-1"] == linked(reader, "user_id:reads-u")
    assert ["reads-u"] == linked(reader, account("reads-a"))


def test_links_follow_the_merges_of_both_sides(writer: UnifyClient, reader: UnifyClient) -> None:
    """Two accounts and two people, each linked to each, become one link when both have merged; it
    is as old as the first event that named both.
    """
    start = 1_700_000_000_000_000
    for number, (user, name) in enumerate((("a", "x"), ("b", "y"), ("a", "y"), ("b", "x"))):
        writer.ingest(
            [
                group(
                    f"merge-{name}",
                    anonymous_id=f"merge-{user}",
                    timestamp=_moment(start - number * 1_000_000),
                )
            ]
        )
    assert 2 == len(linked(reader, "anonymous_id:merge-a"))
    assert 2 == len(linked(reader, account("merge-x")))
    joining = {"externalIds": [external("group_id", "merge-y")]}
    writer.ingest([group("merge-x", context=joining), identify(anonymous_id="merge-a")])
    writer.ingest([identify(user_id="merge-u", anonymous_id="merge-a")])
    writer.ingest([identify(user_id="merge-u", anonymous_id="merge-b")])

    (people,) = reader.list_links(account("merge-x"))
    (accounts,) = reader.list_links("user_id:merge-u")
    assert ("users", "merge-u") == (people.to_collection, people.external_ids[0].id)
    assert "accounts" == accounts.to_collection
    assert _moment(start - 3_000_000) == people.created_time == accounts.created_time
    assert reader.get_profile(account("merge-y")).canonical_segment_id == accounts.segment_id


def _moment(time_us: int) -> datetime:
    return datetime.fromtimestamp(time_us / 1_000_000, UTC)


def test_links_come_in_pages_oldest_first(service: Service, writer: UnifyClient) -> None:
    """Each page goes on where the one before ended; a token belongs to its call and profile."""
    start = 1_700_000_000_000_000
    order = [7, 2, 9, 4, 0, 8, 1, 5, 3, 6]
    writer.ingest(
        [
            *(
                group("pages", user_id=f"pages-{at}", timestamp=_moment(start + at * 1_000_000))
                for at in order
            )
        ]
    )
    named = identity_pb2.ProfileName(
        identifier=identity_pb2.Identifier(collection="accounts", type="group_id", value="pages")
    )
    pages: list[list[str]] = []
    token = ""
    with grpc.insecure_channel(service.address) as channel:
        stub = profile_service_pb2_grpc.ProfileServiceStub(channel)

        def ask(**fields: Any) -> Any:
            request = profile_service_pb2.ListLinksRequest(name=named, page_size=4, **fields)
            return stub.ListLinks(request, metadata=READING, timeout=20)

        while not pages or token:
            response = ask(page_token=token)
            pages.append([link.external_ids[0].id for link in response.links])
            token = response.next_page_token
        token = ask().next_page_token
        named = identity_pb2.ProfileName(
            identifier=identity_pb2.Identifier(type="user_id", value="pages-1")
        )
        with pytest.raises(grpc.RpcError) as refused:
            ask(page_token=token)

    assert [4, 4, 2] == [len(page) for page in pages]
    assert [f"pages-{at}" for at in range(10)] == [each for page in pages for each in page]
    assert grpc.StatusCode.INVALID_ARGUMENT == refused.value.code()


def test_an_account_without_people(writer: UnifyClient, reader: UnifyClient) -> None:
    """A group call without a user's identifiers is about the account alone: it has no links."""
    (result,) = writer.ingest([group("lonely", traits={"name": "Example"})])

    assert EventStatus.STORED == result.status
    assert result.segment_id is None
    assert reader.get_profile(account("lonely")).segment_id == result.account_segment_id
    assert [] == list(reader.list_links(account("lonely")))


@pytest.mark.parametrize("group_id", ["", " ", "g" * 501])
def test_a_group_id_that_is_none_is_refused(writer: UnifyClient, group_id: str) -> None:
    """Empty or above 500 characters, in a group call or in the context of another."""
    results = writer.ingest(
        [
            group(group_id, user_id="refused-u"),
            track("Seen", user_id="refused-u", context={"groupId": group_id}),
        ]
    )

    assert [EventStatus.REJECTED] * 2 == [each.status for each in results]


def test_a_group_id_of_five_hundred_characters(writer: UnifyClient, reader: UnifyClient) -> None:
    """The longest there may be leads to its account, whatever the letters cost in bytes."""
    group_id = "ü" * 500
    writer.ingest([track("Seen", user_id="long-u", context={"groupId": group_id})])

    assert [group_id] == linked(reader, "user_id:long-u")
    assert ["long-u"] == linked(reader, account(group_id))


def test_a_call_sent_again_has_no_effect(writer: UnifyClient, reader: UnifyClient) -> None:
    """Of a message sent twice the first stands, also where the second names another account."""
    writer.ingest([group("again-a", user_id="again-u", message_id="again")])
    results = writer.ingest(
        [
            group("again-a", user_id="again-u", message_id="again"),
            group("again-b", user_id="again-u", message_id="again"),
        ]
    )

    assert [EventStatus.DUPLICATE] * 2 == [each.status for each in results]
    assert results[0].account_segment_id == results[1].account_segment_id
    assert ["again-a"] == linked(reader, "user_id:again-u")
    assert 1 == len(list(reader.list_events(account("again-a"), types=["group"])))


def test_both_sides_survive_the_end_of_everything(tmp_path: Path) -> None:
    """While one shard hangs, users' sides are stored whose accounts' are not. After `kill -9` of
    all processes at once and a start, each user that is there has its account, and it the user.
    """
    count = 60
    answered = threading.Semaphore(0)
    service = Service(tmp_path / "data", "--shards", "3")
    with service:
        os.kill(service.actor_pids("ShardActor")[0], signal.SIGSTOP)
        with grpc.insecure_channel(service.address) as channel:
            ingest = ingest_service_pb2_grpc.IngestServiceStub(channel).Ingest
            for number in range(count):
                event = group(f"kill-{number}", user_id=f"kill-{number}", message_id=f"{number}")
                request = ingest_service_pb2.IngestRequest(events=[event])
                call = ingest.future(request, metadata=WRITING, timeout=20)
                call.add_done_callback(lambda _: answered.release())
            # Those whose two shards are well; by then the others are as far as they will come.
            assert all(answered.acquire(timeout=30) for _ in range(count // 4))
            for number in (service.pid, *descendants(service.pid)):
                os.kill(number, signal.SIGKILL)
        service.wait_for_exit()
        service.start()
        with UnifyClient(service.address, key=ACCESS_TOKEN) as reader:
            there = [number for number in range(count) if _is_there(reader, number)]
            eventually(lambda: _are_linked(reader, there), "both sides of each event")
            accounts = [number for number in range(count) if _has_account(reader, number)]

    assert there
    assert there == accounts


def _is_there(reader: UnifyClient, number: int) -> bool:
    try:
        return bool(reader.get_profile(f"user_id:kill-{number}"))
    except ProfileNotFound:
        return False


def _has_account(reader: UnifyClient, number: int) -> bool:
    try:
        return bool(reader.get_profile(account(f"kill-{number}")))
    except ProfileNotFound:
        return False


def _are_linked(reader: UnifyClient, numbers: list[int]) -> bool:
    try:
        return all(
            [f"kill-{number}"] == linked(reader, f"user_id:kill-{number}")
            and [f"kill-{number}"] == linked(reader, account(f"kill-{number}"))
            for number in numbers
        )
    except ProfileNotFound:
        return False
