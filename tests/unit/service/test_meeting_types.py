"""Batches that bring types, or rules of another version, on their way through a gateway."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from tests.engine.messages import body_of
from tests.unit.service.control_backend import ControlBackend
from unify_grpc.identity.events import from_segment_message
from unify_grpc.identity.outcomes import DropReason, RejectionReason
from unify_grpc.service.arrivals import Incoming, ReadEvents
from unify_grpc.service.directory import SpaceDirectory
from unify_grpc.service.ingest_run import EventOutcome
from unify_grpc.service.ingestion import Ingestor
from unify_grpc.service.turns import Start, Turns


class OneGateway:
    """A gateway's ingestor for one space."""

    def __init__(self, backend: ControlBackend) -> None:
        self.directory = SpaceDirectory(backend, (), backend.clock)  # type: ignore[arg-type]  # a part of it
        self.ingestor = Ingestor(backend, self.directory, queue_events_max=1000)  # type: ignore[arg-type]  # the same

    async def send(self, *messages: dict[str, Any], turns: Turns | None = None) -> list[Any]:
        """Sends messages as one request; returns what became of each."""
        if not self.directory.spaces():
            await self.directory.renew()
        space = self.directory.find_space("one")
        incoming = []
        for index, message in enumerate(messages):
            event = from_segment_message(message)
            incoming.append(Incoming(event, body_of(event, message, 1, index)))
        outcomes = await self.ingestor.ingest(
            ReadEvents(incoming),
            space,
            1,
            turns or Turns(),
            is_resolved=False,
            only_notable=False,
            deadline_s=5,
        )
        return [outcome for _, outcome in outcomes]


def identify(*types: str, count: int = 1, **fields: Any) -> dict[str, Any]:
    """An event with a user id, and external ids of each type."""
    external = [
        {"id": f"{name} {number}", "type": name, "collection": "users", "encoding": "none"}
        for name in types
        for number in range(count)
    ]
    return {"type": "identify", "userId": "u", "context": {"externalIds": external}, **fields}


def refused_types(outcome: EventOutcome) -> list[str]:
    """Types that an event was stored without."""
    return [drop.type for drop in outcome.drops if drop.reason is DropReason.INVALID_VALUE]


@pytest.fixture
def backend() -> ControlBackend:
    """A deployment whose one space has room for two types."""
    made = ControlBackend()
    listed = [{"type": "user_id"}, *({"type": f"type_{number}"} for number in range(197))]
    made.control.create("one", rules=msgspec.json.encode({"identifiers": listed}))
    return made


async def test_known_types_cost_no_question(backend: ControlBackend) -> None:
    """Control is asked once for a type, however many events bring it."""
    gateway = OneGateway(backend)
    outcomes = await gateway.send(*(identify("fax") for _ in range(9)))
    await gateway.send(identify("fax", "type_1"))

    assert [[]] * 9 == [refused_types(each) for each in outcomes]
    assert [["fax"]] == backend.types_asked


async def test_the_first_events_get_the_last_room(backend: ControlBackend) -> None:
    """As if events were processed one at a time, in their order."""
    outcomes = await OneGateway(backend).send(
        identify("type_1"), identify("a"), identify("b", "a"), identify("c"), identify("a", "b")
    )

    assert [[], [], [], ["c"], []] == [refused_types(each) for each in outcomes]
    assert ["a", "b"] == backend.control.see()


async def test_another_gateway_may_have_given_the_room_away(backend: ControlBackend) -> None:
    """What control says counts, not what this gateway knew."""
    gateway = OneGateway(backend)
    await gateway.directory.renew()
    backend.control.see("x", "y")
    (outcome,) = await gateway.send(identify("a", "x"))

    assert ["a"] == refused_types(outcome)
    assert ["x", "y"] == backend.control.see()


async def test_a_refused_event_meets_nothing(backend: ControlBackend) -> None:
    """Its identifiers are not promoted, so it takes no room."""
    (outcome,) = await OneGateway(backend).send(identify("a", count=10))

    assert outcome.rejection is RejectionReason.TOO_MANY_IDENTIFIERS
    assert [] == backend.types_asked


async def test_an_event_is_judged_by_the_types_that_there_is_room_for(
    backend: ControlBackend,
) -> None:
    """Ten identifiers and one of a 201st type are ten."""
    outcomes = await OneGateway(backend).send(
        identify("a", "b"), identify("type_1", "c", count=8, anonymousId="x")
    )

    assert [None, None] == [each.rejection for each in outcomes]
    assert {"c"} == set(refused_types(outcomes[1]))


async def test_a_batch_does_not_overtake_one_that_waits_for_types(backend: ControlBackend) -> None:
    """Batches of a stream are stored in its order, whatever each of them has to wait for."""
    gateway = OneGateway(backend)
    await gateway.directory.renew()
    asked, going_on = asyncio.Event(), asyncio.Event()
    see_types = backend.see_types

    async def wait_and_see(space: int, types: list[str]) -> None:
        asked.set()
        await going_on.wait()
        await see_types(space, types)

    backend.see_types = wait_and_see  # type: ignore[method-assign]  # to stop there
    turns = Turns()
    first = asyncio.ensure_future(gateway.send(identify("a"), turns=turns))
    await asked.wait()
    second = asyncio.ensure_future(gateway.send(identify("type_1"), turns=turns))
    other = await gateway.send(identify("type_2"))
    assert 1 == len(backend.batches) == len(other)
    assert not second.done()
    going_on.set()
    await asyncio.gather(first, second)

    assert 2 <= len(backend.batches)


async def test_stale_rules_are_renewed(backend: ControlBackend) -> None:
    """A batch promoted under rules that a shard knows to be old is promoted again."""
    gateway = OneGateway(backend)
    await gateway.directory.renew()
    backend.control.set_rules(b'{"blocked": [{"exact": "u"}]}')
    backend.stale_below = 2
    (outcome,) = await gateway.send(identify("type_1"))

    assert ([(1, 1)], [(1, 2)]) == (backend.batches[0], backend.batches[-1])
    assert [DropReason.BLOCKED] == [drop.reason for drop in outcome.drops]
    assert ["type_1"] == backend.control.see()  # which the new rules do not list any more


async def test_newer_rules_may_refuse_what_is_promoted_again(backend: ControlBackend) -> None:
    """Such an event is answered as refused, and the rest of its batch is stored."""
    gateway = OneGateway(backend)
    await gateway.directory.renew()
    backend.control.set_rules(b'{"blocked": [{"exact": "u"}]}')
    backend.stale_below = 2
    refused, stored = await gateway.send(identify(), identify(userId="v"))

    assert refused.rejection is RejectionReason.NO_IDENTIFIER
    assert stored.rejection is None


async def test_batches_of_other_rules_wait_until_the_earlier_are_stored() -> None:
    """Else a batch that is refused as stale would come again behind later ones of its stream."""
    turns = Turns()
    first, second, third = (turns.start(version) for version in (1, 2, 2))
    first.sent()
    assert [True, False, False] == [each.has_come for each in (first, second, third)]
    waiting = [asyncio.ensure_future(each.come()) for each in (second, third)]
    first.stored()
    await waiting[0]
    assert not waiting[1].done()
    second.sent()
    await waiting[1]


async def test_batches_of_the_same_rules_follow_at_once() -> None:
    """What is sent in order arrives in order; nothing waits for an answer."""
    turns = Turns()
    starts: list[Start] = []
    for _ in range(3):
        starts.append(turns.start(1))
        assert starts[-1].has_come
        starts[-1].sent()
    again = asyncio.ensure_future(starts[2].come_again())
    starts[0].stored()
    await asyncio.sleep(0)
    assert not again.done()
    starts[1].stored()
    await again
