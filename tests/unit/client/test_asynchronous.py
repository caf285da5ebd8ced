"""The asynchronous client, against the fake service; and the fake service itself."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

import pytest
from unify_client import (
    AsyncUnifyClient,
    ClientClosed,
    EventRejected,
    EventStatus,
    FieldViolation,
    Outcome,
    ProfileNotFound,
    RejectionReason,
    RequestInvalid,
    UnifyClient,
    Unimplemented,
    identify,
    track,
)
from unify_client.testing import FakeUnify

from tests.unit.client.driving import Clock
from unify_grpc._pb.unify.v1 import profile_pb2, profile_service_pb2, space_service_pb2


@pytest.fixture
def fake() -> Iterator[FakeUnify]:
    """Serves for one test."""
    with FakeUnify() as service:
        yield service


def test_both_clients_have_the_same_methods_and_parameters() -> None:
    """Whoever knows one client knows the other."""

    def shape(client: type) -> dict[str, list[str]]:
        return {
            name: list(inspect.signature(method).parameters)
            for name, method in vars(client).items()
            if not name.startswith("_")
        }

    assert shape(UnifyClient) == shape(AsyncUnifyClient)
    assert set(inspect.signature(UnifyClient).parameters) - {"channel"} == set(
        inspect.signature(AsyncUnifyClient).parameters
    )


async def test_events_are_stored_and_answered(fake: FakeUnify) -> None:
    """A second event of the same user joins the first; the same event again is a duplicate."""
    event = identify(user_id="u1")
    async with AsyncUnifyClient(fake.address, key="k", space="shop") as client:
        first, second, again, bare = await client.ingest(
            [event, track("Paid", user_id="u1"), event, track("Paid")]
        )

    assert (Outcome.CREATED, Outcome.ATTACHED) == (first.outcome, second.outcome)
    assert first.segment_id == second.segment_id == again.segment_id
    assert EventStatus.DUPLICATE is again.status
    assert RejectionReason.NO_IDENTIFIER is bare.reason
    assert "Bearer k" == fake.received[0].metadata["authorization"]
    assert "shop" == fake.received[0].metadata["unify-space"]


async def test_a_lost_answer_is_asked_for_again_without_a_second_effect(fake: FakeUnify) -> None:
    """The events were stored, the answer was lost: the repetition finds duplicates."""
    fake.fail_next("Ingest", "UNAVAILABLE", stored=True)
    clock = Clock()
    async with AsyncUnifyClient(
        fake.address, key="k", clock=clock, sleep=clock.asleep, chance=lambda: 1.0
    ) as client:
        (result,) = await client.ingest([identify(user_id="u1")])

    assert EventStatus.DUPLICATE is result.status
    assert 1 == len(fake.events)
    assert [0.1] == pytest.approx(clock.pauses_s)


async def test_failures_keep_the_results_before_them(fake: FakeUnify) -> None:
    """What was answered before a failure for good is on the error, and details arrive whole."""
    fault = FieldViolation("events[0].type", "is too long")
    fake.fail_next("Ingest", "INVALID_ARGUMENT", reason="REQUEST_INVALID", violations=[fault],
                   skip=1)  # fmt: skip
    events = [identify(user_id="u1") for _ in range(2_501)]
    async with AsyncUnifyClient(fake.address, key="k") as client:
        with pytest.raises(RequestInvalid) as raised:
            await client.ingest(events)

    assert 2_500 == len(raised.value.results_before)
    assert (fault,) == raised.value.violations
    assert raised.value.__context__ is None


async def test_scripted_refusals_reach_the_caller(fake: FakeUnify) -> None:
    """A test of a user can make any event bad."""
    fake.reject("m1", RejectionReason.EVENT_TOO_LARGE)
    async with AsyncUnifyClient(fake.address, key="k") as client:
        with pytest.raises(EventRejected, match="EVENT_TOO_LARGE"):
            await client.ingest([identify(user_id="u1", message_id="m1")], raise_on_rejected=True)


async def test_reads_answer_what_the_test_said(fake: FakeUnify) -> None:
    """Replies come in order and the last one stays; a method without one is unimplemented."""
    fake.reply(
        "ListTraits",
        profile_service_pb2.ListTraitsResponse(
            traits=[profile_pb2.Trait(name="a", value_json=b"1")], next_page_token="t1"
        ),
        profile_service_pb2.ListTraitsResponse(
            traits=[profile_pb2.Trait(name="b", value_json=b"2")]
        ),
    )
    fake.fail_next("GetProfile", "NOT_FOUND", reason="PROFILE_NOT_FOUND")
    fake.reply("ListSpaces", space_service_pb2.ListSpacesResponse())
    async with AsyncUnifyClient(fake.address, key="k") as client:
        traits = [trait.name async for trait in client.list_traits("use_1")]
        with pytest.raises(ProfileNotFound):
            await client.get_profile("email:jane@example.com")
        with pytest.raises(Unimplemented):
            await client.get_status()
        assert not [space async for space in client.list_spaces()]

    assert ["a", "b"] == traits


async def test_a_closed_client_says_so(fake: FakeUnify) -> None:
    """Nothing is called after close, which may be repeated, and a client may never be opened."""
    client = AsyncUnifyClient(fake.address, key="k")
    await client.close()
    await client.close()

    with pytest.raises(ClientClosed):
        await client.get_status()
