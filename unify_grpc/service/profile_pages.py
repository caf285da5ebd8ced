"""Pages of a profile's traits, identifiers and events: a request in, its response out.

Every edge answers by these, so that they agree on bounds, order and masks. What binds a page token
is the edge's to say (`scope`): the one of `page_tokens.scope_of`, or one of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from unify_grpc._pb.unify.v1 import header_pb2, profile_service_pb2
from unify_grpc.machines.batch import EVENT_TYPES, TYPE_CODES
from unify_grpc.machines.reads import ListEvents
from unify_grpc.placement.members import segment_id_of
from unify_grpc.service.checks import check_count, check_page_size, check_times
from unify_grpc.service.faults import Faults
from unify_grpc.service.page_tokens import make_token, read_token
from unify_grpc.service.profile_wire import (
    event_to_wire,
    external_id_to_wire,
    identifier_place,
    trait_to_wire,
)
from unify_grpc.service.whole_profiles import named_in

if TYPE_CHECKING:
    from unify_grpc.identity.traits import TraitCell
    from unify_grpc.machines.assembly import Profile
    from unify_grpc.service.calls import Call
    from unify_grpc.service.directory import SpaceDirectory
    from unify_grpc.service.profile_reads import Named, ProfileReader

TRAITS_PAGE_DEFAULT: Final = 10
TRAITS_PAGE_MAX: Final = 200
IDS_PAGE_DEFAULT: Final = 10
IDS_PAGE_MAX: Final = 25
EVENTS_PAGE_DEFAULT: Final = 10
EVENTS_PAGE_MAX: Final = 100
NAMES_MAX: Final = 200
EVENT_NAMES_MAX: Final = 100
LISTED_TYPES: Final = tuple(TYPE_CODES[name] for name in ("track", "page", "screen"))


async def list_traits_page(
    request: Any, call: Call, reader: ProfileReader, directory: SpaceDirectory, scope: bytes
) -> Any:
    """Answers a `ListTraitsRequest`.

    Raises:
        RequestInvalidError: with every field at fault.
        ProfileNotFoundError: there is no such profile.
    """
    faults = Faults()
    with faults:
        size = check_page_size(request.page_size, TRAITS_PAGE_DEFAULT, TRAITS_PAGE_MAX)
    with faults:
        check_count("include", request.include, NAMES_MAX)
    if request.trait_class not in profile_service_pb2.TraitClass.values():
        faults.add("trait_class", "is not a known value")
    with faults:
        after = read_token(directory.signing_key, scope, request.page_token, str)
    with faults:
        named = named_in(request.name, call.space)
    faults.refuse()
    profile = await reader.read_profile(call.space, named, with_traits=True)
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
                directory,
                is_verbose=request.verbose,
                is_masked=not call.caller.has("pii"),
            )
            for name, cell in page
        ],
        segment_id=_segment_id(named, profile),
        header=_header(call),
    )
    if len(listed) > size:
        response.next_page_token = make_token(directory.signing_key, scope, page[-1][0])
    return response


async def list_external_ids_page(
    request: Any, call: Call, reader: ProfileReader, directory: SpaceDirectory, scope: bytes
) -> Any:
    """Answers a `ListExternalIdsRequest`; raises as `list_traits_page` does."""
    faults = Faults()
    key = directory.signing_key
    with faults:
        size = check_page_size(request.page_size, IDS_PAGE_DEFAULT, IDS_PAGE_MAX)
    with faults:
        check_count("include", request.include, NAMES_MAX)
    with faults:
        after = read_token(key, scope, request.page_token, tuple[int, str, int, bytes])
    with faults:
        named = named_in(request.name, call.space)
    faults.refuse()
    profile = await reader.read_profile(call.space, named, with_traits=False)
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
                named.collection, part, directory, is_masked=not call.caller.has("pii")
            )
            for _, part in page
        ],
        segment_id=_segment_id(named, profile),
        header=_header(call),
    )
    if len(listed) > size:
        response.next_page_token = make_token(key, scope, page[-1][0])
    return response


async def list_events_page(
    request: Any, call: Call, reader: ProfileReader, directory: SpaceDirectory, scope: bytes
) -> Any:
    """Answers a `ListEventsRequest`; raises as `list_traits_page` does."""
    faults = Faults()
    key = directory.signing_key
    with faults:
        size = check_page_size(request.page_size, EVENTS_PAGE_DEFAULT, EVENTS_PAGE_MAX)
    with faults:
        after = read_token(key, scope, request.page_token, tuple[int, str, bytes])
    with faults:
        named = named_in(request.name, call.space)
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
    members, events = await reader.list_events(call.space, named, question)
    page = events[:size]
    response = profile_service_pb2.ListEventsResponse(
        events=[
            event_to_wire(each, directory, is_masked=not call.caller.has("pii")) for each in page
        ],
        segment_id=segment_id_of(named.collection, members.root),
        header=_header(call),
    )
    if len(events) > size:
        response.next_page_token = make_token(key, scope, page[-1].order)
    return response


def _header(call: Call) -> Any:
    return header_pb2.ReplyHeader(request_id=call.request_id)


def _segment_id(named: Named, profile: Profile) -> str:
    return segment_id_of(named.collection, profile.base.root)


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
