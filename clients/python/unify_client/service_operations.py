"""The unary calls of `OperationsService`."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from uuid import uuid4

from unify_client import service_state, watched_events
from unify_client.names import ProfileNamed, identifier_of
from unify_client.operations import Operation, PagedOperation, paged
from unify_client.service_state import Backup, ServiceStatus
from unify_client.times import optional_timestamp_of
from unify_client.verification import Verification, verification
from unify_client.vocabulary import DropReason, RejectionReason, number_of
from unify_client.watched_events import Violation
from unify_grpc._pb.unify.v1 import operations_service_pb2

# Lists are walked to their end as a rule, so pages are as large as the service allows.
_VIOLATIONS_PAGE_MAX = 100


def get_status() -> Operation[ServiceStatus]:
    """Reads how the parts of the service are doing."""
    return Operation(
        service="OperationsService",
        method="GetStatus",
        request=operations_service_pb2.GetStatusRequest(),
        read=service_state.service_status,
    )


def verify() -> Operation[Verification]:
    """Checks all stores."""
    return Operation(
        service="OperationsService",
        method="Verify",
        request=operations_service_pb2.VerifyRequest(),
        read=verification,
    )


def create_backup(directory: str, request_id: str | None) -> Operation[Backup]:
    """Copies all stores; a repetition is harmless, since each call carries an id."""
    return Operation(
        service="OperationsService",
        method="CreateBackup",
        request=operations_service_pb2.CreateBackupRequest(
            directory=directory, request_id=request_id or str(uuid4())
        ),
        read=service_state.backup,
    )


def list_violations(
    *,
    drop_reasons: Iterable[DropReason],
    rejection_reasons: Iterable[RejectionReason],
    identifier_type: str,
    identifier: ProfileNamed | None,
    start_time: datetime | None,
    end_time: datetime | None,
    page_size: int | None,
) -> PagedOperation[Violation]:
    """Lists refused events and dropped identifiers, the newest first."""
    request = operations_service_pb2.ListViolationsRequest(
        drop_reasons=[number_of(DropReason(reason)) for reason in drop_reasons],
        rejection_reasons=[number_of(RejectionReason(reason)) for reason in rejection_reasons],
        type=identifier_type,
        identifier=None if identifier is None else identifier_of(identifier),
        start_time=optional_timestamp_of("start_time", start_time),
        end_time=optional_timestamp_of("end_time", end_time),
        page_size=_VIOLATIONS_PAGE_MAX if page_size is None else page_size,
    )
    read = watched_events.violation
    return paged("OperationsService", "ListViolations", request, "violations", read)
