"""Events sent by the blocking client, each call answered by hand."""

from __future__ import annotations

from typing import Any

import grpc
import pytest
from unify_client import (
    Ack,
    ArgumentInvalid,
    ClientClosed,
    CredentialInvalid,
    Drop,
    DropReason,
    EventRejected,
    EventResult,
    EventStatus,
    Identifier,
    Outcome,
    RejectionReason,
    ResultView,
    RetryPolicy,
    ShardUnavailable,
    StorageFull,
    UnifyClient,
    identify,
    track,
)

from tests.unit.client.driving import Driven, Failure, refused, stored
from unify_grpc._pb.unify.v1 import (
    ingest_service_pb2,
)

UNAVAILABLE = Failure(grpc.StatusCode.UNAVAILABLE)
EVENT = identify(user_id="u1", message_id="m1")


def test_a_call_says_who_calls() -> None:
    """Key, space and a fresh request id go with every call."""
    driven = Driven()
    driven.ingest(lambda: driven.client.ingest([EVENT]), stored(0))
    driven.ingest(lambda: driven.client.ingest([EVENT]), stored(0))
    first, second = (taken.metadata for taken in driven.taken)

    assert "Bearer dev_write_key" == first["authorization"]
    assert "dev" == first["unify-space"]
    assert first["x-request-id"] != second["x-request-id"]


def test_results_are_typed() -> None:
    """Status, reason, outcome and drops are words, ids are None where there are none."""
    driven = Driven()
    response = ingest_service_pb2.IngestResponse(
        results=[
            ingest_service_pb2.EventResult(
                index=0,
                status="EVENT_STATUS_STORED",
                segment_id="use_1",
                outcome="OUTCOME_MERGED",
                drops=[
                    {
                        "collection": "users",
                        "type": "email",
                        "value": "jane@example.com",
                        "reason": "DROP_REASON_LIMIT_EXCEEDED",
                    }
                ],
            ),
            ingest_service_pb2.EventResult(
                index=1,
                status="EVENT_STATUS_REJECTED",
                reason="REJECTION_REASON_NO_IDENTIFIER",
                reason_text="No identifier.",
            ),
        ]
    )
    results = driven.ingest(
        lambda: driven.client.ingest(
            [EVENT, track("Paid")], ack=Ack.ACCEPTED, view=ResultView.NOTABLE
        ),
        response,
    )

    dropped = Drop(Identifier("users", "email", "jane@example.com"), DropReason.LIMIT_EXCEEDED)
    assert [
        EventResult(0, EventStatus.STORED, None, "", "use_1", None, Outcome.MERGED, (dropped,)),
        EventResult(
            1,
            EventStatus.REJECTED,
            RejectionReason.NO_IDENTIFIER,
            "No identifier.",
            None,
            None,
            None,
            (),
        ),
    ] == results
    assert [True, False] == [result.stored for result in results]
    request = driven.taken[0].request
    assert (ingest_service_pb2.ACK_ACCEPTED, ingest_service_pb2.RESULT_VIEW_NOTABLE) == (
        request.ack,
        request.result_view,
    )


def test_many_events_become_many_requests_and_one_list() -> None:
    """Results are numbered by the position in what the caller passed."""
    driven = Driven()
    results = driven.ingest(
        lambda: driven.client.ingest([EVENT] * 2_501), stored(0, 2_499), stored(0)
    )

    assert [0, 2_499, 2_500] == [result.index for result in results]
    assert [2_500, 1] == [len(taken.request.events) for taken in driven.taken]


def test_a_failed_request_is_sent_again_with_the_same_message_ids() -> None:
    """The repetition is the same request of the same name, after the pause the service asks for."""
    driven = Driven()
    overloaded = refused(grpc.StatusCode.RESOURCE_EXHAUSTED, "SHARD_OVERLOADED", 0.5)
    results = driven.ingest(
        lambda: driven.client.ingest([identify(user_id="u1"), track("Paid", user_id="u1")]),
        UNAVAILABLE,
        overloaded,
        Failure(grpc.StatusCode.DEADLINE_EXCEEDED),
        stored(0, 1),
    )

    assert 2 == len(results)
    assert 1 == len({taken.request.SerializeToString() for taken in driven.taken})
    assert 1 == len({taken.metadata["x-request-id"] for taken in driven.taken})
    assert 2 == len({event.message_id for event in driven.taken[0].request.events})
    assert [0.1, 0.7, 0.4] == pytest.approx(driven.clock.pauses_s)


def test_patience_ends_with_the_last_error_and_the_results_before_it() -> None:
    """Whoever catches the error learns what had been answered."""
    driven = Driven(RetryPolicy(deadline_s=0.25))
    away = refused(grpc.StatusCode.UNAVAILABLE, "SHARD_UNAVAILABLE", 0.0)
    with pytest.raises(ShardUnavailable) as raised:
        driven.ingest(lambda: driven.client.ingest([EVENT] * 2_501), stored(0), away, away)

    assert [0] == [result.index for result in raised.value.results_before]
    assert [0.1] == pytest.approx(driven.clock.pauses_s)


@pytest.mark.parametrize(
    ("failure", "error"),
    [
        (refused(grpc.StatusCode.RESOURCE_EXHAUSTED, "STORAGE_FULL"), StorageFull),
        (refused(grpc.StatusCode.UNAUTHENTICATED, "CREDENTIAL_INVALID"), CredentialInvalid),
        (Failure(grpc.StatusCode.UNAUTHENTICATED), CredentialInvalid),
    ],
)
def test_other_failures_are_raised_at_once(failure: Failure, error: type[Exception]) -> None:
    """Neither a full disk nor a wrong key is asked twice, and gRPC's error stays inside."""
    driven = Driven()
    with pytest.raises(error) as raised:
        driven.ingest(lambda: driven.client.ingest([EVENT]), failure)

    assert not driven.clock.pauses_s
    assert raised.value.__cause__ is None
    assert raised.value.__context__ is None


def test_refused_events_are_results_unless_asked_for_as_an_error() -> None:
    """A refusal is data; EventRejected comes on request, with everything that was answered."""
    driven = Driven()
    refusal = ingest_service_pb2.IngestResponse(
        results=[
            ingest_service_pb2.EventResult(
                index=0, status="EVENT_STATUS_REJECTED", reason="REJECTION_REASON_TOO_DEEP"
            ),
            ingest_service_pb2.EventResult(index=1, status="EVENT_STATUS_STORED"),
        ]
    )
    with pytest.raises(EventRejected, match=r"1 event\(s\) were refused: TOO_DEEP") as raised:
        driven.ingest(lambda: driven.client.ingest([EVENT, EVENT], raise_on_rejected=True), refusal)

    assert ([0], [0, 1]) == (
        [result.index for result in raised.value.rejected],
        [result.index for result in raised.value.results],
    )


@pytest.mark.parametrize(
    "settings",
    [{"key": ""}, {"key": "k\n"}, {"key": "k", "space": "lädchen"}, {"key": "k", "timeout_s": 0}],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, Any]) -> None:
    """A key that no header can carry is found when the client is made."""
    with pytest.raises(ArgumentInvalid):
        UnifyClient(**settings)


def test_a_closed_client_says_so() -> None:
    """Nothing is called after close, which may be repeated."""
    driven = Driven()
    with driven.client:
        pass
    driven.client.close()

    with pytest.raises(ClientClosed):
        driven.client.get_status()
