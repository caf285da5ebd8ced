"""A fake service in memory, for the tests of those who use this client.

It serves on a free port of the loopback interface, remembers what arrives, and fails when it is
told to. It does not resolve who is who: every event of a first identifier gets that identifier's
segment_id. Reads and administration answer what `reply` was given.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from threading import Event, Lock
from types import TracebackType
from typing import Any, NoReturn, Self

import grpc
from google.protobuf.message import Message

from unify_client.errors import DOMAIN
from unify_client.status_details import (
    METADATA_KEY,
    FieldViolation,
    StatusDetails,
    write_details,
)
from unify_client.vocabulary import EventStatus, Outcome, RejectionReason, ResultView, number_of
from unify_grpc._pb.unify.v1 import (
    event_pb2,
    ingest_service_pb2,
    operations_service_pb2,
    profile_service_pb2,
    space_service_pb2,
)

_SERVICES = {
    module.DESCRIPTOR.services_by_name[name].full_name: module
    for module, name in (
        (ingest_service_pb2, "IngestService"),
        (profile_service_pb2, "ProfileService"),
        (space_service_pb2, "SpaceService"),
        (operations_service_pb2, "OperationsService"),
    )
}
_KINDS = frozenset({"identify", "track", "page", "screen", "group", "alias"})


@dataclass(frozen=True, slots=True)
class Received:
    """One request as it arrived."""

    method: str
    """The method's name, such as `Ingest`."""
    request: Any
    """The message."""
    metadata: Mapping[str, str | bytes]
    """What came with the call."""


@dataclass(frozen=True, slots=True)
class _Failure:
    code: grpc.StatusCode
    detail: str
    details: StatusDetails
    stored: bool


class FakeUnify:
    """Serves between `with` and its end.

    Attributes:
        address: Where it serves, for a client.
        events: The events that were stored, in order, each message id once.
        received: Every request, in order, those that failed too.
        streams_count: How many streams were opened.
    """

    def __init__(self) -> None:
        self.events: list[event_pb2.Event] = []
        self.received: list[Received] = []
        self.streams_count = 0
        self.address = ""
        self._lock = Lock()
        self._answering = Event()
        self._answering.set()
        self._message_ids: set[str] = set()
        self._segment_ids: dict[str, str] = {}
        self._rejections: dict[str, RejectionReason] = {}
        self._plans: defaultdict[str, deque[_Failure | None]] = defaultdict(deque)
        self._replies: dict[str, deque[Message]] = {}
        self._threads = ThreadPoolExecutor(max_workers=8, thread_name_prefix="fake-unify")
        self._server = grpc.server(self._threads)

    def __enter__(self) -> Self:
        self._server.add_generic_rpc_handlers((_Methods(self),))
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self._server.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.stop(grace=None).wait()
        self._threads.shutdown()

    def fail_next(
        self,
        method: str,
        code: str,
        *,
        reason: str = "",
        domain: str = DOMAIN,
        detail: str = "As the test asked.",
        metadata: Mapping[str, str] | None = None,
        violations: Iterable[FieldViolation] = (),
        retry_delay_s: float | None = None,
        skip: int = 0,
        times: int = 1,
        stored: bool = False,
    ) -> None:
        """Fails requests to come; those of a stream count one by one, as do answers of a tail.

        Args:
            method: The method's name, such as `Ingest`.
            code: The gRPC code by name, such as `UNAVAILABLE`.
            reason: The reason in the details; none where it is empty.
            domain: Whose reason it is.
            detail: The sentence.
            metadata: The facts that belong to the reason.
            violations: The fields at fault.
            retry_delay_s: After how many seconds the client is asked to come back.
            skip: How many requests succeed first.
            times: How many requests fail.
            stored: Whether events are stored all the same, as when an answer is lost.
        """
        details = StatusDetails(
            reason=reason,
            domain=domain,
            metadata=metadata or {},
            violations=tuple(violations),
            retry_delay_s=retry_delay_s,
        )
        failure = _Failure(grpc.StatusCode[code], detail, details, stored)
        with self._lock:
            self._plans[method].extend([None] * skip + [failure] * times)

    def reject(self, message_id: str, reason: RejectionReason) -> None:
        """Refuses the event of a message id."""
        with self._lock:
            self._rejections[message_id] = reason

    def reply(self, method: str, *responses: Message) -> None:
        """Answers the next requests of a method, one after another, and the rest by the last.

        Those of `TailEvents` are streamed, each once; then the tail waits for whoever ends it.
        """
        with self._lock:
            self._replies[method] = deque(responses)

    @contextmanager
    def stalled(self) -> Iterator[None]:
        """Holds every answer back until `unstall`, and at the latest until the end of `with`."""
        self._answering.clear()
        try:
            yield
        finally:
            self._answering.set()

    def unstall(self) -> None:
        """Lets answers go again."""
        self._answering.set()

    def take(self, method: str, request: Any, context: grpc.ServicerContext) -> Message:
        """Answers one request; what the server calls."""
        with self._lock:
            self.received.append(Received(method, request, dict(context.invocation_metadata())))
            plan = self._plans[method]
            failure = plan.popleft() if plan else None
            response = None
            if failure is None or failure.stored:
                response = self._respond(method, request)
        self._answering.wait()
        if failure:
            _abort(context, failure)
        if response is None:
            context.abort(grpc.StatusCode.UNIMPLEMENTED, "The test gave no reply for this method.")
        return response

    def tail(self, request: Any, context: grpc.ServicerContext) -> Iterator[Message]:
        """Answers one tail; what the server calls."""
        ended = Event()
        if not context.add_callback(ended.set):
            return
        with self._lock:
            self.streams_count += 1
            self.received.append(
                Received("TailEvents", request, dict(context.invocation_metadata()))
            )
            replies = self._replies.get("TailEvents")
        if replies is None:
            context.abort(grpc.StatusCode.UNIMPLEMENTED, "The test gave no reply for this method.")
        while True:
            self._answering.wait()
            with self._lock:
                plan = self._plans["TailEvents"]
                failure = plan.popleft() if plan else None
                response = replies.popleft() if replies and not failure else None
            if failure:
                _abort(context, failure)
            if response is None:
                ended.wait()
                return
            yield response

    def _respond(self, method: str, request: Any) -> Message | None:
        if method == "Ingest":
            return ingest_service_pb2.IngestResponse(results=self._store(request))
        if method == "IngestStream":
            return ingest_service_pb2.IngestStreamResponse(results=self._store(request))
        replies = self._replies.get(method)
        if not replies:
            return None
        return replies.popleft() if len(replies) > 1 else replies[0]

    def _store(self, request: Any) -> list[ingest_service_pb2.EventResult]:
        results = [self._store_event(index, event) for index, event in enumerate(request.events)]
        if request.result_view == number_of(ResultView.NOTABLE):
            plain = number_of(EventStatus.STORED)
            return [result for result in results if result.status != plain]
        return results

    def _store_event(self, index: int, event: event_pb2.Event) -> ingest_service_pb2.EventResult:
        first = _first_identifier(event)
        reason = self._rejections.get(event.message_id)
        if event.type not in _KINDS:
            reason = RejectionReason.UNKNOWN_TYPE
        elif not first:
            reason = RejectionReason.NO_IDENTIFIER
        if reason:
            return ingest_service_pb2.EventResult(
                index=index,
                status=number_of(EventStatus.REJECTED),
                reason=number_of(reason),
                reason_text="As the test asked.",
            )
        if event.message_id in self._message_ids:
            return ingest_service_pb2.EventResult(
                index=index,
                status=number_of(EventStatus.DUPLICATE),
                segment_id=self._segment_ids.get(first, ""),
            )
        outcome = Outcome.ATTACHED if first in self._segment_ids else Outcome.CREATED
        segment_id = self._segment_ids.setdefault(
            first, "use_" + sha256(first.encode()).hexdigest()[:22]
        )
        self.events.append(event)
        self._message_ids.add(event.message_id)
        return ingest_service_pb2.EventResult(
            index=index,
            status=number_of(EventStatus.STORED),
            segment_id=segment_id,
            outcome=number_of(outcome),
        )


class _Methods(grpc.GenericRpcHandler):
    """Finds how a method is served, from the descriptors of the services."""

    def __init__(self, fake: FakeUnify) -> None:
        self._fake = fake

    def service(self, details: grpc.HandlerCallDetails) -> Any:
        service, _, method = details.method.removeprefix("/").partition("/")
        module: Any = _SERVICES.get(service)
        if module is None:
            return None
        described = module.DESCRIPTOR.services_by_name[service.rpartition(".")[2]]
        names = described.methods_by_name.get(method)
        if names is None:
            return None
        codec = {
            "request_deserializer": getattr(module, names.input_type.name).FromString,
            "response_serializer": getattr(module, names.output_type.name).SerializeToString,
        }
        if method == "IngestStream":
            return grpc.stream_stream_rpc_method_handler(self._stream, **codec)
        if method == "TailEvents":
            return grpc.unary_stream_rpc_method_handler(self._fake.tail, **codec)
        return grpc.unary_unary_rpc_method_handler(
            lambda request, context: self._fake.take(method, request, context), **codec
        )

    def _stream(self, requests: Iterator[Any], context: grpc.ServicerContext) -> Iterator[Message]:
        self._fake.streams_count += 1
        for request in requests:
            yield self._fake.take("IngestStream", request, context)


def _first_identifier(event: event_pb2.Event) -> str:
    for kind in ("user_id", "anonymous_id"):
        if value := getattr(event, kind):
            return f"{kind}:{value}"
    return next((f"{entry.type}:{entry.id}" for entry in event.external_ids if entry.id), "")


def _abort(context: grpc.ServicerContext, failure: _Failure) -> NoReturn:
    details = failure.details
    if details.reason or details.violations or details.retry_delay_s is not None:
        number = failure.code.value[0]
        status_bytes = write_details(number, failure.detail, details)
        context.set_trailing_metadata(((METADATA_KEY, status_bytes),))
    context.abort(failure.code, failure.detail)
