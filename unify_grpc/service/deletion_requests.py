"""`DeleteExternalIds` between the wire and the `Deleter`, for every edge."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from unify_grpc._pb.unify.v1 import header_pb2, identity_pb2, profile_service_pb2
from unify_grpc.service.administration import facts_of
from unify_grpc.service.checks import check_deleted_collection, check_deletion
from unify_grpc.service.faults import Faults
from unify_grpc.service.masking import MASK
from unify_grpc.service.whole_profiles import named_in

if TYPE_CHECKING:
    from unify_grpc.service.calls import Call
    from unify_grpc.service.deleting import Deleter


async def delete_external_ids(request: Any, call: Call, deleter: Deleter) -> Any:
    """Answers a `DeleteExternalIdsRequest`: deletes, and notes it in the audit trail.

    Raises:
        RequestInvalidError: with every field at fault.
        UnifyError: whatever `Deleter.delete` refuses it for.
    """
    faults = Faults()
    with faults:
        check_deletion(request)
    with faults:
        named = named_in(request.name, call.space)
        check_deleted_collection(request, named.collection)
    faults.refuse()
    # Deleted and noted, or neither: whoever waits may give up in between, this does not.
    deleting = deleter.delete_and_note(
        call.space, named, request.external_ids[0], request.request_id, facts_of(call, request)
    )
    segment_id, deleted = await asyncio.shield(deleting)
    identifier = identity_pb2.Identifier(
        collection=deleted.collection,
        type=deleted.type,
        value=deleted.value if call.caller.has("pii") else MASK,
    )
    return profile_service_pb2.DeleteExternalIdsResponse(
        segment_id=segment_id,
        deleted_external_ids=[identifier],
        header=header_pb2.ReplyHeader(request_id=call.request_id),
    )
