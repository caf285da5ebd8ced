"""A byte that changed on the disk harms what it belongs to, and nobody else."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import lmdb
import pytest
from unify_client import (
    EventStatus,
    Outcome,
    StorageCorrupt,
    UnifyClient,
    identify,
    track,
)

from tests.integration.service import ACCESS_TOKEN, WRITE_KEY, Service

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from unify_client import Event

pytestmark = [pytest.mark.ray, pytest.mark.timeout(180)]

SHARDS = 2
PEOPLE = 10
ALONE = "alone-3"
LINKED = "device-5"
MEMBER_TABLE = b"m"
PROMPT_S = 5.0
"""Half of a call's deadline, on a machine that is busy."""


def known_events() -> list[Event]:
    """What is stored before: people with one identifier, and people with two."""
    events = [track("Seen", anonymous_id=f"alone-{each}") for each in range(PEOPLE)]
    for each in range(PEOPLE):
        events.append(track("Seen", anonymous_id=f"device-{each}"))
        events.append(identify(user_id=f"user-{each}", anonymous_id=f"device-{each}"))
    return events


def flip_byte(data_dir: Path, value: str) -> None:
    """Flips a bit in the row of an identifier, wherever its pages are in the file."""
    for shard in range(SHARDS):
        state = data_dir / f"shard-{shard}" / "state"
        with (
            lmdb.open(str(state), readonly=True, lock=False) as environment,
            environment.begin() as rows,
        ):
            found = [
                bytes(row)
                for key, row in rows.cursor()
                if key[:1] == MEMBER_TABLE and value.encode() in row
            ]
        if found:
            (row,) = found
            content = (state / "data.mdb").read_bytes()
            assert row in content
            damaged = content.replace(row, row[:-1] + bytes([row[-1] ^ 1]))
            (state / "data.mdb").write_bytes(damaged)
            return
    raise AssertionError(f"no shard has a row of {value}")


@pytest.fixture(scope="module")
def damaged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service, started again after two rows were damaged."""
    service = Service(tmp_path_factory.mktemp("damaged") / "data", "--shards", str(SHARDS))
    with service:
        with UnifyClient(service.address, key=WRITE_KEY) as writer:
            assert all(each.stored for each in writer.ingest(known_events()))
        assert 0 == service.stop()
        for value in (ALONE, LINKED):
            flip_byte(service.data_dir, value)
        service.start()
        actors = [service.actor_pids(name) for name in ("ShardActor", "MergeActor")]
        yield service
        assert actors == [service.actor_pids(name) for name in ("ShardActor", "MergeActor")]


def test_only_reads_of_a_damaged_value_fail(damaged: Service) -> None:
    """They fail with DATA_LOSS, also among others that travel in one call; the log names a key
    and no value.
    """
    with (
        UnifyClient(damaged.address, key=ACCESS_TOKEN) as reader,
        ThreadPoolExecutor(16) as pool,
    ):
        values = [f"{kind}-{each}" for kind in ("alone", "device") for each in range(PEOPLE)] * 5
        reads = [pool.submit(reader.get_profile, f"anonymous_id:{each}") for each in values]
        errors = {value: read.exception() for value, read in zip(values, reads, strict=True)}
        with pytest.raises(StorageCorrupt) as refused:
            reader.get_profile("user_id:user-5")

    assert {ALONE, LINKED} == {value for value, error in errors.items() if error is not None}
    assert all(isinstance(errors[value], StorageCorrupt) for value in (ALONE, LINKED))
    assert ("DATA_LOSS", "STORAGE_CORRUPT") == (refused.value.code, refused.value.reason)
    assert refused.value.metadata["actor"].startswith("shard-")
    logs = "".join(
        (damaged.data_dir / f"shard-{each}" / "actor.log").read_text() for each in range(SHARDS)
    )
    assert 2 == logs.count("value_damaged")
    assert not any(value in logs for value in (ALONE, LINKED))


def test_only_events_under_a_damaged_value_are_refused(damaged: Service) -> None:
    """A request that has to add to it is refused with DATA_LOSS; those that travel in the same
    call to the shard are stored.
    """
    with UnifyClient(damaged.address, key=WRITE_KEY) as writer, ThreadPoolExecutor(16) as pool:
        values = [f"alone-{each}" for each in range(PEOPLE)] * 5
        writes = [
            pool.submit(writer.ingest, [track("Again", anonymous_id=value)]) for value in values
        ]
        errors = {value: write.exception() for value, write in zip(values, writes, strict=True)}

    assert {ALONE} == {value for value, error in errors.items() if error is not None}
    assert isinstance(errors[ALONE], StorageCorrupt)


def test_links_of_others_are_decided(damaged: Service) -> None:
    """A link that needs a damaged value is stored and answered PENDING, one whose rows meet
    damage harms no later one, and links of others are decided at once.
    """
    with UnifyClient(damaged.address, key=WRITE_KEY) as writer:
        began = time.monotonic()
        needing = writer.ingest(
            [
                identify(user_id="new-3", anonymous_id=ALONE),
                identify(user_id="new-4", anonymous_id="alone-4"),
            ]
        )
        writer.ingest([identify(user_id="user-5", traits={"email": "5@example.com"})])
        others = writer.ingest(
            [
                identify(user_id=f"user-{each}", traits={"email": f"{each}@example.com"})
                for each in range(6, PEOPLE)
            ]
        )

    assert time.monotonic() - began < PROMPT_S
    assert {EventStatus.STORED} == {each.status for each in needing + others}
    assert Outcome.PENDING is needing[0].outcome
    assert Outcome.PENDING not in {each.outcome for each in (needing[1], *others)}
    with UnifyClient(damaged.address, key=ACCESS_TOKEN) as reader:
        for each in range(6, PEOPLE):
            assert 3 == len(reader.get_profile(f"user_id:user-{each}").external_ids)
        assert 2 == len(reader.get_profile("anonymous_id:alone-4").external_ids)
