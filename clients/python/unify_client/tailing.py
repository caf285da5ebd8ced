"""The account of one tail: where it goes on after it broke off, and when it gives up.

It decides and does no I/O: the blocking and the asynchronous client both drive it.
"""

from __future__ import annotations

from collections.abc import Iterable

from unify_client.connection import Call, Connection
from unify_client.errors import ServiceError
from unify_client.watched_events import TailedEvent, tailed_event
from unify_grpc._pb.unify.v1 import operations_service_pb2

TAIL_METHOD = "TailEvents"


class Tail:
    """Remembers the last response. Before the first one, what it resumes from is the present."""

    def __init__(
        self,
        connection: Connection,
        *,
        types: Iterable[str],
        source_ids: Iterable[str],
        resume_token: str,
    ) -> None:
        """Takes what is asked for; how patient the client is, its connection says."""
        self._request = operations_service_pb2.TailEventsRequest(
            types=list(types), source_ids=list(source_ids), resume_token=resume_token
        )
        self._attempts = connection.attempts(after_deadline=True)
        self._connection = connection
        self._opened_at = 0.0

    def open(self) -> operations_service_pb2.TailEventsRequest:
        """Returns what the next stream asks for, from where the last one ended."""
        self._opened_at = self._connection.clock()
        return self._request

    def take(self, response: operations_service_pb2.TailEventsResponse) -> TailedEvent | None:
        """Takes a response; returns its event, or None where it only moves the place on."""
        self._attempts.progressed()
        self._request.resume_token = response.resume_token
        return tailed_event(response) if response.HasField("event") else None

    def pause_s(self, failure: ServiceError, call: Call) -> float:
        """Returns how long to wait before the next stream; raises what is for good."""
        # A quiet space sends nothing for hours: a stream that stood so long was a good one.
        stood_s = self._connection.clock() - self._opened_at
        if stood_s > self._connection.patience_s:
            self._attempts.progressed()
        # A service that ends cancels its streams; so would this client, and it knows of that.
        return self._attempts.pause_s(call.ended() if failure.code == "CANCELLED" else failure)
