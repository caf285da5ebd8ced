"""A client that fills stores up, and knows what was acknowledged to it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, NamedTuple, Self

from unify_client import (
    Ack,
    EventStatus,
    ServingState,
    StorageFull,
    UnifyClient,
    identify,
    track,
)

from tests.integration.service import ACCESS_TOKEN, ADMIN_TOKEN, WRITE_KEY, Service

if TYPE_CHECKING:
    from types import TracebackType

    from unify_client import Event, EventResult, ServiceStatus

PADDING: Final = "x" * 16_000
"""Of an event, so that few are enough to fill a small disk."""
BATCH_EVENTS: Final = 20
REFUSED_S_MAX: Final = 3.0
"""For an answer that comes at once, on a machine that is busy; deadlines are 10 s and more."""


class Refused(NamedTuple):
    """A refusal for want of room."""

    error: StorageFull
    took_s: float


class Filling:
    """Calls of one service. Everything it was acknowledged is in `acked`."""

    def __init__(self, service: Service) -> None:
        self.writer = UnifyClient(service.address, key=WRITE_KEY, timeout_s=20)
        self.reader = UnifyClient(service.address, key=ACCESS_TOKEN, timeout_s=20)
        self.admin = UnifyClient(service.address, key=ADMIN_TOKEN, timeout_s=20)
        self.acked: list[Event] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for client in (self.writer, self.reader, self.admin):
            client.close()

    def send(self, events: list[Event], *, ack: Ack = Ack.RESOLVED) -> list[EventResult]:
        """Sends events; what is acknowledged is kept in mind."""
        results = self.writer.ingest(events, ack=ack)
        assert all(each.stored for each in results)
        self.acked += events
        return results

    def send_refused(self, events: list[Event]) -> Refused:
        """Sends events that there is no room for."""
        began = time.monotonic()
        try:
            self.writer.ingest(events)
        except StorageFull as error:
            return Refused(error, time.monotonic() - began)
        message = "there was room"
        raise AssertionError(message)

    def send_until_full(self, name: str, batches_max: int) -> Refused:
        """Sends large events until they are refused."""
        for batch in range(batches_max):
            events = [large(f"{name}-{batch}-{each}") for each in range(BATCH_EVENTS)]
            began = time.monotonic()
            try:
                self.send(events)
            except StorageFull as error:
                return Refused(error, time.monotonic() - began)
        message = f"not full after {batches_max} batches"
        raise AssertionError(message)

    def is_taken(self, events: list[Event]) -> bool:
        """Whether events are taken by now."""
        try:
            self.send(events)
        except StorageFull:
            return False
        return True

    def status(self) -> ServiceStatus:
        """Asks how the service is doing."""
        return self.admin.get_status()

    def full_parts(self) -> set[str]:
        """Returns the names of the parts that say they are full."""
        status = self.status()
        shards = {f"shard-{each.shard}" for each in status.shards if is_full(each.state)}
        merging = {
            f"merge-{each.merge_actor}" for each in status.merge_actors if is_full(each.state)
        }
        assert status.ready == (not shards | merging)
        return shards | merging

    def all_is_read(self) -> None:
        """Whoever sent what was acknowledged is found, with that event."""
        for event in self.acked[-50:]:
            listed = self.reader.list_events(f"user_id:{event.user_id}")
            assert event.message_id in [each.message_id for each in listed]

    def all_is_there(self) -> None:
        """Everything acknowledged is known: sent again it is a duplicate, and found once."""
        for start in range(0, len(self.acked), BATCH_EVENTS):
            again = self.writer.ingest(self.acked[start : start + BATCH_EVENTS])
            assert {EventStatus.DUPLICATE} == {each.status for each in again}


def is_full(state: ServingState) -> bool:
    """Whether a part refuses events."""
    return state is ServingState.FULL


def large(user_id: str) -> Event:
    """An event of about 16 KB, of somebody by one identifier."""
    return track(
        "Seen", user_id=user_id, message_id=f"m-{user_id}", properties={"padding": PADDING}
    )


def small(user_id: str, message_id: str = "") -> Event:
    """A small one."""
    return track("Seen", user_id=user_id, message_id=message_id or f"s-{user_id}")


def linking(name: str) -> Event:
    """An event that links three identifiers seen nowhere else."""
    return identify(
        user_id=f"u-{name}",
        anonymous_id=f"a-{name}",
        message_id=f"l-{name}",
        traits={"email": f"{name}@example.com"},
    )


def are_linked(reader: UnifyClient, name: str) -> bool:
    """Whether they are one profile, seen from the first and the last."""
    names = (f"user_id:u-{name}", f"anonymous_id:a-{name}")
    return all(3 == len(reader.get_profile(each).external_ids) for each in names)
