"""`ProfileService`: unified profiles out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from unify_grpc._pb.unify.v1 import (
    header_pb2,
    identity_pb2,
    profile_pb2,
    profile_service_pb2,
    profile_service_pb2_grpc,
)
from unify_grpc.machines.batch import EVENT_TYPES, TYPE_CODES
from unify_grpc.machines.reads import ListEvents
from unify_grpc.placement.members import segment_id_of
from unify_grpc.service.calls import current_call
from unify_grpc.service.checks import check_count, check_page_size, check_time
from unify_grpc.service.errors import RequestInvalidError
from unify_grpc.service.page_tokens import make_token, read_token, scope_of
from unify_grpc.service.profile_reads import name_by_identifier, name_by_segment_id
from unify_grpc.service.profile_wire import (
    event_to_wire,
    external_id_to_wire,
    metadata_to_wire,
    trait_to_wire,
)

if TYPE_CHECKING:
    from unify_grpc.identity.traits import TraitCell
    from unify_grpc.machines.assembly import Profile
    from unify_grpc.machines.reads import Gathered
    from unify_grpc.service.calls import Call
    from unify_grpc.service.directory import Space, SpaceDirectory
    from unify_grpc.service.profile_reads import Named, ProfileReader

MASK_PATHS = ("traits", "external_ids", "metadata")
TRAITS_PAGE_DEFAULT, TRAITS_PAGE_MAX = 10, 200
IDS_PAGE_DEFAULT, IDS_PAGE_MAX = 10, 25
EVENTS_PAGE_DEFAULT, EVENTS_PAGE_MAX = 10, 100
NAMES_MAX = 200
EVENT_NAMES_MAX = 100
LISTED_TYPES = tuple(TYPE_CODES[name] for name in ("track", "page", "screen"))


class ProfileServicer(profile_service_pb2_grpc.ProfileServiceServicer):
    """Translates between the wire and the `ProfileReader`."""

    def __init__(self, reader: ProfileReader, directory: SpaceDirectory) -> None:
        self._reader = reader
        self._directory = directory

    async def GetProfile(self, request: Any, context: Any) -> Any:
        """Returns one profile."""
        del context
        call = current_call()
        parts = _check_mask(request)
        named = _named(request, call.space)
        profile = await self._reader.read_profile(
            call.space, named, with_traits=bool(parts & {"traits", "metadata"})
        )
        wire = self._profile_to_wire(call, named, profile, parts)
        if request.name.WhichOneof("name") == "segment_id":
            wire.segment_id = request.name.segment_id
        return profile_service_pb2.GetProfileResponse(profile=wire, header=_header(call))

    async def ListTraits(self, request: Any, context: Any) -> Any:
        """Lists the traits of a profile by name."""
        del context
        call = current_call()
        size = check_page_size(request.page_size, TRAITS_PAGE_DEFAULT, TRAITS_PAGE_MAX)
        check_count("include", request.include, NAMES_MAX)
        if request.trait_class not in profile_service_pb2.TraitClass.values():
            raise RequestInvalidError([("trait_class", "is not a known value")])
        scope = scope_of("ListTraits", call.space.record.number, request)
        after = read_token(self._directory.signing_key, scope, request.page_token, str)
        named = _named(request, call.space)
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
        call = current_call()
        size = check_page_size(request.page_size, IDS_PAGE_DEFAULT, IDS_PAGE_MAX)
        check_count("include", request.include, NAMES_MAX)
        scope = scope_of("ListExternalIds", call.space.record.number, request)
        key = self._directory.signing_key
        after = read_token(key, scope, request.page_token, tuple[int, str, int, bytes])
        named = _named(request, call.space)
        profile = await self._reader.read_profile(call.space, named, with_traits=False)
        wanted = set(request.include)
        listed = sorted(
            (_place(part, call.space), part)
            for part in profile.parts
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
        call = current_call()
        size = check_page_size(request.page_size, EVENTS_PAGE_DEFAULT, EVENTS_PAGE_MAX)
        check_count("include", request.include, EVENT_NAMES_MAX)
        check_count("exclude", request.exclude, EVENT_NAMES_MAX)
        scope = scope_of("ListEvents", call.space.record.number, request)
        key = self._directory.signing_key
        after = read_token(key, scope, request.page_token, tuple[int, str, bytes])
        question = ListEvents(
            members=[],
            types=_check_types(request),
            start_us=check_time("start_time", request),
            end_us=check_time("end_time", request),
            include=list(request.include) or None,
            exclude=list(request.exclude),
            ascending=request.sort == profile_service_pb2.SORT_ORDER_ASCENDING,
            after=after,
            limit=size + 1,
        )
        named = _named(request, call.space)
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

    def _profile_to_wire(
        self, call: Call, named: Named, profile: Profile, parts: frozenset[str]
    ) -> Any:
        is_masked = not call.caller.has("pii")
        segment_id = _segment_id(named, profile)
        wire = profile_pb2.Profile(
            segment_id=segment_id,
            canonical_segment_id=segment_id,
            collection=named.collection,
        )
        if "metadata" in parts:
            wire.metadata.CopyFrom(metadata_to_wire(profile, self._directory))
        if "traits" in parts:
            for name, cell in sorted(profile.traits.items()):
                wire.traits.append(
                    trait_to_wire(name, cell, self._directory, is_verbose=True, is_masked=is_masked)
                )
        if "external_ids" in parts:
            for part in sorted(profile.parts, key=lambda each: _place(each, call.space)):
                wire.external_ids.append(
                    external_id_to_wire(
                        named.collection, part, self._directory, is_masked=is_masked
                    )
                )
        return wire


def _header(call: Call) -> Any:
    return header_pb2.ReplyHeader(request_id=call.request_id)


def _segment_id(named: Named, profile: Profile) -> str:
    return segment_id_of(named.collection, profile.base.root)


def _place(part: Gathered, space: Space) -> tuple[int, str, int, bytes]:
    """Returns where an identifier stands in its list, without the value: tokens hold it."""
    rank, name = space.view.rules.rank(part.type)
    return rank, name, part.joined_us, part.member


def _named(request: Any, space: Space) -> Named:
    kind = request.name.WhichOneof("name")
    if kind == "segment_id":
        return name_by_segment_id(request.name.segment_id)
    if kind == "identifier":
        identifier: identity_pb2.Identifier = request.name.identifier
        return name_by_identifier(
            space, identifier.collection or "users", identifier.type, identifier.value
        )
    raise RequestInvalidError([("name", "names no profile")])


def _check_mask(request: Any) -> frozenset[str]:
    paths = frozenset(request.read_mask.paths)
    unknown = sorted(paths - set(MASK_PATHS))
    if unknown:
        raise RequestInvalidError([("read_mask", "has a path other than " + ", ".join(MASK_PATHS))])
    return paths or frozenset(MASK_PATHS)


def _check_types(request: Any) -> list[int]:
    unknown = [name for name in request.types if name not in TYPE_CODES]
    if unknown:
        raise RequestInvalidError([("types", "are of " + ", ".join(EVENT_TYPES))])
    if request.sort not in profile_service_pb2.SortOrder.values():
        raise RequestInvalidError([("sort", "is not a known value")])
    return [TYPE_CODES[name] for name in request.types] or list(LISTED_TYPES)
