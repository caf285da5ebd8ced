"""`IngestService`: events in."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from unify_grpc._pb.unify.v1 import (
    header_pb2,
    identity_pb2,
    ingest_service_pb2,
    ingest_service_pb2_grpc,
)
from unify_grpc.identity.outcomes import REJECTION_TEXTS
from unify_grpc.service.calls import check_readable, current_call
from unify_grpc.service.errors import DeadlinePassedError, RequestInvalidError
from unify_grpc.service.event_wire import event_from_wire
from unify_grpc.service.ingestion import Turns

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from unify_grpc.service.calls import Call
    from unify_grpc.service.ingestion import EventOutcome, Ingestor

BATCH_EVENTS_MAX = 10_000
DEADLINE_MARGIN_S = 0.05
"""Kept for the answer itself, so that PENDING reaches the caller before the deadline does."""
STREAM_DEADLINE_S = 10.0
"""Of each batch of a stream; the stream itself may live on."""


class IngestServicer(ingest_service_pb2_grpc.IngestServiceServicer):
    """Translates between the wire and the `Ingestor`."""

    def __init__(self, ingestor: Ingestor, *, stream_window_max: int) -> None:
        self._ingestor = ingestor
        self._stream_window_max = stream_window_max

    async def Ingest(self, request: Any, context: Any) -> Any:
        """Stores a batch."""
        del context
        call = current_call()
        results = await self._ingest(request, call, Turns(), call.remaining_s - DEADLINE_MARGIN_S)
        return ingest_service_pb2.IngestResponse(
            results=results, header=header_pb2.ReplyHeader(request_id=call.request_id)
        )

    async def IngestStream(self, requests: Any, context: Any) -> AsyncIterator[Any]:
        """Stores batches as they come, several at a time, and answers in their order."""
        del context
        call = current_call()
        turns = Turns()
        window: asyncio.Queue[asyncio.Task[Any] | None] = asyncio.Queue(self._stream_window_max)

        async def read() -> None:
            try:
                async for request in requests:
                    work = self._ingest(request, call, turns, STREAM_DEADLINE_S)
                    task = asyncio.ensure_future(work)
                    task.add_done_callback(_forget_failure)
                    await window.put(task)
            finally:
                await window.put(None)

        reader = asyncio.ensure_future(read())
        try:
            while (task := await window.get()) is not None:
                yield ingest_service_pb2.IngestStreamResponse(
                    results=await task,
                    header=header_pb2.ReplyHeader(request_id=call.request_id),
                )
            await reader
        finally:
            reader.cancel()

    async def _ingest(self, request: Any, call: Call, turns: Turns, deadline_s: float) -> list[Any]:
        check_readable(request)
        _check_request(request)
        is_resolved = request.ack != ingest_service_pb2.ACK_ACCEPTED
        try:
            outcomes = await asyncio.wait_for(
                self._ingestor.ingest(
                    [event_from_wire(event) for event in request.events],
                    call.space,
                    call.caller.credential.source,
                    turns,
                    is_resolved=is_resolved,
                    only_notable=request.result_view == ingest_service_pb2.RESULT_VIEW_NOTABLE,
                    deadline_s=deadline_s,
                ),
                deadline_s + DEADLINE_MARGIN_S,
            )
        except TimeoutError:
            raise DeadlinePassedError from None
        return [_result(index, outcome) for index, outcome in outcomes]


def _forget_failure(task: asyncio.Task[Any]) -> None:
    """Marks a failure as seen: the stream may have ended before anyone asks for it."""
    if not task.cancelled():
        task.exception()


def _check_request(request: Any) -> None:
    violations = []
    if len(request.events) > BATCH_EVENTS_MAX:
        violations.append(("events", f"at most {BATCH_EVENTS_MAX} are taken at a time"))
    if request.ack not in ingest_service_pb2.Ack.values():
        violations.append(("ack", "is not a known value"))
    if request.result_view not in ingest_service_pb2.ResultView.values():
        violations.append(("result_view", "is not a known value"))
    if violations:
        raise RequestInvalidError(violations)


def _result(index: int, outcome: EventOutcome) -> Any:
    if outcome.rejection is not None:
        result = ingest_service_pb2.EventResult(
            index=index,
            status=ingest_service_pb2.EVENT_STATUS_REJECTED,
            reason=identity_pb2.RejectionReason.Name(outcome.rejection),
            reason_text=REJECTION_TEXTS[outcome.rejection],
        )
    else:
        result = ingest_service_pb2.EventResult(
            index=index,
            status=(
                ingest_service_pb2.EVENT_STATUS_DUPLICATE
                if outcome.is_duplicate
                else ingest_service_pb2.EVENT_STATUS_STORED
            ),
            segment_id=outcome.segment_id,
            account_segment_id=outcome.account_segment_id,
            outcome=identity_pb2.Outcome.Name(outcome.outcome or 0),
        )
    for drop in outcome.drops:
        result.drops.add(
            collection=drop.collection,
            type=drop.type,
            value=drop.value,
            reason=identity_pb2.DropReason.ValueType(drop.reason),
        )
    return result
