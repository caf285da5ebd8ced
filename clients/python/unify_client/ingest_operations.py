"""The unary call of `IngestService`."""

from __future__ import annotations

from unify_client.operations import Operation
from unify_client.requests import Chunk
from unify_client.results import EventResult, event_result
from unify_client.vocabulary import Ack, ResultView, number_of
from unify_grpc._pb.unify.v1 import ingest_service_pb2


def ingest(chunk: Chunk, ack: Ack, view: ResultView) -> Operation[list[EventResult]]:
    """Stores events; results are numbered from the chunk's first position."""
    return Operation(
        service="IngestService",
        method="Ingest",
        request=ingest_service_pb2.IngestRequest(
            events=chunk.events, ack=number_of(Ack(ack)), result_view=number_of(ResultView(view))
        ),
        read=lambda response: [
            event_result(result, index_first=chunk.index_first) for result in response.results
        ],
        after_deadline=True,
    )
