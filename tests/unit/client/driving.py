"""What the client's tests share: a clock that only pauses move, and calls answered by hand."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import grpc
import grpc_testing
from google.protobuf.message import Message
from unify_client import RetryPolicy, UnifyClient
from unify_client.status_details import METADATA_KEY, StatusDetails, write_details

from unify_grpc._pb.unify.v1 import (
    ingest_service_pb2,
    operations_service_pb2,
    profile_service_pb2,
    space_service_pb2,
)

SERVICES = {
    name: module.DESCRIPTOR.services_by_name[name]
    for name, module in (
        ("IngestService", ingest_service_pb2),
        ("ProfileService", profile_service_pb2),
        ("SpaceService", space_service_pb2),
        ("OperationsService", operations_service_pb2),
    )
}


@dataclass
class Clock:
    """Counts seconds; a pause moves it and is noted."""

    now_s: float = 0.0
    pauses_s: list[float] = field(default_factory=list)

    def __call__(self) -> float:
        """Tells the time."""
        return self.now_s

    def sleep(self, pause_s: float) -> None:
        """Lets a pause pass at once."""
        self.pauses_s.append(pause_s)
        self.now_s += pause_s

    async def asleep(self, pause_s: float) -> None:
        """The same for the asynchronous client."""
        self.sleep(pause_s)


@dataclass
class Failure:
    """An answer that is an error."""

    code: grpc.StatusCode
    details: StatusDetails | None = None


@dataclass
class Taken:
    """One call as the service saw it."""

    metadata: dict[str, str]
    request: Any


class Driven:
    """A blocking client whose calls are answered by hand."""

    def __init__(self, retry: RetryPolicy | None = None) -> None:
        self.clock = Clock()
        self.taken: list[Taken] = []
        self._channel = grpc_testing.channel(SERVICES.values(), grpc_testing.strict_fake_time(0))
        self.client = UnifyClient(
            key="dev_write_key",
            space="dev",
            retry=retry,
            channel=self._channel,
            clock=self.clock,
            sleep=self.clock.sleep,
            chance=lambda: 1.0,
        )

    def answer(
        self, service: str, method: str, call: Callable[[], Any], *answers: Message | Failure
    ) -> Any:
        """Returns what a call returns where its attempts are answered so, one after another."""
        described = SERVICES[service].methods_by_name[method]
        with ThreadPoolExecutor(max_workers=1) as threads:
            result = threads.submit(call)
            for answer in answers:
                metadata, request, rpc = self._channel.take_unary_unary(described)
                self.taken.append(Taken(dict(metadata), request))
                if isinstance(answer, Failure):
                    rpc.terminate(None, trailing(answer), answer.code, "As the test asked.")
                else:
                    rpc.terminate(answer, (), grpc.StatusCode.OK, "")
            return result.result()

    def ingest(self, call: Callable[[], Any], *answers: Message | Failure) -> Any:
        """The same for Ingest."""
        return self.answer("IngestService", "Ingest", call, *answers)


def refused(code: grpc.StatusCode, reason: str, retry_delay_s: float | None = None) -> Failure:
    """Returns a failure with the service's reason."""
    details = StatusDetails(reason=reason, domain="unify", retry_delay_s=retry_delay_s)
    return Failure(code, details)


def trailing(failure: Failure) -> tuple[tuple[str, bytes], ...]:
    """Returns the metadata that a failure travels with."""
    if failure.details is None:
        return ()
    number = failure.code.value[0]
    return ((METADATA_KEY, write_details(number, "As the test asked.", failure.details)),)


def stored(*indexes: int) -> ingest_service_pb2.IngestResponse:
    """Returns an answer in which these events were stored and created a profile."""
    return ingest_service_pb2.IngestResponse(
        results=[
            ingest_service_pb2.EventResult(
                index=index, status="EVENT_STATUS_STORED", segment_id=f"use_{index}",
                outcome="OUTCOME_CREATED",
            )
            for index in indexes
        ]
    )  # fmt: skip
