"""A failed call becomes the error of its reason, and says nothing about anybody."""

from __future__ import annotations

import pickle
import subprocess
import sys
from typing import Any

import pytest
import unify_client
from google.protobuf import duration_pb2
from google.rpc import (
    error_details_pb2,
    status_pb2,
)
from unify_client import errors
from unify_client.errors import ServiceError, service_error
from unify_client.results import EventResult, event_result
from unify_client.status_details import (
    METADATA_KEY,
    FieldViolation,
    StatusDetails,
    read_details,
    write_details,
)

from unify_grpc._pb.unify.v1 import ingest_service_pb2

DETAILS = StatusDetails(
    reason="REQUEST_INVALID",
    domain="unify",
    metadata={"field": "events"},
    violations=(FieldViolation("events", "has more than 10,000 entries"),),
    retry_delay_s=1.25,
)


def error_of(code: str, details: StatusDetails) -> ServiceError:
    """Returns the error of a code with details."""
    return service_error(
        method="GetProfile", code=code, detail="No.", details=details, request_id="r1"
    )


def test_details_are_read_as_everybody_else_writes_them() -> None:
    """Our own description of the details agrees on the wire with the published one."""
    status = status_pb2.Status(code=3, message="No.")
    for detail in (
        error_details_pb2.ErrorInfo(
            reason="REQUEST_INVALID", domain="unify", metadata={"field": "events"}
        ),
        error_details_pb2.BadRequest(
            field_violations=[
                error_details_pb2.BadRequest.FieldViolation(
                    field="events", description="has more than 10,000 entries"
                )
            ]
        ),
        error_details_pb2.RetryInfo(
            retry_delay=duration_pb2.Duration(seconds=1, nanos=250_000_000)
        ),
        error_details_pb2.DebugInfo(detail="ignored"),
    ):
        status.details.add().Pack(detail)

    assert DETAILS == read_details([("other", "x"), (METADATA_KEY, status.SerializeToString())])


def test_details_are_written_as_everybody_else_reads_them() -> None:
    """What the fake service sends is what a real one would send."""
    status = status_pb2.Status.FromString(write_details(3, "No.", DETAILS))
    info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()

    assert status.details[0].Unpack(info)
    assert ("REQUEST_INVALID", {"field": "events"}) == (info.reason, dict(info.metadata))
    assert status.details[2].Unpack(retry)
    assert 250_000_000 == retry.retry_delay.nanos


@pytest.mark.parametrize("metadata", [None, (), ((METADATA_KEY, b"\xff\xff\xff"),)])
def test_details_that_cannot_be_read_say_nothing(
    metadata: tuple[tuple[str, str | bytes], ...] | None,
) -> None:
    """A proxy's own failure has no details, or others; the code still counts."""
    assert StatusDetails() == read_details(metadata)


def test_every_reason_has_its_error() -> None:
    """The reason decides, whatever the code."""
    for error in vars(errors).values():
        if isinstance(error, type) and issubclass(error, ServiceError) and error.REASON:
            details = StatusDetails(reason=error.REASON, domain="unify")
            assert error is type(error_of("UNKNOWN", details))


def test_a_reason_of_another_domain_means_nothing_here() -> None:
    """Somebody else's PROFILE_NOT_FOUND is not ours."""
    details = StatusDetails(reason="PROFILE_NOT_FOUND", domain="example.com")

    assert errors.NotFound is type(error_of("NOT_FOUND", details))
    assert ServiceError is type(error_of("ABORTED", StatusDetails()))


def test_an_error_says_what_a_report_needs() -> None:
    """Method, code, reason, faults and the call's id are in the text and in attributes."""
    error = error_of("INVALID_ARGUMENT", DETAILS)

    assert (
        "GetProfile failed with INVALID_ARGUMENT (REQUEST_INVALID): No.; "
        "events: has more than 10,000 entries [request r1]"
    ) == str(error)
    assert 1.25 == error.retry_delay_s
    assert "r1" == error.request_id


def test_every_error_is_exported_and_has_one_root() -> None:
    """Whoever catches UnifyClientError catches all of them."""
    for name, error in vars(errors).items():
        if isinstance(error, type) and issubclass(error, Exception):
            assert error is getattr(unify_client, name)
            assert issubclass(error, unify_client.UnifyClientError)


def test_results_can_cross_processes() -> None:
    """A result is plain data: it pickles, and an unknown number is UNRECOGNIZED, not a crash."""
    unknown: Any = 99
    result = event_result(
        ingest_service_pb2.EventResult(
            index=2,
            status=unknown,
            outcome=unknown,
            drops=[{"collection": "users", "type": "x", "reason": unknown}],
        ),
        index_first=10,
    )

    assert isinstance(result, EventResult)
    assert 12 == result.index
    assert ("UNRECOGNIZED",) * 3 == (result.status, result.outcome, result.drops[0].reason)
    assert result == pickle.loads(pickle.dumps(result))  # noqa: S301  our own bytes


def test_the_client_needs_grpc_and_protobuf_only() -> None:
    """Importing the client brings in neither the service nor anybody's packages."""
    code = (
        "import sys, unify_client, unify_client.testing\n"
        "own = {'grpc', 'google', 'unify_client', 'unify_grpc'}\n"
        "tops = {name.partition('.')[0] for name in sys.modules} - set(sys.stdlib_module_names)\n"
        "foreign = {name for name in sys.modules if name.startswith('unify_grpc.')\n"
        "           and not name.startswith('unify_grpc._pb')}\n"
        "assert not foreign, foreign\n"
        "assert 'google.rpc' not in sys.modules\n"
        "assert not tops & {'msgspec', 'structlog', 'ray', 'lmdb', 'click', 'rich'}, tops\n"
    )

    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": ":".join(sys.path)})
