"""Several gateways: one service to its callers, whichever of them they meet, and if one dies."""

from __future__ import annotations

import os
import signal
import threading
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from unify_client import (
    CredentialInvalid,
    EventStatus,
    RetryPolicy,
    UnifyClient,
    identify,
    track,
)

from actors.held_port import HeldPort
from tests.integration.administering import Administering
from tests.integration.service import ACCESS_TOKEN, ADMIN_TOKEN, WRITE_KEY, Service, title_of
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

    from unify_client import Event

pytestmark = [pytest.mark.ray, pytest.mark.timeout(120)]

WRITING = (("authorization", f"Bearer {WRITE_KEY}"),)
READING = (("authorization", f"Bearer {ACCESS_TOKEN}"),)
PATIENT = RetryPolicy(deadline_s=50)


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service with two gateways, each with a port of its own."""
    directory = tmp_path_factory.mktemp("gateways") / "data"
    with Service(directory, shards=2, gateways=2, gateway_ports=True) as running:
        yield running


def test_all_gateways_serve_one_truth(two: Service) -> None:
    """An event acknowledged by one gateway is read through every other, and known to it if it
    comes again; the common port serves too.
    """
    addresses = [*two.gateway_addresses, two.address]
    assert 3 == len(set(addresses))
    for at, here in enumerate(addresses):
        there = addresses[at - 1]
        event = identify(user_id=f"one-{at}", anonymous_id=f"one-a-{at}", message_id=f"one-{at}")
        with (
            UnifyClient(here, key=WRITE_KEY) as writer,
            UnifyClient(there, key=WRITE_KEY) as other_writer,
            UnifyClient(there, key=ACCESS_TOKEN) as reader,
        ):
            result = writer.ingest([event])[0]
            again = other_writer.ingest([event])[0]
            profile = reader.get_profile(f"anonymous_id:one-a-{at}")
            events = list(reader.list_events(f"user_id:one-{at}", types=["identify"]))

        assert EventStatus.STORED == result.status
        assert EventStatus.DUPLICATE == again.status
        assert result.segment_id == again.segment_id == profile.segment_id
        assert [f"one-{at}"] == [each.message_id for each in events]


def test_a_space_is_known_to_all_gateways(two: Service) -> None:
    """A space made through one gateway is usable through the other as soon as it is answered."""
    for at, here in enumerate(two.gateway_addresses):
        there = two.gateway_addresses[at - 1]
        with UnifyClient(here, key=ADMIN_TOKEN) as admin:
            space = admin.create_space(f"made-{at}")
        with UnifyClient(there, key=space.write_key) as writer:
            assert writer.ingest([track("Seen", user_id="1")])[0].stored
        with UnifyClient(there, key=space.access_token) as reader:
            assert reader.get_profile("user_id:1").segment_id


def test_a_change_acts_on_all_gateways_when_it_is_answered(two: Service) -> None:
    """New rules through one hold for the next event through the other; a key that was revoked
    through one opens nothing at the other.
    """
    for at, here in enumerate(two.gateway_addresses):
        there = two.gateway_addresses[at - 1]
        with Administering(here, ADMIN_TOKEN) as admin:
            space = admin("CreateSpace", name=f"changed-{at}")
            name = space.space.name
            with UnifyClient(there, key=space.write_key) as writer:
                for value in ("a", "b", "c"):
                    admin.set_rules(name, {"blocked": [{"exact": value}]})
                    result = writer.ingest([identify(user_id=value, anonymous_id="x")])[0]
                    assert [value] == [drop.identifier.value for drop in result.drops]
                admin("RevokeWriteKey", space=name, source_id=space.source_id)
                with pytest.raises(CredentialInvalid):
                    writer.ingest([identify(user_id="d")])


def list_events(address: str, token: str = "") -> Any:
    """One page of the events of `user_id:paged`."""
    with grpc.insecure_channel(address) as channel:
        return profile_service_pb2_grpc.ProfileServiceStub(channel).ListEvents(
            profile_service_pb2.ListEventsRequest(
                name=identity_pb2.ProfileName(
                    identifier=identity_pb2.Identifier(type="user_id", value="paged")
                ),
                page_size=2,
                page_token=token,
            ),
            metadata=READING,
            timeout=30,
        )


def test_page_tokens_are_good_everywhere_and_after_the_end_of_everything(two: Service) -> None:
    """A page token of one gateway continues at the other, also after kill -9 of the serving
    process, which no gateway survives, and a new start.
    """
    with UnifyClient(two.gateway_addresses[0], key=WRITE_KEY) as writer:
        writer.ingest([track("Seen", user_id="paged", message_id=f"p{at}") for at in range(6)])
    first = list_events(two.gateway_addresses[0])
    second = list_events(two.gateway_addresses[1], first.next_page_token)
    ids = [each.message_id for page in (first, second) for each in page.events]
    assert 4 == len(set(ids))

    further = two.gateway_pids()
    assert 1 == len(further)
    os.kill(two.pid, signal.SIGKILL)
    two.wait_for_exit()
    eventually(lambda: not any(title_of(each) for each in further), "no gateway is left")
    two.start()

    for address in two.gateway_addresses:
        again = list_events(address, first.next_page_token)
        assert (second.events, second.next_page_token) == (again.events, again.next_page_token)
        third = list_events(address, second.next_page_token)
        assert {f"p{at}" for at in range(6)} == {*ids, *(each.message_id for each in third.events)}


class Sender(threading.Thread):
    """Sends one small batch after the other through one address, until told to stop."""

    def __init__(self, name: str, address: str) -> None:
        super().__init__(daemon=True)
        self.name = name
        self.address = address
        self.stopping = threading.Event()
        self.acked_count = 0
        """Batches 0 up to this were acknowledged, and no others were sent."""
        self.problem: Exception | None = None

    def batch(self, number: int) -> list[Event]:
        """Two events of somebody new; the first is a link that has to be decided."""
        person = f"{self.name}-{number}"
        return [
            identify(user_id=person, anonymous_id=f"{person}-a", message_id=f"{person}-link"),
            track("Seen", user_id=person, message_id=f"{person}-seen"),
        ]

    def run(self) -> None:
        """The client sends a batch again, with the same ids, until it is answered."""
        try:
            with UnifyClient(self.address, key=WRITE_KEY, timeout_s=20, retry=PATIENT) as client:
                while not self.stopping.is_set():
                    assert all(each.stored for each in client.ingest(self.batch(self.acked_count)))
                    self.acked_count += 1
        except Exception as error:  # noqa: BLE001 - shown by the test, which would wait for ever
            self.problem = error

    def await_acks(self, count: int) -> None:
        """Waits until so many more batches are acknowledged."""
        goal = self.acked_count + count
        eventually(lambda: self.problem is not None or self.acked_count >= goal, "acks come")
        assert self.problem is None, self.problem


def test_a_killed_gateway_harms_no_event_and_comes_back(two: Service) -> None:
    """With kill -9 of a gateway under load everything acknowledged is there once, and it serves
    again where it served before.
    """
    killed = two.gateway_pids()
    addresses = [*two.gateway_addresses, two.address]
    senders = [Sender(f"sender-{at}", address) for at, address in enumerate(addresses)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.await_acks(30)
    os.kill(killed[0], signal.SIGKILL)
    eventually(lambda: two.gateway_pids() not in ([], killed), "there is another")
    for sender in senders:
        sender.await_acks(30)
        sender.stopping.set()
    for sender in senders:
        sender.join(30)
        assert not sender.is_alive()

    people = [f"{each.name}-{number}" for each in senders for number in range(each.acked_count)]
    for at, address in enumerate(two.gateway_addresses):
        with UnifyClient(address, key=ACCESS_TOKEN, timeout_s=30) as reader:
            for person in people[at::2]:
                listed = reader.list_events(f"anonymous_id:{person}-a", types=["identify", "track"])
                ids = sorted(each.message_id for each in listed)
                assert [f"{person}-link", f"{person}-seen"] == ids


def test_no_other_service_shares_a_port_by_accident(two: Service) -> None:
    """The ports that gateways share are refused to a second service of the same user."""
    for address in (two.address, *two.gateway_addresses):
        host, _, port = address.rpartition(":")
        with pytest.raises(OSError, match="is taken"):
            HeldPort(host, int(port))


def test_sigterm_drains_all_gateways(two: Service) -> None:
    """Calls under way at every gateway when SIGTERM comes are answered; the service ends with
    code 0 and leaves no process behind.
    """
    further = two.gateway_pids()
    lines_before = two.log().count('"event":"draining"')
    channels = [grpc.insecure_channel(address) for address in two.gateway_addresses]
    calls: list[list[Any]] = [
        [
            ingest_service_pb2_grpc.IngestServiceStub(channel).Ingest.future(
                ingest_service_pb2.IngestRequest(
                    events=[track("Seen", user_id=f"drain-{at}-{n}") for n in range(50)],
                    ack=ingest_service_pb2.ACK_RESOLVED,
                ),
                metadata=WRITING,
                timeout=30,
            )
            for at in range(20)
        ]
        for channel in channels
    ]
    for each in calls:
        each[0].result()
    assert 0 == two.stop()
    codes = [{call.code() for call in each} for each in calls]
    for channel in channels:
        channel.close()

    for found in codes:
        assert grpc.StatusCode.OK in found
        assert found <= {grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE}
    assert 2 == two.log().count('"event":"draining"') - lines_before
    assert not any(title_of(number) for number in further)
