"""`ProfileService`: unified profiles out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from unify_grpc._pb.unify.v1 import header_pb2, profile_service_pb2, profile_service_pb2_grpc
from unify_grpc.service.calls import current_call
from unify_grpc.service.deletion_requests import delete_external_ids
from unify_grpc.service.explaining import explain_identity
from unify_grpc.service.faults import Faults
from unify_grpc.service.link_pages import list_links_page
from unify_grpc.service.list_profiles import list_profiles_page
from unify_grpc.service.page_tokens import scope_of
from unify_grpc.service.profile_pages import (
    list_events_page,
    list_external_ids_page,
    list_traits_page,
)
from unify_grpc.service.whole_profiles import (
    batch_get_profiles,
    check_mask,
    named_in,
    needs_traits,
    profile_to_wire,
)

if TYPE_CHECKING:
    from unify_grpc.service.calls import Call
    from unify_grpc.service.deleting import Deleter
    from unify_grpc.service.directory import SpaceDirectory
    from unify_grpc.service.profile_reads import ProfileReader


class ProfileServicer(profile_service_pb2_grpc.ProfileServiceServicer):
    """Translates between the wire and the `ProfileReader`."""

    def __init__(self, reader: ProfileReader, directory: SpaceDirectory, deleter: Deleter) -> None:
        self._reader = reader
        self._deleter = deleter
        self._directory = directory

    async def GetProfile(self, request: Any, context: Any) -> Any:
        """Returns one profile."""
        del context
        call, faults = current_call(), Faults()
        with faults:
            parts = check_mask(request)
        with faults:
            named = named_in(request.name, call.space)
        faults.refuse()
        profile = await self._reader.read_profile(
            call.space, named, with_traits=needs_traits(parts)
        )
        asked_id = request.name.segment_id
        wire = profile_to_wire(profile, named.collection, parts, call, self._directory, asked_id)
        header = header_pb2.ReplyHeader(request_id=call.request_id)
        return profile_service_pb2.GetProfileResponse(profile=wire, header=header)

    async def BatchGetProfiles(self, request: Any, context: Any) -> Any:
        """Returns several profiles at once."""
        del context
        return await batch_get_profiles(request, current_call(), self._reader, self._directory)

    async def ListProfiles(self, request: Any, context: Any) -> Any:
        """Lists the profiles of a collection."""
        del context
        return await list_profiles_page(request, current_call(), self._reader, self._directory)

    async def ListTraits(self, request: Any, context: Any) -> Any:
        """Lists the traits of a profile by name."""
        del context
        call = current_call()
        scope = _scope("ListTraits", call, request)
        return await list_traits_page(request, call, self._reader, self._directory, scope)

    async def ListExternalIds(self, request: Any, context: Any) -> Any:
        """Lists the identifiers of a profile by priority."""
        del context
        call = current_call()
        scope = _scope("ListExternalIds", call, request)
        return await list_external_ids_page(request, call, self._reader, self._directory, scope)

    async def ListEvents(self, request: Any, context: Any) -> Any:
        """Lists the history of a profile by event time."""
        del context
        call = current_call()
        scope = _scope("ListEvents", call, request)
        return await list_events_page(request, call, self._reader, self._directory, scope)

    async def ListLinks(self, request: Any, context: Any) -> Any:
        """Lists the accounts of a person, or the people of an account."""
        del context
        call = current_call()
        scope = _scope("ListLinks", call, request)
        return await list_links_page(request, call, self._reader, self._directory, scope)

    async def ExplainIdentity(self, request: Any, context: Any) -> Any:
        """Explains why two names stand for one profile, or why they do not."""
        del context
        return await explain_identity(request, current_call(), self._reader, self._directory)

    async def DeleteExternalIds(self, request: Any, context: Any) -> Any:
        """Parts a profile from an identifier."""
        del context
        return await delete_external_ids(request, current_call(), self._deleter)


def _scope(method: str, call: Call, request: Any) -> bytes:
    return scope_of(method, call.space.record.number, request)
