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
from unify_grpc.service.event_wire import WireEvents
from unify_grpc.service.turns import Turns

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from unify_grpc.service.calls import Call
    from unify_grpc.service.draining import Draining
    from unify_grpc.service.ingest_run import EventOutcome
    from unify_grpc.service.ingestion import Ingestor

BATCH_EVENTS_MAX = 10_000
DEADLINE_MARGIN_S = 0.05
"""Kept for the answer itself, so that PENDING reaches the caller before the deadline does."""
STREAM_DEADLINE_S = 10.0
"""Of each batch of a stream; the stream itself may live on."""


class IngestServicer(ingest_service_pb2_grpc.IngestServiceServicer):
    """Translates between the wire and the `Ingestor`."""

    def __init__(self, ingestor: Ingestor, draining: Draining, *, stream_window_max: int) -> None:
        self._ingestor = ingestor
        self._draining = draining
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
        window = asyncio.Semaphore(self._stream_window_max)
        batches: asyncio.Queue[asyncio.Future[Any] | None] = asyncio.Queue()
        reader = asyncio.ensure_future(self._read(requests, call, window, batches))
        reader.add_done_callback(lambda _: batches.put_nowait(None))
        try:
            while (batch := await batches.get()) is not None:
                yield ingest_service_pb2.IngestStreamResponse(
                    results=await batch,
                    header=header_pb2.ReplyHeader(request_id=call.request_id),
                )
                window.release()
            if await reader:
                self._draining.check()
        finally:
            reader.cancel()

    async def _read(
        self,
        requests: Any,
        call: Call,
        window: asyncio.Semaphore,
        batches: asyncio.Queue[asyncio.Future[Any] | None],
    ) -> bool:
        """Starts batches as they come; returns whether draining ended that, not the caller."""
        turns = Turns()
        iterator = aiter(requests)
        draining = asyncio.ensure_future(self._draining.wait())
        try:
            while True:
                await window.acquire()
                following = asyncio.ensure_future(anext(iterator, None))
                following.add_done_callback(_forget_failure)
                await asyncio.wait({following, draining}, return_when=asyncio.FIRST_COMPLETED)
                if not following.done():
                    return True
                request = following.result()
                if request is None:
                    return False
                work = self._ingest(request, call, turns, STREAM_DEADLINE_S)
                batch = asyncio.ensure_future(work)
                batch.add_done_callback(_forget_failure)
                batches.put_nowait(batch)
        finally:
            draining.cancel()

    async def _ingest(self, request: Any, call: Call, turns: Turns, deadline_s: float) -> list[Any]:
        check_readable(request)
        _check_request(request)
        call.check_again()
        source = call.caller.credential.source
        is_resolved = request.ack != ingest_service_pb2.ACK_ACCEPTED
        try:
            outcomes = await asyncio.wait_for(
                self._ingestor.ingest(
                    WireEvents(request.events, source, turns.stream),
                    call.space,
                    source,
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


def _forget_failure(task: asyncio.Future[Any]) -> None:
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
