"""`ListViolations` between the wire and what `machines/space_records.py` puts together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from unify_grpc._pb.unify.v1 import header_pb2, operations_service_pb2
from unify_grpc.identity.identifiers import COLLECTIONS, USERS, is_type_name
from unify_grpc.identity.outcomes import DropReason, RejectionReason
from unify_grpc.identity.promotion import DROPPED_VALUE_CHARS_MAX
from unify_grpc.machines.list_questions import NEWEST, ListSpaceViolations
from unify_grpc.machines.noted_drops import fingerprint_of
from unify_grpc.machines.space_records import list_violations
from unify_grpc.machines.violations import REFUSED
from unify_grpc.service.checks import check_page_size, check_times
from unify_grpc.service.errors import ScopeMissingError
from unify_grpc.service.faults import Faults
from unify_grpc.service.page_tokens import make_token, read_token, scope_of
from unify_grpc.service.violation_wire import violation_to_wire

if TYPE_CHECKING:
    from unify_grpc.service.calls import Call
    from unify_grpc.service.directory import Space, SpaceDirectory
    from unify_grpc.service.profile_reads import ProfileReader

PAGE_DEFAULT: Final = 10
PAGE_MAX: Final = 100
VALUE_CHARS_MAX: Final = 500


async def list_violations_page(
    request: Any, call: Call, reader: ProfileReader, directory: SpaceDirectory
) -> Any:
    """Answers a `ListViolationsRequest`.

    Raises:
        RequestInvalidError: with every field at fault.
        ScopeMissingError: it filters by a value that the caller may not see.
    """
    has_pii = call.caller.has("pii")
    if request.HasField("identifier") and not has_pii:
        raise ScopeMissingError(scope="pii")
    scope = scope_of("ListViolations", call.space.record.number, request)
    key = directory.signing_key
    faults = Faults()
    with faults:
        size = check_page_size(request.page_size, PAGE_DEFAULT, PAGE_MAX)
    with faults:
        cursors = read_token(key, scope, request.page_token, list[int | None])
    question = _question(request, call.space, faults)
    faults.refuse()
    page = await reader.run(list_violations(reader.shard_map, question, cursors, size))
    response = operations_service_pb2.ListViolationsResponse(
        violations=[
            violation_to_wire(found, root, directory, is_masked=not has_pii)
            for found, root in page.violations
        ],
        header=header_pb2.ReplyHeader(request_id=call.request_id),
    )
    if page.cursors is not None:
        response.next_page_token = make_token(key, scope, page.cursors)
    return response


def _question(request: Any, space: Space, faults: Faults) -> ListSpaceViolations:
    """Returns what is asked of the shards, and notes what is wrong with it."""
    if any(reason not in set(DropReason) for reason in request.drop_reasons):
        faults.add("drop_reasons", "has a value that is not known")
    if any(reason not in set(RejectionReason) for reason in request.rejection_reasons):
        faults.add("rejection_reasons", "has a value that is not known")
    if len(request.type) > VALUE_CHARS_MAX:
        faults.add("type", f"has over {VALUE_CHARS_MAX} characters")
    if request.HasField("identifier"):
        identifier = request.identifier
        if identifier.collection and identifier.collection not in COLLECTIONS:
            faults.add("identifier.collection", "is neither users nor accounts")
        if not identifier.type or not identifier.value:
            faults.add("identifier", "lacks its type or its value")
    start_us, end_us = check_times(request, faults)
    return ListSpaceViolations(
        space=space.record.number,
        before=NEWEST,
        kinds=[
            *request.drop_reasons,
            *(REFUSED | reason for reason in request.rejection_reasons),
        ],
        identifier_type=request.type,
        fingerprints=_fingerprints(request.identifier, space)
        if request.HasField("identifier")
        else [],
        start_us=start_us,
        end_us=end_us,
        limit=0,
    )


def _fingerprints(identifier: Any, space: Space) -> list[bytes]:
    """Returns what an identifier may be known by: as normalised, as cut, and as it was sent."""
    collection, type_, value = identifier.collection or USERS, identifier.type, identifier.value
    rules = space.view.rules
    normalised = rules.verdict(type_, value)[0] if is_type_name(type_) else None
    values = dict.fromkeys([normalised or value, value])
    values.update(dict.fromkeys([each[:DROPPED_VALUE_CHARS_MAX] for each in values]))
    return [fingerprint_of(space.view.keys, collection, type_, each) for each in values]
