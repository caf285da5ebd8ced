"""`Verify` and `unify verify --address`: a running service is sound, or says what is not."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from click.testing import CliRunner
from unify_client import (
    IdentifierNotDeletable,
    IdentifierNotFound,
    ScopeMissing,
    UnifyClient,
    group,
    identify,
    track,
)

from actors.command_line import main
from tests.integration.service import ACCESS_TOKEN, ADMIN_TOKEN, WRITE_KEY, Service
from tests.integration.stopped_service import plant, store_names, stored
from unify_grpc.machines import rows
from unify_grpc.machines.rows import MemberRow
from unify_grpc.service import server
from unify_grpc.settings import Settings
from unify_grpc.storage.records import HEAD_BYTES

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result
    from unify_client import Event

VERIFICATIONS = 2
"""While events come in."""
PEOPLE = 8


def events_of(round_: int) -> list[Event]:
    """Returns a batch that founds, links and merges profiles, and says something about accounts."""
    events: list[Event] = []
    for person in range(PEOPLE):
        phone, laptop = f"phone-{round_}-{person}", f"laptop-{round_}-{person}"
        user = f"user-{round_ % 3}-{person}"
        events += [
            track("Seen", anonymous_id=phone),
            track("Seen", anonymous_id=laptop),
            identify(user_id=user, anonymous_id=phone, traits={"name": f"N{round_}"}),
            identify(user_id=user, anonymous_id=laptop, traits={"email": f"{user}@example.com"}),
            group(user_id=user, group_id=f"group-{person % 5}", traits={"plan": "x"}),
        ]
    return events


class Traffic(threading.Thread):
    """Sends events and deletes identifiers until it is told to end."""

    def __init__(self, address: str) -> None:
        super().__init__()
        self._address = address
        self.is_over = threading.Event()
        self.has_begun = threading.Event()
        self.rounds = 0
        self.deleted = 0
        self.failure: Exception | None = None

    def run(self) -> None:
        """Goes on until `is_over`."""
        try:
            with (
                UnifyClient(self._address, key=WRITE_KEY, timeout_s=60) as writer,
                UnifyClient(self._address, key=ACCESS_TOKEN, timeout_s=60) as keeper,
            ):
                while not self.is_over.is_set():
                    writer.ingest(events_of(self.rounds))
                    self.delete_one(keeper)
                    self.rounds += 1
                    self.has_begun.set()
        except Exception as error:  # noqa: BLE001 - told to the test, which fails with it
            self.failure = error
            self.has_begun.set()

    def delete_one(self, keeper: UnifyClient) -> None:
        """Parts a person from an identifier, if there is one to part it from."""
        user = f"user_id:user-{self.rounds % 3}-{self.rounds % PEOPLE}"
        phone = f"anonymous_id:phone-{self.rounds}-{self.rounds % PEOPLE}"
        with suppress(IdentifierNotDeletable, IdentifierNotFound):
            keeper.delete_external_ids(user, [phone])
            self.deleted += 1


def run_verify(*arguments: str) -> Result:
    """Runs the command."""
    return CliRunner().invoke(main, ["verify", *arguments])


@pytest.mark.ray
@pytest.mark.timeout(300)
def test_a_service_at_work_is_sound(tmp_path: Path) -> None:
    """While events, merges and deletions go on nothing is found, nor later, nor when stopped."""
    data = tmp_path / "data"
    with Service(
        data,
        "--shards",
        "3",
        checkpoint_overlay_bytes_max=1 << 18,
        checkpoint_tail_bytes_max=1 << 18,
    ) as service:
        traffic = Traffic(service.address)
        traffic.start()
        assert traffic.has_begun.wait(60)
        with UnifyClient(service.address, key=ADMIN_TOKEN, timeout_s=60) as client:
            meanwhile = [client.verify(timeout_s=200) for _ in range(VERIFICATIONS)]
            traffic.is_over.set()
            traffic.join()
            after = client.verify(timeout_s=200)
        told = run_verify("--address", service.address, "--token", ADMIN_TOKEN)
        refused = run_verify("--data-dir", str(data))
    stopped = run_verify("--data-dir", str(data))

    assert traffic.failure is None
    assert traffic.rounds > 1
    assert traffic.deleted
    assert [] == [each for verified in (*meanwhile, after) for each in verified.findings]
    assert all(each.sound for each in meanwhile)
    assert after.records_checked_count > 1000
    assert (0, True) == (told.exit_code, told.output.startswith("sound: ")), told.output
    assert 2 == refused.exit_code
    assert "verify it by --address" in refused.stderr
    assert (0, True) == (stopped.exit_code, stopped.output.startswith("sound: ")), stopped.output


@pytest.mark.ray
@pytest.mark.timeout(200)
def test_damage_is_told_by_a_running_service(tmp_path: Path) -> None:
    """A row that changed while the service was stopped is told when it runs, at its part."""
    data = tmp_path / "data"
    with (
        Service(data, "--shards", "3") as service,
        UnifyClient(service.address, key=WRITE_KEY, timeout_s=60) as writer,
    ):
        writer.ingest(events_of(0))
    part, key = next(
        (name, key)
        for name in store_names()[:3]
        for key, value in stored(data, name, "state").items()
        if key[:1] == rows.MEMBER and MemberRow.unpack(value[HEAD_BYTES:]).event_count
    )
    plant(data, part, key, _with_one_event_more)
    with Service(data) as service:
        told = run_verify("--address", service.address, "--token", ADMIN_TOKEN)
        reader = run_verify("--address", service.address, "--token", ACCESS_TOKEN)
        with (
            UnifyClient(service.address, key=ACCESS_TOKEN) as client,
            pytest.raises(ScopeMissing),
        ):
            client.verify()

    assert 1 == told.exit_code
    assert f"{part}: event_lists: row m {key[1:].hex()}: it counts" in told.output
    assert "example.com" not in told.output
    assert 2 == reader.exit_code
    assert "SCOPE_MISSING" in reader.stderr


def _with_one_event_more(data: bytes) -> bytes:
    row = MemberRow.unpack(data)
    row.event_count += 1
    return row.pack()


@pytest.mark.timeout(60)
async def test_a_silent_call_outlives_the_pings_of_its_client(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A client that asks as often as it may whether the service is there keeps its call.

    So a call that says nothing for minutes, as this one does, is not cut off by the library.
    """
    monkeypatch.setattr(server, "PING_INTERVAL_MS_MIN", 200)
    silent = asyncio.Event()

    async def say_nothing(request: bytes, context: object) -> bytes:
        del context
        await silent.wait()
        return request

    serving = grpc.aio.server(options=server.options_of(Settings()))
    method: Any = grpc.unary_unary_rpc_method_handler(say_nothing)
    serving.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("t.T", {"M": method}),))
    port = serving.add_insecure_port("127.0.0.1:0")
    await serving.start()
    options = [("grpc.keepalive_time_ms", 300), ("grpc.http2.max_pings_without_data", 0)]
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=options) as channel:
        call: Any = channel.unary_unary("/t.T/M")
        with pytest.raises(grpc.aio.AioRpcError) as ended:
            await call(b"", timeout=4)
    silent.set()
    await serving.stop(grace=None)

    assert grpc.StatusCode.DEADLINE_EXCEEDED == ended.value.code(), ended.value.details()
