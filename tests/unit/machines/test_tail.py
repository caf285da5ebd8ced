"""The tail of a space: every stored event once, in the order of its shard, from any place on."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from tests.engine.in_process import InProcessService
from tests.unit.machines.frames import SPACE, frame, member
from tests.unit.machines.one_shard import OneShard
from unify_grpc.machines import list_reader
from unify_grpc.machines.batch import TYPE_CODES
from unify_grpc.machines.links import ClearPush, Push
from unify_grpc.machines.list_questions import NEWEST, TailedEvents, TailSpace
from unify_grpc.machines.space_records import TailPage, tail_space
from unify_grpc.placement.members import member_of_segment_id


def track(**fields: Any) -> dict[str, Any]:
    """A Segment message."""
    return {"type": "track", "event": "Seen", **fields}


class Tail:
    """Somebody who tails a space, a few events at a time."""

    def __init__(self, service: InProcessService, limit: int = 3, **filters: Any) -> None:
        asked: dict[str, Any] = {"types": [], "sources": [], **filters}
        self.service = service
        self.question = TailSpace(space=1, start=NEWEST, limit=limit, **asked)
        self.positions = self._ask(None).positions

    def more(self) -> list[str]:
        """Returns the message ids of all that came since."""
        found: list[str] = []
        while True:
            page = self._ask(self.positions)
            found.extend(each.event.message_id for each, _, _ in page.events)
            self.positions = page.positions
            if page.is_end:
                return found

    def _ask(self, positions: list[int] | None) -> TailPage:
        return self.service.read(tail_space(self.service.shard_map, self.question, positions))


@pytest.mark.parametrize("seed", range(6))
def test_a_tail_is_complete(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is asked when, every event comes once, and repeats and refused ones never."""
    random = Random(seed)
    monkeypatch.setattr(list_reader, "EVENTS_LOOKED_MAX", random.choice((1, 10, 10_000)))
    service = InProcessService({"others": {"limit": None}}, shards=random.randint(1, 3))
    service.send(track(userId="before"))
    tail = Tail(service, random.randint(1, 5))
    sent: list[str] = []
    found: list[str] = []
    for at in range(60):
        fields: dict[str, Any] = {"userId": f"u{random.randint(0, 9)}"}
        if random.random() < 0.3:
            fields["anonymousId"] = f"a{random.randint(0, 9)}"
        if random.random() < 0.2:
            fields |= {"type": "group", "groupId": "g"}
        service.send_batch(
            [
                track(messageId=f"m{at}") | fields,
                track(messageId="none"),
                track(userId="u", event=""),
            ]
        )
        sent.append(f"m{at}")
        if random.random() < 0.3:
            found.extend(tail.more())
            assert [] == tail.more()
    found.extend(tail.more())

    assert sorted(sent) == sorted(found)
    if service.shard_map.shard_count == 1:
        assert sent == found


def test_a_tail_is_narrowed() -> None:
    """Kinds and sources that are not asked for are passed over, and not come back to."""
    service = InProcessService({})
    tail = Tail(service, types=[TYPE_CODES["identify"]])
    other = Tail(service, sources=[77])
    service.send(track(userId="u", messageId="m1"))
    service.send({"type": "identify", "userId": "u", "traits": {"a": 1}, "messageId": "m2"})

    assert ["m2"] == tail.more()
    assert [] == other.more()


def test_an_event_comes_with_its_profile() -> None:
    """Named by the founding member of the profile that it has by now."""
    service = InProcessService({})
    service.send(track(anonymousId="a"))
    start = Tail(service).positions
    service.send(track(userId="u", messageId="m1"))
    service.send(track(userId="u", anonymousId="a", messageId="m2"))
    question = TailSpace(1, NEWEST, [], [], 9)
    page = service.read(tail_space(service.shard_map, question, start))
    canonical = service.segment_id("user_id:u")
    assert canonical is not None
    named = member_of_segment_id(canonical)
    assert named is not None

    assert ["m1", "m2"] == [each.event.message_id for each, _, _ in page.events]
    assert [named[1], named[1]] == [root for _, _, root in page.events]


def test_an_event_says_that_its_link_is_pending(shard: OneShard) -> None:
    """Until the link is decided nobody can say whose it is."""
    shard.append(frame("user_id:a", "anonymous_id:b@1"))
    question = TailSpace(SPACE, 0, [], [], 9)
    (before,) = shard.ask(question)
    shard.push(Push(clears=[ClearPush(shard.pending()[0].position, 2, member("user_id:a"), 1, [])]))
    (after,) = shard.ask(question)

    assert isinstance(before, TailedEvents)
    assert isinstance(after, TailedEvents)
    assert [True] == [each.is_pending for each in before.events]
    assert [False] == [each.is_pending for each in after.events]
