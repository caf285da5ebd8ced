"""Counts of a space are those of its rows, whatever became of its profiles."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

import pytest

from tests.engine.in_process import InProcessService
from tests.unit.machines.frames import frame
from tests.unit.machines.one_shard import OneShard
from unify_grpc.machines.batch import pack_batch
from unify_grpc.machines.list_questions import Counted, CountSpaces
from unify_grpc.machines.rows import MEMBER, MemberRow
from unify_grpc.machines.space_counts import is_profile

if TYPE_CHECKING:
    from typing import Any


def track(**fields: str) -> dict[str, Any]:
    """A Segment message."""
    return {"type": "track", "event": "Seen", **fields}


def check(service: InProcessService) -> None:
    """Compares what each shard counts with its rows."""
    profiles = 0
    for shard in service.shards:
        (counted,) = shard.reader.answer([CountSpaces()])
        assert isinstance(counted, Counted)
        rows = [(key[1:], MemberRow.unpack(data)) for key, data in shard.store.scan(MEMBER)]
        assert sum(row.event_count for _, row in rows) == counted.events
        bound = [row for _, row in rows if row.founded or row.seq]
        assert len(bound) == counted.identifiers
        assert sum(is_profile(member, row) for member, row in rows) == counted.profiles
        profiles += counted.profiles
    assert len(service.partition()) + len(service.partition("accounts")) == profiles


@pytest.mark.parametrize("seed", range(10))
def test_counts_are_those_of_the_rows(seed: int) -> None:
    """Events, identifiers and living profiles, through merges, repeats, deletions and restarts."""
    random = Random(seed)
    service = InProcessService({"others": {"limit": 2}}, shards=random.randint(1, 4))
    for at in range(40):
        messages: list[dict[str, Any]] = []
        for _ in range(random.randint(1, 4)):
            user, device = f"u{random.randint(0, 5)}", f"a{random.randint(0, 8)}"
            fields = random.choice(
                ({"userId": user}, {"anonymousId": device}, {"userId": user, "anonymousId": device})
            )
            messages.append(track(**fields, messageId=f"m{random.randint(0, 60)}"))
            if random.random() < 0.2:
                messages[-1] |= {"type": "group", "groupId": f"g{random.randint(0, 2)}"}
        service.send_batch(messages)
        if at == 20:
            service.send(track(userId="kept", anonymousId="parted"))
            service.delete("user_id:kept", ["anonymous_id:parted"])
            service.send(track(anonymousId="parted"))
        if random.random() < 0.1:
            service.checkpoint()
            service.restart()
    check(service)


def test_spaces_that_share_a_batch_are_counted_apart(shard: OneShard) -> None:
    """Each space has its own counts and its own activity."""
    frames = [frame("user_id:a"), frame("user_id:b", space=2), frame("user_id:c", space=2)]
    data = pack_batch(bytes(16), [(1, 1), (2, 1)], frames)
    shard.execute(shard.machine.append(data, shard.store.next_number))
    (counted,) = shard.ask(CountSpaces())

    assert Counted(3, 3, 3) == counted
    assert 2 == sum(key[:1] == b"z" for key in shard.store.rows)
    assert 2 == sum(key[:1] == b"a" for key in shard.store.rows)
