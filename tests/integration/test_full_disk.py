"""A service whose disks are full refuses what is new, serves what it has, loses nothing, and goes
on by itself when there is room.
"""

from __future__ import annotations

import contextlib
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from unify_client import Outcome, ProfileNotFound, StorageFull, identify

from tests.integration.filling import (
    BATCH_EVENTS,
    REFUSED_S_MAX,
    Filling,
    are_linked,
    large,
    linking,
    small,
)
from tests.integration.service import Service
from tests.integration.small_disks import DisksRefusedError, SmallDisks
from tests.integration.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from unify_client import UnifyClient

pytestmark = [pytest.mark.ray, pytest.mark.timeout(240)]

MB = 1 << 20
EVENTS = "events"
REST = "rest"


@pytest.fixture
def disks() -> Iterator[SmallDisks]:
    """Small disks, where this machine lets us have them."""
    with contextlib.ExitStack() as stack:
        try:
            made = stack.enter_context(SmallDisks())
        except DisksRefusedError as error:
            pytest.skip(f"not run: {error}")
        yield made


def served(disks: SmallDisks, data_dir: Path, **settings: Any) -> Service:
    """A service that sees the disks; it is not started."""
    service = Service(data_dir, "--shards", "2", **settings)
    service.wrapper = disks.wrapper
    return service


def taken_soon(filling: Filling, name: str) -> Callable[[], bool]:
    """Whether new events are taken by every shard, asked anew each time: each finds out for
    itself that there is room.
    """
    numbers = iter(range(1_000_000))

    def are_taken() -> bool:
        attempt = next(numbers)
        return filling.is_taken([small(f"{name}-{attempt}-{each}") for each in range(BATCH_EVENTS)])

    return are_taken


def is_visible(reader: UnifyClient, name: str) -> bool:
    """Whether a link shows, where parts of it may not be found yet."""
    try:
        return are_linked(reader, name)
    except ProfileNotFound:
        return False


def test_a_full_disk(tmp_path: Path, disks: SmallDisks) -> None:
    """Events are refused while a reserve is left, in which links and deletions still fit; with
    nothing left everything is read, before and after a restart; with room all goes on.
    """
    data = tmp_path / "data"
    data.mkdir()
    disks.mount(data, 80 * MB)
    service = served(
        disks, data, reserve_bytes=12 * MB, checkpoint_overlay_bytes_max=MB, log_level="debug"
    )
    with service:
        with Filling(service) as filling:
            filling.send([linking("before"), linking("deleted")])
            disks.fill(data, name=EVENTS, left_bytes=30 * MB)
            refused = filling.send_until_full("full", 100)
            assert refused.took_s < REFUSED_S_MAX
            assert "RESOURCE_EXHAUSTED" == refused.error.code
            assert "disk" == refused.error.metadata["full"]
            assert refused.error.retry_delay_s is None
            assert {"shard-0", "shard-1", "merge-0"} >= filling.full_parts() >= {"shard-0"}
            assert are_linked(filling.reader, "before")

            filling.reader.delete_external_ids("user_id:u-deleted", ["email:deleted@example.com"])
            filling.admin.create_space("in the reserve")
            assert disks.free_bytes(data) > 6 * MB
            disks.fill(data, name=REST)
            refuses_everything(service)
            assert are_linked(filling.reader, "before")
        assert 0 == service.stop()

        service.start()
        with Filling(service) as again:
            again.acked = filling.acked
            assert {"shard-0", "shard-1", "merge-0"} == again.full_parts()
            assert are_linked(again.reader, "before")
            assert 1 == len(list(again.reader.list_events(f"user_id:{user_of(again)}")))
            refuses_everything(service)

            disks.free(data, name=REST)
            disks.free(data, name=EVENTS)
            eventually(taken_soon(again, "after"), "events are taken again")
            again.send([linking("after")])
            eventually(partial(is_visible, again.reader, "after"), "a new link is decided")
            assert set() == again.full_parts()
            again.all_is_there()


def user_of(filling: Filling) -> str:
    """Somebody whose event was the last to be acknowledged."""
    return filling.acked[-1].user_id


def refuses_everything(service: Service) -> None:
    """Nothing that would have to be written is taken, and each call is told so at once."""
    with Filling(service) as filling:
        assert filling.send_refused([large("refused")]).took_s < REFUSED_S_MAX
        began = time.monotonic()
        with pytest.raises(StorageFull):
            filling.admin.create_space("refused")
        with pytest.raises(StorageFull):
            filling.reader.delete_external_ids("user_id:u-before", ["email:before@example.com"])
        assert time.monotonic() - began < 2 * REFUSED_S_MAX


PARTS = ("shard-1", "merge-0", "control")


@pytest.fixture(scope="module")
def apart(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Service, SmallDisks]]:
    """A service with parts that have a small disk each."""
    data = tmp_path_factory.mktemp("apart") / "data"
    with contextlib.ExitStack() as stack:
        try:
            disks = stack.enter_context(SmallDisks())
        except DisksRefusedError as error:
            pytest.skip(f"not run: {error}")
        with Service(data, "--shards", "2"):
            pass
        for part in PARTS:
            disks.mount(data / part, 32 * MB)
        service = served(disks, data, reserve_bytes=4 * MB, checkpoint_overlay_bytes_max=MB)
        yield stack.enter_context(service), disks


def filled(apart: tuple[Service, SmallDisks], part: str) -> contextlib.ExitStack:
    """Leaves a part's disk without room while the context is open."""
    service, disks = apart
    stack = contextlib.ExitStack()
    disks.fill(service.data_dir / part)
    stack.callback(disks.free, service.data_dir / part)
    return stack


def test_a_shard_without_room(apart: tuple[Service, SmallDisks]) -> None:
    """The other shard takes events; a link that the full one has to show is answered PENDING at
    once, and shows by itself when there is room.
    """
    with Filling(apart[0]) as filling:
        filling.send([small(f"shard-{each}") for each in range(20)])
        with filled(apart, "shard-1"):
            taken = {
                each: filling.is_taken([small(f"shard-{each}", f"again-{each}")])
                for each in range(20)
            }
            assert {False, True} == set(taken.values())
            assert {"shard-1"} == filling.full_parts()
            for each in range(20):
                filling.reader.get_profile(f"user_id:shard-{each}")
            pending = links_with_a_full_shard(filling)
        for name in pending:
            eventually(partial(is_visible, filling.reader, name), f"{name} is linked")
        eventually(taken_soon(filling, "shard-after"), "events are taken again")
        assert set() == filling.full_parts()
        filling.all_is_there()


def links_with_a_full_shard(filling: Filling) -> list[str]:
    """Sends links whose event the other shard takes; returns those that are not decided."""
    pending: list[str] = []
    for each in range(40):
        name = f"halved-{each}"
        began = time.monotonic()
        try:
            results = filling.send([linking(name)])
        except StorageFull:
            continue
        assert time.monotonic() - began < REFUSED_S_MAX
        pending += [name] * (Outcome.PENDING is results[0].outcome)
        if len(pending) == 2:
            return pending
    message = "no link needed the shard that is full"
    raise AssertionError(message)


def test_a_merge_actor_without_room(apart: tuple[Service, SmallDisks]) -> None:
    """What it need not decide goes on; new links are stored and answered PENDING at once,
    deletions refused; when there is room they are decided without being sent again.
    """
    with Filling(apart[0]) as filling:
        filling.send([linking("merge-known"), small("merge-known")])
        with filled(apart, "merge-0"):
            began = time.monotonic()
            results = filling.send([linking(f"merge-{each}") for each in range(20)])
            results += filling.send([linking("merge-20")])
            assert {Outcome.PENDING} == {each.outcome for each in results}
            assert time.monotonic() - began < 2 * REFUSED_S_MAX
            again = identify(
                user_id="u-merge-known",
                anonymous_id="a-merge-known",
                traits={"email": "merge-known@example.com", "plan": "pro"},
                message_id="merge-known-again",
            )
            assert Outcome.PENDING is not filling.send([again])[0].outcome
            filling.send([small("merge-known", "s-merge-known-again")])
            assert {"merge-0"} == filling.full_parts()
            with pytest.raises(StorageFull):
                filling.reader.delete_external_ids(
                    "user_id:u-merge-known", ["email:merge-known@example.com"]
                )
            assert are_linked(filling.reader, "merge-known")
            filling.reader.explain_identity(
                "user_id:u-merge-known", "email:merge-known@example.com"
            )
        for each in range(21):
            visible = partial(is_visible, filling.reader, f"merge-{each}")
            eventually(visible, f"merge-{each} is linked")
        assert are_linked(filling.reader, "merge-known")
        filling.reader.delete_external_ids(
            "user_id:u-merge-known", ["email:merge-known@example.com"]
        )
        filling.send([linking("merge-after")])
        assert set() == filling.full_parts()
        filling.all_is_there()


def test_control_without_room(apart: tuple[Service, SmallDisks]) -> None:
    """Administration is refused and events go on; with room it is taken."""
    with Filling(apart[0]) as filling:
        with filled(apart, "control"):
            refused = create_spaces_until_full(filling)
            filling.send([linking("control-1"), small("control-2")])
            assert are_linked(filling.reader, "control-1")
            assert {"dev"} <= {each.name for each in filling.admin.list_spaces()}
        assert refused not in {each.name for each in filling.admin.list_spaces()}
        assert filling.admin.create_space(refused).write_key


def create_spaces_until_full(filling: Filling) -> str:
    """Creates spaces, which pages that are free within the files have room for; then no more."""
    for number in range(200):
        name = f"space-{number}"
        began = time.monotonic()
        try:
            filling.admin.create_space(name)
        except StorageFull:
            assert time.monotonic() - began < REFUSED_S_MAX
            return name
    message = "control is never full"
    raise AssertionError(message)


def test_rows_without_room(tmp_path: Path, disks: SmallDisks) -> None:
    """Where the log has room and a checkpoint has none, events are taken until so much waits in
    memory; then they are refused, and nothing is lost by a restart in that state.
    """
    data = tmp_path / "data"
    with Service(data, "--shards", "2"):
        pass
    disks.mount(data / "shard-0" / "state", 16 * MB)
    service = served(disks, data, reserve_bytes=0, checkpoint_overlay_bytes_max=MB // 4)
    with service:
        disks.fill(data / "shard-0" / "state")
        with Filling(service) as filling:
            refused = filling.send_until_full("rows", 200)
            assert refused.took_s < REFUSED_S_MAX
            assert len(filling.acked) > 40
            assert "shard-0" in filling.full_parts()
            filling.all_is_read()
        assert 0 == service.stop()
        service.start()
        with Filling(service) as again:
            again.acked = filling.acked
            again.all_is_read()
            disks.free(data / "shard-0" / "state")
            eventually(taken_soon(again, "rows-after"), "events are taken again")
            again.all_is_there()
            eventually(lambda: not again.full_parts(), "nobody says that it is full")


def test_a_full_map(tmp_path: Path) -> None:
    """A file that has grown to `map_bytes` refuses events like a full disk, and says so; what
    was accepted before still fits, and a start with a larger one takes events again.
    """
    data = tmp_path / "data"
    service = Service(
        data, "--shards", "2", map_bytes=16 * MB, checkpoint_overlay_bytes_max=MB // 2
    )
    with service:
        with Filling(service) as filling:
            filling.send([linking("before")])
            refused = filling.send_until_full("map", 200)
            assert refused.took_s < REFUSED_S_MAX
            assert "map" == refused.error.metadata["full"]
            assert "map_bytes" in refused.error.detail
            assert {"shard-0", "shard-1"} & filling.full_parts()
            filling.reader.delete_external_ids("user_id:u-before", ["email:before@example.com"])
            assert 2 == len(filling.reader.get_profile("user_id:u-before").external_ids)
            filling.all_is_read()
        assert 0 == service.stop()

    service = Service(data, map_bytes=64 * MB, checkpoint_overlay_bytes_max=MB // 2)
    with service, Filling(service) as again:
        again.acked = filling.acked
        again.all_is_read()
        assert set() == again.full_parts()
        again.send([large(f"map-after-{each}") for each in range(20)])
        again.all_is_there()
