"""`ProfileService`: unified profiles out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from unify_grpc._pb.unify.v1 import (
    header_pb2,
    identity_pb2,
    profile_service_pb2,
    profile_service_pb2_grpc,
)
from unify_grpc.machines.batch import EVENT_TYPES, TYPE_CODES
from unify_grpc.machines.reads import ListEvents
from unify_grpc.placement.members import segment_id_of
from unify_grpc.service.administration import facts_of
from unify_grpc.service.calls import current_call
from unify_grpc.service.checks import (
    check_count,
    check_deleted_collection,
    check_deletion,
    check_page_size,
    check_times,
)
from unify_grpc.service.explaining import explain_identity
from unify_grpc.service.faults import Faults
from unify_grpc.service.link_pages import list_links_page
from unify_grpc.service.list_profiles import list_profiles_page
from unify_grpc.service.masking import MASK
from unify_grpc.service.page_tokens import make_token, read_token, scope_of
from unify_grpc.service.profile_wire import (
    event_to_wire,
    external_id_to_wire,
    identifier_place,
    trait_to_wire,
)
from unify_grpc.service.whole_profiles import (
    batch_get_profiles,
    check_mask,
    named_in,
    needs_traits,
    profile_to_wire,
)

if TYPE_CHECKING:
    from unify_grpc.identity.traits import TraitCell
    from unify_grpc.machines.assembly import Profile
    from unify_grpc.service.calls import Call
    from unify_grpc.service.deleting import Deleter
    from unify_grpc.service.directory import Space, SpaceDirectory
    from unify_grpc.service.profile_reads import Named, ProfileReader

TRAITS_PAGE_DEFAULT, TRAITS_PAGE_MAX = 10, 200
IDS_PAGE_DEFAULT, IDS_PAGE_MAX = 10, 25
EVENTS_PAGE_DEFAULT, EVENTS_PAGE_MAX = 10, 100
NAMES_MAX = 200
EVENT_NAMES_MAX = 100
LISTED_TYPES = tuple(TYPE_CODES[name] for name in ("track", "page", "screen"))


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
            named = _named(request, call.space)
        faults.refuse()
        profile = await self._reader.read_profile(
            call.space, named, with_traits=needs_traits(parts)
        )
        asked_id = request.name.segment_id
        wire = profile_to_wire(profile, named.collection, parts, call, self._directory, asked_id)
        return profile_service_pb2.GetProfileResponse(profile=wire, header=_header(call))

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
        call, faults = current_call(), Faults()
        scope = scope_of("ListTraits", call.space.record.number, request)
        with faults:
            size = check_page_size(request.page_size, TRAITS_PAGE_DEFAULT, TRAITS_PAGE_MAX)
        with faults:
            check_count("include", request.include, NAMES_MAX)
        if request.trait_class not in profile_service_pb2.TraitClass.values():
            faults.add("trait_class", "is not a known value")
        with faults:
            after = read_token(self._directory.signing_key, scope, request.page_token, str)
        with faults:
            named = _named(request, call.space)
        faults.refuse()
        profile = await self._reader.read_profile(call.space, named, with_traits=True)
        # Computed traits and audiences are not made here: a class has nothing in it.
        wanted = set(request.include)
        listed: list[tuple[str, TraitCell]] = [
            (name, cell)
            for name, cell in sorted(profile.traits.items())
            if not request.trait_class
            and (not wanted or name in wanted)
            and (after is None or name > after)
        ]
        page = listed[:size]
        response = profile_service_pb2.ListTraitsResponse(
            traits=[
                trait_to_wire(
                    name,
                    cell,
                    self._directory,
                    is_verbose=request.verbose,
                    is_masked=not call.caller.has("pii"),
                )
                for name, cell in page
            ],
            segment_id=_segment_id(named, profile),
            header=_header(call),
        )
        if len(listed) > size:
            response.next_page_token = make_token(self._directory.signing_key, scope, page[-1][0])
        return response

    async def ListExternalIds(self, request: Any, context: Any) -> Any:
        """Lists the identifiers of a profile by priority."""
        del context
        call, faults = current_call(), Faults()
        scope = scope_of("ListExternalIds", call.space.record.number, request)
        key = self._directory.signing_key
        with faults:
            size = check_page_size(request.page_size, IDS_PAGE_DEFAULT, IDS_PAGE_MAX)
        with faults:
            check_count("include", request.include, NAMES_MAX)
        with faults:
            after = read_token(key, scope, request.page_token, tuple[int, str, int, bytes])
        with faults:
            named = _named(request, call.space)
        faults.refuse()
        profile = await self._reader.read_profile(call.space, named, with_traits=False)
        wanted = set(request.include)
        listed = sorted(
            (identifier_place(part, call.space), part)
            for part in profile.identifiers
            if not wanted or part.type in wanted
        )
        listed = [each for each in listed if after is None or each[0] > after]
        page = listed[:size]
        response = profile_service_pb2.ListExternalIdsResponse(
            external_ids=[
                external_id_to_wire(
                    named.collection, part, self._directory, is_masked=not call.caller.has("pii")
                )
                for _, part in page
            ],
            segment_id=_segment_id(named, profile),
            header=_header(call),
        )
        if len(listed) > size:
            response.next_page_token = make_token(key, scope, page[-1][0])
        return response

    async def ListEvents(self, request: Any, context: Any) -> Any:
        """Lists the history of a profile by event time."""
        del context
        call, faults = current_call(), Faults()
        scope = scope_of("ListEvents", call.space.record.number, request)
        key = self._directory.signing_key
        with faults:
            size = check_page_size(request.page_size, EVENTS_PAGE_DEFAULT, EVENTS_PAGE_MAX)
        with faults:
            after = read_token(key, scope, request.page_token, tuple[int, str, bytes])
        with faults:
            named = _named(request, call.space)
        start_us, end_us = _check_filters(request, faults)
        faults.refuse()
        question = ListEvents(
            members=[],
            types=[TYPE_CODES[name] for name in request.types] or list(LISTED_TYPES),
            start_us=start_us,
            end_us=end_us,
            include=list(request.include) or None,
            exclude=list(request.exclude),
            ascending=request.sort == profile_service_pb2.SORT_ORDER_ASCENDING,
            after=after,
            limit=size + 1,
        )
        members, events = await self._reader.list_events(call.space, named, question)
        page = events[:size]
        response = profile_service_pb2.ListEventsResponse(
            events=[
                event_to_wire(each, self._directory, is_masked=not call.caller.has("pii"))
                for each in page
            ],
            segment_id=segment_id_of(named.collection, members.root),
            header=_header(call),
        )
        if len(events) > size:
            response.next_page_token = make_token(key, scope, page[-1].order)
        return response

    async def ListLinks(self, request: Any, context: Any) -> Any:
        """Lists the accounts of a person, or the people of an account."""
        del context
        return await list_links_page(request, current_call(), self._reader, self._directory)

    async def ExplainIdentity(self, request: Any, context: Any) -> Any:
        """Explains why two names stand for one profile, or why they do not."""
        del context
        return await explain_identity(request, current_call(), self._reader, self._directory)

    async def DeleteExternalIds(self, request: Any, context: Any) -> Any:
        """Parts a profile from an identifier."""
        del context
        call, faults = current_call(), Faults()
        with faults:
            check_deletion(request)
        with faults:
            named = _named(request, call.space)
            check_deleted_collection(request, named.collection)
        faults.refuse()
        wanted = request.external_ids[0]
        root, deleted = await self._deleter.delete(
            call.space, named, wanted.type, wanted.value, request.request_id
        )
        identifier = identity_pb2.Identifier(
            collection=deleted.collection,
            type=deleted.type,
            value=deleted.value if call.caller.has("pii") else MASK,
        )
        segment_id = segment_id_of(named.collection, root)
        await self._deleter.note(call.space, segment_id, deleted, facts_of(call, request))
        return profile_service_pb2.DeleteExternalIdsResponse(
            segment_id=segment_id,
            deleted_external_ids=[identifier],
            header=_header(call),
        )


def _header(call: Call) -> Any:
    return header_pb2.ReplyHeader(request_id=call.request_id)


def _segment_id(named: Named, profile: Profile) -> str:
    return segment_id_of(named.collection, profile.base.root)


def _named(request: Any, space: Space) -> Named:
    return named_in(request.name, space)


def _check_filters(request: Any, faults: Faults) -> tuple[int | None, int | None]:
    """Checks what narrows and orders a list of events; returns its times, (start, end)."""
    for field in ("include", "exclude"):
        with faults:
            check_count(field, getattr(request, field), EVENT_NAMES_MAX)
    if any(name not in TYPE_CODES for name in request.types):
        faults.add("types", "are of " + ", ".join(EVENT_TYPES))
    if request.sort not in profile_service_pb2.SortOrder.values():
        faults.add("sort", "is not a known value")
    return check_times(request, faults)
